#include "fs/request.h"

#include <assert.h>

#include "fetch/base/lock.h"
#include "fs/signals.h"

/* All of them: the gate lets GATE_MOST in, which are fewer than the watcher looks at. */
static size_t callers(void *arg, pid_t *ret, size_t most)
{
	struct requests *set = arg;
	size_t count = 0;
	LOCK_SCOPE(&set->lock);
	for (struct request *r = set->first; r && count < most; r = r->next)
		ret[count++] = r->tid;
	return count;
}

static void let_go(void *arg, pid_t tid)
{
	struct requests *set = arg;
	LOCK_SCOPE(&set->lock);
	for (struct request *r = set->first; r; r = r->next)
		if (r->tid == tid)
			cancel_fire(&r->cancel);
}

struct crowd requests_crowd(struct requests *set)
{
	return (struct crowd){.arg = set, .callers = callers, .let_go = let_go};
}

void requests_init(struct requests *set, struct watcher *watcher)
{
	*set = (struct requests){.lock = PTHREAD_MUTEX_INITIALIZER, .watcher = watcher};
}

void requests_cancel_all(struct requests *set)
{
	LOCK_SCOPE(&set->lock);
	set->ending = true;
	for (struct request *r = set->first; r; r = r->next)
		cancel_fire(&r->cancel);
}

void requests_finish(struct requests *set)
{
	requests_cancel_all(set);
	assert(!set->first);
	pthread_mutex_destroy(&set->lock);
}

/* On a thread of libfuse's, with req->lock held. What comes after a signal that is no
 * reason to stop, the watcher sees. */
static void on_interrupt(fuse_req_t req, void *data)
{
	struct request *r = data;
	if (thread_wants_stop(r->tid, true))
		cancel_fire(&r->cancel);
}

static void join_set(struct request *r)
{
	struct requests *set = r->set;
	LOCK_SCOPE(&set->lock);
	r->next = set->first;
	if (set->first)
		set->first->prev = r;
	set->first = r;
	if (set->ending)
		cancel_fire(&r->cancel);
}

static void leave_set(struct request *r)
{
	struct requests *set = r->set;
	LOCK_SCOPE(&set->lock);
	if (r->next)
		r->next->prev = r->prev;
	if (r->prev)
		r->prev->next = r->next;
	else
		set->first = r->next;
}

void request_begin(
	struct request *r, struct requests *set, fuse_req_t req, uint64_t deadline_ns)
{
	*r = (struct request){.req = req, .set = set};
	cancel_init(&r->cancel);
	r->call = (struct call){
		.deadline_ns = deadline_ns,
		.cancel = &r->cancel,
		.priority = PRIORITY_DEMAND,
	};
	if (req)
		r->tid = fuse_req_ctx(req)->pid;
	join_set(r);
	watcher_rouse(set->watcher);
	if (req)
		fuse_req_interrupt_func(req, on_interrupt, r);
}

void request_end(struct request *r)
{
	if (r->req)
		fuse_req_interrupt_func(r->req, NULL, NULL);
	leave_set(r);
	cancel_finish(&r->cancel);
}
