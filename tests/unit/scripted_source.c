#include "tests/unit/scripted_source.h"

#include <string.h>

#include "fetch/base/lock.h"

/* Under lock. 0 when released, else the call's end. */
static int wait_released(
	struct scripted_source *s, const struct call *call, struct scripted_read *noted)
{
	int r = 0;
	s->held++;
	pthread_cond_broadcast(&s->changed);
	while (s->hold && r == 0) {
		if (call_is_hurried(call) && !noted->hurried) {
			noted->hurried = true;
			pthread_cond_broadcast(&s->changed);
		}
		r = call_wait(call, &s->lock, &s->changed);
	}
	s->held--;
	return r;
}

static int begin_read(
	struct scripted_source *s, const struct call *call, uint64_t offset, size_t len)
{
	LOCK_SCOPE(&s->lock);
	struct scripted_read beyond;
	struct scripted_read *noted =
		s->reads < SCRIPTED_LOG ? &s->log[s->reads] : &beyond;
	*noted = (struct scripted_read){offset, len, call->priority, false};
	s->reads++;
	int r = s->hold ? wait_released(s, call, noted) : 0;
	if (r == 0 && s->fail_times) {
		s->fail_times--;
		r = s->fail_code;
	}
	return r;
}

static int scripted_read(struct range_source *base, const struct call *call,
	uint64_t offset, size_t len, void *buf, struct error *e)
{
	struct scripted_source *s = (struct scripted_source *)base;
	call_attach(call, &s->lock, &s->changed);
	int r = begin_read(s, call, offset, len);
	call_detach(call);
	if (r < 0)
		return error_set(e, r, "a scripted failure");
	memcpy(buf, s->data + offset, len);
	return 0;
}

static void scripted_free(struct range_source *base)
{
}

static const struct range_source_ops ops = {
	.read = scripted_read,
	.free = scripted_free,
};

void scripted_init(struct scripted_source *s, const void *data, size_t size)
{
	*s = (struct scripted_source){
		.base = {.ops = &ops, .size = size},
		.data = data,
		.lock = PTHREAD_MUTEX_INITIALIZER,
	};
	if (condition_init(&s->changed) < 0)
		abort();
}

void scripted_finish(struct scripted_source *s)
{
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->lock);
}

void scripted_fail(struct scripted_source *s, int code, unsigned times)
{
	LOCK_SCOPE(&s->lock);
	s->fail_code = code;
	s->fail_times = times;
}

void scripted_hold(struct scripted_source *s)
{
	LOCK_SCOPE(&s->lock);
	s->hold = true;
}

void scripted_release(struct scripted_source *s)
{
	LOCK_SCOPE(&s->lock);
	s->hold = false;
	pthread_cond_broadcast(&s->changed);
}

void scripted_wait_held(struct scripted_source *s, unsigned n)
{
	LOCK_SCOPE(&s->lock);
	while (s->held < n)
		pthread_cond_wait(&s->changed, &s->lock);
}

static int find_hurried(const struct scripted_source *s)
{
	for (unsigned i = 0; i < s->reads && i < SCRIPTED_LOG; i++)
		if (s->log[i].hurried)
			return (int)i;
	return -1;
}

unsigned scripted_wait_hurried(struct scripted_source *s)
{
	int found;
	LOCK_SCOPE(&s->lock);
	while ((found = find_hurried(s)) < 0)
		pthread_cond_wait(&s->changed, &s->lock);
	return (unsigned)found;
}

unsigned scripted_reads(struct scripted_source *s)
{
	LOCK_SCOPE(&s->lock);
	return s->reads;
}
