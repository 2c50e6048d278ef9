#include "fetch/base/crew.h"

#include <errno.h>

#include "fetch/base/lock.h"
#include "fetch/base/thread.h"

struct member {
	struct crew *crew;
	unsigned number;
	pthread_t thread;
	struct cancel cancel;
};

struct crew {
	const struct call *call; /* borrowed, as is arg */
	crew_fn *fn;
	void *arg;
	struct member members[CREW_MAX];
	unsigned count; /* of members started; the caller's thread alone uses it */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool begun;       /* under lock */
	unsigned running; /* under lock */
};

static void await_begin(struct crew *c)
{
	LOCK_SCOPE(&c->lock);
	while (!c->begun)
		pthread_cond_wait(&c->changed, &c->lock);
}

static void *work(void *arg)
{
	struct member *m = arg;
	struct crew *c = m->crew;
	struct call call = *c->call;
	call.cancel = &m->cancel;
	await_begin(c);
	c->fn(c->arg, m->number, &call);
	LOCK_SCOPE(&c->lock);
	c->running--;
	pthread_cond_broadcast(&c->changed);
	return NULL;
}

static void start(struct crew *c, unsigned n)
{
	while (c->count < n) {
		struct member *m = &c->members[c->count];
		*m = (struct member){.crew = c, .number = c->count};
		cancel_init(&m->cancel);
		if (thread_start(&m->thread, work, m) < 0) {
			cancel_finish(&m->cancel);
			return;
		}
		c->count++;
	}
}

/* 0, or -ECANCELED while some of them run yet. */
static int run_until_cancelled(struct crew *c)
{
	const struct call call = {
		.deadline_ns = DEADLINE_NONE, .cancel = c->call->cancel};
	int r = 0;
	call_attach(&call, &c->lock, &c->changed);
	pthread_mutex_lock(&c->lock);
	c->running = c->count;
	c->begun = true;
	pthread_cond_broadcast(&c->changed);
	while (c->running && r == 0)
		r = call_wait(&call, &c->lock, &c->changed);
	pthread_mutex_unlock(&c->lock);
	call_detach(&call);
	return r;
}

unsigned crew_run(const struct call *call, unsigned n, crew_fn *fn, void *arg)
{
	struct crew c = {
		.call = call,
		.fn = fn,
		.arg = arg,
		.lock = PTHREAD_MUTEX_INITIALIZER,
	};
	if (condition_init(&c.changed) < 0)
		return 0;
	start(&c, n < CREW_MAX ? n : CREW_MAX);
	bool cancelled = run_until_cancelled(&c) < 0;
	for (unsigned i = 0; i < c.count; i++)
		if (cancelled)
			cancel_fire(&c.members[i].cancel);
	for (unsigned i = 0; i < c.count; i++) {
		pthread_join(c.members[i].thread, NULL);
		cancel_finish(&c.members[i].cancel);
	}
	pthread_cond_destroy(&c.changed);
	pthread_mutex_destroy(&c.lock);
	return c.count;
}
