/*
 * Why the daemon should end: a signal, or a session that ended by itself.
 *
 * SIGTERM, SIGINT and SIGHUP are blocked in every thread; one thread waits for them.
 * Until the mount serves, a signal fires the cancel that start-up waits with.
 */
#ifndef LARDER_FS_ENDING_H
#define LARDER_FS_ENDING_H

#include <pthread.h>
#include <stdbool.h>

#include "fetch/base/call.h"
#include "fetch/base/signal_thread.h"

struct ending {
	struct cancel cancel; /* fired by the first signal */
	struct signal_thread waiting;
	pthread_mutex_t lock;
	pthread_cond_t came;
	int signal; /* under lock; 0: none */
	bool over;  /* under lock: there is nothing left to serve */
};

/* Blocks all signals in this thread, and those it starts, and starts the one that waits.
 * There is one in a process. 0 or -errno; to be finished in either case. */
int ending_init(struct ending *n);

/* Ends the thread that waits; the signals stay blocked. */
void ending_finish(struct ending *n);

/* The session ended by itself. Any thread. */
void ending_say_over(void *ending);

/* Waits for either; returns the signal, or 0. */
int ending_wait(struct ending *n);

/* The signal that came; 0: none. */
int ending_signal(struct ending *n);

#endif
