/*
 * Threads that leave signals alone: those are the main thread's business.
 */
#ifndef LARDER_FETCH_BASE_THREAD_H
#define LARDER_FETCH_BASE_THREAD_H

#include <pthread.h>

/* Starts a thread with all signals blocked; to be joined. 0 or -errno. */
int thread_start(pthread_t *ret, void *(*run)(void *), void *arg);

#endif
