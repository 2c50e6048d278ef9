/*
 * Does a thread that waits for a file want to be let go?
 *
 * FUSE's INTERRUPT says only that some signal is pending, and does not always come
 * (fs/watcher). Reads and lookups of a local disk are never ended by a signal that lets the
 * program live, and programs rely on it; so a wait is ended only for a signal that ends the
 * program, or that people send to end one (INT, TERM, HUP, QUIT), whether or not it is
 * caught.
 */
#ifndef LARDER_FS_SIGNALS_H
#define LARDER_FS_SIGNALS_H

#include <stdbool.h>
#include <sys/types.h>

/* Judges the text of /proc/TID/status (proc(5)). unseen: the answer where it
 * does not say. */
bool signals_say_stop(const char *status, bool unseen);

/* Reads that file. unseen: the answer also when the thread is gone or out of sight (tid
 * 0: a process outside our PID namespace). */
bool thread_wants_stop(pid_t tid, bool unseen);

#endif
