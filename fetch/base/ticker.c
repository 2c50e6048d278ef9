#include "fetch/base/ticker.h"

#include "fetch/base/call.h"
#include "fetch/base/lock.h"

/* Waits one interval; false when it is time to stop. */
static bool wait_interval(struct ticker *t)
{
	const struct call until = {.deadline_ns = clock_monotonic_ns() + t->interval_ns};
	LOCK_SCOPE(&t->lock);
	while (!t->stop && call_wait(&until, &t->lock, &t->wake) == 0)
		;
	return !t->stop;
}

static void *tick(void *arg)
{
	struct ticker *t = arg;
	while (wait_interval(t))
		t->fn(t->arg);
	return NULL;
}

void ticker_start(
	struct ticker *t, uint64_t interval_ns, void (*fn)(void *arg), void *arg)
{
	*t = (struct ticker){
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.interval_ns = interval_ns,
		.fn = fn,
		.arg = arg,
	};
	if (condition_init(&t->wake) < 0)
		return;
	t->started = pthread_create(&t->thread, NULL, tick, t) == 0;
	if (!t->started)
		pthread_cond_destroy(&t->wake);
}

void ticker_stop(struct ticker *t)
{
	if (!t->started)
		return;
	pthread_mutex_lock(&t->lock);
	t->stop = true;
	pthread_cond_signal(&t->wake);
	pthread_mutex_unlock(&t->lock);
	pthread_join(t->thread, NULL);
	pthread_cond_destroy(&t->wake);
	pthread_mutex_destroy(&t->lock);
	t->started = false;
}
