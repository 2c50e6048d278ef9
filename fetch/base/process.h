/*
 * What a process that holds secrets does to itself before it reads the first one.
 */
#ifndef LARDER_FETCH_BASE_PROCESS_H
#define LARDER_FETCH_BASE_PROCESS_H

/* No core file is ever written of this process, and no other process of the same user may
 * look into its memory: PR_SET_DUMPABLE 0, which also stops cores that core_pattern pipes
 * to a program, and RLIMIT_CORE 0, which children keep. For main(), before threads start,
 * and again after whatever makes the kernel forget it: execve(2), a change of user or
 * group id. Side effects: /proc/PID belongs to root, so a user namespace's id maps must
 * be written by another process; no debugger attaches. 0 or -errno. */
int harden_process(void);

#endif
