/*
 * What a process does to itself before its threads start: it sees to its standard streams,
 * hides its memory, for it will hold secrets, and takes the descriptors that it may have.
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

/* For the beginning of main(): of the standard streams, those that were closed are opened, so
 * that what is opened later (a socket, a directory) has not their numbers and is not written
 * to in their place. They still fail as closed ones do, with EBADF. */
void occupy_standard_streams(void);

/* Raises the soft limit of open files to the hard one. For the main() of a process that
 * opens what others have it open, and has no use for select(2). 0 or -errno. */
int raise_open_files(void);

/* What the soft limit was before that, for the programs that are started: select(2)
 * cannot tell of a descriptor above 1,023, and they may use it. 0: it was not raised. */
unsigned long open_files_before(void);

#endif
