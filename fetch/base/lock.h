/*
 * Mutexes by scope, and conditions on the monotonic clock.
 *
 * LOCK_SCOPE(&m) holds m until the enclosing block ends. Locks are leaves: none is held
 * over I/O, a callback or decompression (docs/threads.md lists every one).
 */
#ifndef LARDER_FETCH_BASE_LOCK_H
#define LARDER_FETCH_BASE_LOCK_H

#include <pthread.h>
#include <stdint.h>

static inline void lock_scope_leave_(pthread_mutex_t **m)
{
	pthread_mutex_unlock(*m);
}

static inline pthread_mutex_t *lock_scope_enter_(pthread_mutex_t *m)
{
	pthread_mutex_lock(m);
	return m;
}

#define LOCK_SCOPE_NAME__(line) lock_scope_##line##_
#define LOCK_SCOPE_NAME_(line)  LOCK_SCOPE_NAME__(line)
#define LOCK_SCOPE(m)                                                                    \
	__attribute__((cleanup(lock_scope_leave_), unused))                              \
	pthread_mutex_t *LOCK_SCOPE_NAME_(__LINE__) = lock_scope_enter_(m)

/* Makes a condition whose timed waits are on CLOCK_MONOTONIC. 0 or -errno. */
int condition_init(pthread_cond_t *c);

/* Waits, with m held, until c is signalled or until that time of CLOCK_MONOTONIC, in
 * nanoseconds (UINT64_MAX: for ever). */
void condition_wait_until(pthread_cond_t *c, pthread_mutex_t *m, uint64_t until_ns);

#endif
