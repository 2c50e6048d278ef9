/*
 * A thread that calls a function again and again until it is stopped: draws progress
 * while the main thread waits for the network; keeps the metrics up to date.
 */
#ifndef LARDER_FETCH_BASE_TICKER_H
#define LARDER_FETCH_BASE_TICKER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct ticker {
	pthread_t thread;
	pthread_mutex_t lock; /* a leaf: not held while fn runs */
	pthread_cond_t wake;
	bool stop;    /* under lock */
	bool started; /* owner's */
	uint64_t interval_ns;
	void (*fn)(void *arg);
	void *arg; /* borrowed until ticker_stop() */
};

/* Calls fn(arg) every interval_ns, for the first time after one. Without a thread to be
 * had it is never called. */
void ticker_start(
	struct ticker *t, uint64_t interval_ns, void (*fn)(void *arg), void *arg);

/* Returns when fn runs no more. Harmless when it was never started, or zeroed. */
void ticker_stop(struct ticker *t);

#endif
