/*
 * A thread that waits for the signals which end a program: SIGINT, SIGTERM and SIGHUP.
 *
 * One that was ignored when it started is not told of, as nohup(1) and a shell that runs
 * a job in the background expect: the system hands it to who waits for it all the same.
 */
#ifndef LARDER_FETCH_BASE_SIGNAL_THREAD_H
#define LARDER_FETCH_BASE_SIGNAL_THREAD_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>

/* All zeros: not started. */
struct signal_thread {
	pthread_t thread;
	bool started;
	atomic_bool over;
	sigset_t ignored; /* not changed while the thread runs */
	void (*came)(void *arg, int number);
	void *arg; /* borrowed */
};

/* Blocks these signals in this thread and in those that it starts from here on, and starts
 * the one that waits: it calls came() for each that is not ignored. There may be one in a
 * process. 0 or -errno. */
int signal_thread_start(
	struct signal_thread *s, void (*came)(void *arg, int number), void *arg);

/* Ends the thread; no came() is running or called after. A signal that comes later stays
 * blocked. Harmless if it was not started. */
void signal_thread_stop(struct signal_thread *s);

#endif
