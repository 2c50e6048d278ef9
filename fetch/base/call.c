#include "fetch/base/call.h"

#include <errno.h>
#include <time.h>

#include "fetch/base/lock.h"

uint64_t clock_monotonic_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_SECOND + (uint64_t)t.tv_nsec;
}

struct timespec clock_realtime(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return t;
}

int64_t clock_realtime_s(void)
{
	return clock_realtime().tv_sec;
}

int condition_init(pthread_cond_t *c)
{
	pthread_condattr_t attr;
	int r = pthread_condattr_init(&attr);
	if (r)
		return -r;
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	r = pthread_cond_init(c, &attr);
	pthread_condattr_destroy(&attr);
	return -r;
}

void condition_wait_until(pthread_cond_t *c, pthread_mutex_t *m, uint64_t until_ns)
{
	if (until_ns == DEADLINE_NONE) {
		pthread_cond_wait(c, m);
		return;
	}
	struct timespec t = {
		.tv_sec = (time_t)(until_ns / NS_PER_SECOND),
		.tv_nsec = (long)(until_ns % NS_PER_SECOND),
	};
	pthread_cond_timedwait(c, m, &t);
}

void cancel_init(struct cancel *c)
{
	*c = (struct cancel){ .lock = PTHREAD_MUTEX_INITIALIZER };
}

void cancel_finish(struct cancel *c)
{
	pthread_mutex_destroy(&c->lock);
}

/* Under c->lock. */
static void wake_waiter(struct cancel *c)
{
	if (!c->waiter_lock)
		return;
	LOCK_SCOPE(c->waiter_lock);
	pthread_cond_broadcast(c->waiter_cond);
}

void cancel_fire(struct cancel *c)
{
	LOCK_SCOPE(&c->lock);
	if (!atomic_load(&c->fired))
		c->fired_ns = clock_monotonic_ns();
	atomic_store(&c->fired, true);
	wake_waiter(c);
}

void cancel_hurry(struct cancel *c)
{
	LOCK_SCOPE(&c->lock);
	atomic_store(&c->hurried, true);
	wake_waiter(c);
}

bool call_is_hurried(const struct call *call)
{
	return call->cancel && atomic_load(&call->cancel->hurried);
}

void call_attach(const struct call *call, pthread_mutex_t *m, pthread_cond_t *c)
{
	if (!call->cancel)
		return;
	LOCK_SCOPE(&call->cancel->lock);
	call->cancel->waiter_lock = m;
	call->cancel->waiter_cond = c;
}

void call_detach(const struct call *call)
{
	call_attach(call, NULL, NULL);
}

static uint64_t end_of_grace(const struct call *call)
{
	return call->cancel->fired_ns + call->grace_ns;
}

static bool is_fired(const struct call *call)
{
	return call->cancel && atomic_load(&call->cancel->fired);
}

int call_check(const struct call *call)
{
	if (is_fired(call) && (!call->grace_ns || clock_monotonic_ns() >= end_of_grace(call)))
		return -ECANCELED;
	if (call->deadline_ns != DEADLINE_NONE &&
		clock_monotonic_ns() >= call->deadline_ns)
		return -ETIMEDOUT;
	return 0;
}

int call_wait(const struct call *call, pthread_mutex_t *m, pthread_cond_t *c)
{
	int r = call_check(call);
	if (r < 0)
		return r;
	uint64_t until_ns = call->deadline_ns;
	if (is_fired(call) && end_of_grace(call) < until_ns)
		until_ns = end_of_grace(call);
	condition_wait_until(c, m, until_ns);
	return call_check(call);
}

int call_pause(const struct call *call, uint64_t until_ns)
{
	struct call hasty = *call;
	hasty.grace_ns = 0;
	if (until_ns > call->deadline_ns)
		return -ETIMEDOUT;
	pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
	pthread_cond_t c;
	int r = condition_init(&c);
	if (r < 0)
		return r;
	call_attach(call, &m, &c);
	pthread_mutex_lock(&m);
	while ((r = call_check(&hasty)) == 0 && clock_monotonic_ns() < until_ns)
		condition_wait_until(&c, &m, until_ns);
	pthread_mutex_unlock(&m);
	call_detach(call);
	pthread_cond_destroy(&c);
	pthread_mutex_destroy(&m);
	return r == -ETIMEDOUT && clock_monotonic_ns() >= until_ns ? 0 : r;
}
