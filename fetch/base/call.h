/*
 * One call's patience: until when it may wait, who may end it early, how urgent it is.
 *
 * A `struct call` is passed down, by const pointer, through everything that can block.
 * Time is CLOCK_MONOTONIC in nanoseconds.
 *
 * A `struct cancel` lets another thread (FUSE's interrupt, a signal handler's thread) wake
 * the one that waits. The waiting side attaches its mutex and condition, takes the mutex,
 * and waits with call_wait(); the firing side sets the flag and broadcasts.
 *
 *     waiter                                 firer
 *     call_attach(call, &m, &c)              cancel_fire(cancel)
 *     lock m                                   lock cancel->lock
 *     while (!done && !r)                        fired = true
 *             r = call_wait(call, &m, &c)        lock m; broadcast c; unlock m
 *     unlock m                                 unlock cancel->lock
 *     call_detach(call)
 *
 * Lock order: cancel->lock before the waiter's mutex; so attach and detach are called
 * without that mutex held. One waiter at a time per cancel.
 *
 * cancel_hurry() goes the same way, but only says that the call has become urgent.
 */
#ifndef LARDER_FETCH_BASE_CALL_H
#define LARDER_FETCH_BASE_CALL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define NS_PER_SECOND UINT64_C(1000000000)
#define NS_PER_MS     UINT64_C(1000000)
#define DEADLINE_NONE UINT64_MAX

enum call_priority {
	PRIORITY_DEMAND,   /* somebody's system call waits for it */
	PRIORITY_PREFETCH, /* a guess; every demand overtakes it, until it is hurried */
};

struct cancel {
	pthread_mutex_t lock;
	atomic_bool fired;
	uint64_t fired_ns;            /* when; written once, before `fired` is set */
	atomic_bool hurried;
	pthread_mutex_t *waiter_lock; /* borrowed, under lock; NULL: nobody waits */
	pthread_cond_t *waiter_cond;  /* borrowed, under lock */
};

struct call {
	uint64_t deadline_ns;   /* monotonic; DEADLINE_NONE: no limit */
	struct cancel *cancel;  /* borrowed; NULL: cannot be ended early */
	uint64_t grace_ns;      /* an answer is waited for so much longer than the cancel, but
	                           not than the deadline: for what one has to know of, to undo
	                           it. Usually 0 */
	enum call_priority priority;
};

/* Monotonic nanoseconds. */
uint64_t clock_monotonic_ns(void);

/* Since the epoch: for signing, for ages, and for what is shown. */
struct timespec clock_realtime(void);
int64_t clock_realtime_s(void);

void cancel_init(struct cancel *c);
void cancel_finish(struct cancel *c);

/* Ends the call: wakes the waiter, or makes the next wait return at once. Any thread. */
void cancel_fire(struct cancel *c);

/* Somebody's system call has come to wait for what this call brings. Any thread. */
void cancel_hurry(struct cancel *c);

/* Has it? */
bool call_is_hurried(const struct call *call);

void call_attach(const struct call *call, pthread_mutex_t *m, pthread_cond_t *c);
void call_detach(const struct call *call);

/* Waits once on c (made by condition_init(); spurious wake-ups return 0). 0,
 * -ETIMEDOUT when the deadline is past, -ECANCELED when the call was ended. */
int call_wait(const struct call *call, pthread_mutex_t *m, pthread_cond_t *c);

/* 0, -ETIMEDOUT or -ECANCELED: may this call go on? */
int call_check(const struct call *call);

/* Waits until monotonic time `until_ns`: 0 then; -ETIMEDOUT without waiting when that
 * lies behind the deadline; -ECANCELED as soon as the call is ended, whatever its grace. */
int call_pause(const struct call *call, uint64_t until_ns);

#endif
