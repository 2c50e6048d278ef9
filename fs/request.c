#include "fs/request.h"

#include <assert.h>
#include <time.h>

#include "fetch/base/lock.h"
#include "fetch/base/thread.h"
#include "fs/signals.h"

#define LOOK_MOST 256 /* threads looked at in one round */

static size_t watched_threads(struct requests *set, pid_t *ret)
{
	size_t count = 0;
	for (struct request *r = set->first; r && count < LOOK_MOST; r = r->next)
		if (r->watched)
			ret[count++] = r->tid;
	return count;
}

static void cancel_thread(struct requests *set, pid_t tid)
{
	LOCK_SCOPE(&set->lock);
	for (struct request *r = set->first; r; r = r->next) {
		if (!r->watched || r->tid != tid)
			continue;
		r->watched = false;
		set->watched--;
		cancel_fire(&r->cancel);
	}
}

/* Cancels those watched whose callers now want to stop. */
static void look_at_watched(struct requests *set)
{
	pid_t threads[LOOK_MOST];
	size_t count;
	{
		LOCK_SCOPE(&set->lock);
		count = watched_threads(set, threads);
	}
	for (size_t i = 0; i < count; i++)
		if (thread_wants_stop(threads[i]))
			cancel_thread(set, threads[i]);
}

static void pause_watching(struct requests *set)
{
	uint64_t until_ns = clock_monotonic_ns() + REQUESTS_WATCH_NS;
	struct timespec t = {
		.tv_sec = (time_t)(until_ns / NS_PER_SECOND),
		.tv_nsec = (long)(until_ns % NS_PER_SECOND),
	};
	pthread_cond_timedwait(&set->watch, &set->lock, &t);
}

/* Waits until it is time to look at somebody; false: it is the end. */
static bool wait_for_turn(struct requests *set)
{
	LOCK_SCOPE(&set->lock);
	while (!set->ending && !set->watched)
		pthread_cond_wait(&set->watch, &set->lock);
	if (!set->ending)
		pause_watching(set);
	return !set->ending;
}

static void *watch(void *arg)
{
	struct requests *set = arg;
	while (wait_for_turn(set))
		look_at_watched(set);
	return NULL;
}

int requests_init(struct requests *set)
{
	*set = (struct requests){.lock = PTHREAD_MUTEX_INITIALIZER};
	int r = condition_init(&set->watch);
	if (r < 0)
		return r;
	r = thread_start(&set->watcher, watch, set);
	set->watching = r == 0;
	return r;
}

void requests_cancel_all(struct requests *set)
{
	LOCK_SCOPE(&set->lock);
	set->ending = true;
	for (struct request *r = set->first; r; r = r->next)
		cancel_fire(&r->cancel);
	pthread_cond_broadcast(&set->watch);
}

void requests_finish(struct requests *set)
{
	requests_cancel_all(set);
	assert(!set->first);
	if (set->watching)
		pthread_join(set->watcher, NULL);
	pthread_cond_destroy(&set->watch);
	pthread_mutex_destroy(&set->lock);
}

static void start_watching(struct request *r)
{
	LOCK_SCOPE(&r->set->lock);
	if (r->watched)
		return;
	r->watched = true;
	r->set->watched++;
	pthread_cond_signal(&r->set->watch);
}

/* On a thread of libfuse's, with req->lock held. */
static void on_interrupt(fuse_req_t req, void *data)
{
	struct request *r = data;
	if (thread_wants_stop(r->tid))
		cancel_fire(&r->cancel);
	else
		start_watching(r);
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
	if (r->watched)
		set->watched--;
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
	join_set(r);
	if (!req)
		return;
	r->tid = fuse_req_ctx(req)->pid;
	fuse_req_interrupt_func(req, on_interrupt, r);
}

void request_end(struct request *r)
{
	if (r->req)
		fuse_req_interrupt_func(r->req, NULL, NULL);
	leave_set(r);
	cancel_finish(&r->cancel);
}
