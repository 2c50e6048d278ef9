/*
 * The watcher: lets callers go that want to stop where FUSE's INTERRUPT does not say so.
 *
 * The kernel sends INTERRUPT once for a request, for the first signal, whatever that was;
 * and never for what it reads ahead, whose reader waits for the page and so hears only
 * signals that kill. So while anybody waits, their threads are looked at every WATCH_NS.
 * Each request carries the number of the thread that caused it, read-ahead too.
 *
 * Those who wait are crowds: the requests at work, and those at the gate. A crowd calls
 * watcher_rouse() when somebody joins it. Where nobody waits the watcher sleeps.
 *
 * The lock is a leaf: nothing of a crowd is called with it held.
 */
#ifndef LARDER_FS_WATCHER_H
#define LARDER_FS_WATCHER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "fetch/base/call.h"

#define WATCH_NS    (250 * NS_PER_MS)
#define LOOK_MOST   256 /* callers of one crowd that are looked at in one round */
#define CROWDS_MOST 2

struct crowd {
	void *arg;
	/* Up to `most` threads somebody waits for (0: out of sight); none only when
	 * nobody waits. Where there are more, the next round's are others. */
	size_t (*callers)(void *arg, pid_t *ret, size_t most);
	/* Ends what this thread waits for. */
	void (*let_go)(void *arg, pid_t tid);
};

struct watcher {
	pthread_mutex_t lock;
	pthread_cond_t roused; /* somebody waits, or it is the end */
	atomic_bool dozing;    /* whoever joins a crowd is to wake the thread */
	bool ending;           /* under lock */
	bool running;          /* the thread is there */
	pthread_t thread;
	struct crowd crowds[CROWDS_MOST];
	size_t count;
};

/* Starts the thread; `count` crowds, which outlive it. 0 or -errno. */
int watcher_start(struct watcher *w, const struct crowd *crowds, size_t count);

/* Somebody has joined a crowd. Costs nothing while the thread is awake. */
void watcher_rouse(struct watcher *w);

/* Ends the thread, if there is one: no crowd is called any more. */
void watcher_stop(struct watcher *w);
/* Nobody joins a crowd any more. */
void watcher_finish(struct watcher *w);

#endif
