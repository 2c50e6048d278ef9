#include "fs/gate.h"

#include <assert.h>
#include <stdlib.h>

#include "fetch/base/lock.h"
#include "fs/signals.h"

struct gate_queued {
	struct job job;
	struct gate *gate;
	pid_t tid;
	bool queued;      /* under lock */
	bool interrupted; /* under lock */
	struct gate_queued *next, *prev;
};

void gate_init(struct gate *g, struct watcher *watcher)
{
	*g = (struct gate){.lock = PTHREAD_MUTEX_INITIALIZER, .watcher = watcher};
}

void gate_finish(struct gate *g)
{
	assert(!g->inside && !g->first);
	pthread_mutex_destroy(&g->lock);
}

static void enqueue(struct gate *g, struct gate_queued *q)
{
	q->queued = true;
	q->next = NULL;
	q->prev = g->last;
	if (g->last)
		g->last->next = q;
	else
		g->first = q;
	g->last = q;
	g->waiting++;
}

static void dequeue(struct gate *g, struct gate_queued *q)
{
	q->queued = false;
	if (g->next_seen == q)
		g->next_seen = q->next;
	if (q->next)
		q->next->prev = q->prev;
	else
		g->last = q->prev;
	if (q->prev)
		q->prev->next = q->next;
	else
		g->first = q->next;
	g->waiting--;
}

static void drop(struct gate_queued *q)
{
	q->job.drop(&q->job);
	free(q);
}

/* On a thread of libfuse's, with req->lock held. Before the job is queued this can only
 * leave word; once it was taken out of the queue, its runner has its own function. What
 * comes after a signal that is no reason to stop, the watcher sees. */
static void on_interrupt(fuse_req_t req, void *data)
{
	struct gate_queued *q = data;
	if (!thread_wants_stop(q->tid, true))
		return;
	{
		LOCK_SCOPE(&q->gate->lock);
		q->interrupted = true;
		if (!q->queued)
			return;
		dequeue(q->gate, q);
	}
	drop(q);
}

static struct gate_queued *take_next(struct gate *g)
{
	LOCK_SCOPE(&g->lock);
	struct gate_queued *q = g->first;
	if (q)
		dequeue(g, q);
	else
		g->inside--;
	return q;
}

/* For who is inside: does what waits, then leaves. */
static void leave(struct gate *g)
{
	struct gate_queued *q;
	while ((q = take_next(g))) {
		/* Waits for an on_interrupt() under way: then q is ours alone. */
		fuse_req_interrupt_func(q->job.req, NULL, NULL);
		q->job.run(&q->job);
		free(q);
	}
}

static bool enter(struct gate *g)
{
	LOCK_SCOPE(&g->lock);
	if (g->inside >= GATE_MOST)
		return false;
	g->inside++;
	return true;
}

enum verdict { VERDICT_QUEUED, VERDICT_RUN, VERDICT_INTERRUPTED };

static enum verdict queue_or_enter(struct gate *g, struct gate_queued *q)
{
	LOCK_SCOPE(&g->lock);
	if (q->interrupted)
		return VERDICT_INTERRUPTED;
	if (g->inside < GATE_MOST) {
		g->inside++;
		return VERDICT_RUN;
	}
	enqueue(g, q);
	return VERDICT_QUEUED;
}

static void run_inside(struct gate *g, struct job *job)
{
	job->run(job);
	leave(g);
}

static void force_entry(struct gate *g)
{
	LOCK_SCOPE(&g->lock);
	g->inside++;
}

static void run_later(struct gate *g, struct job *job)
{
	struct gate_queued *q = malloc(sizeof(*q));
	if (!q) {
		force_entry(g);
		run_inside(g, job);
		return;
	}
	*q = (struct gate_queued){
		.job = *job,
		.gate = g,
		.tid = fuse_req_ctx(job->req)->pid,
	};
	fuse_req_interrupt_func(job->req, on_interrupt, q);
	enum verdict verdict = queue_or_enter(g, q);
	if (verdict == VERDICT_QUEUED) {
		watcher_rouse(g->watcher);
		return;
	}
	fuse_req_interrupt_func(q->job.req, NULL, NULL);
	if (verdict == VERDICT_INTERRUPTED) {
		drop(q);
		return;
	}
	q->job.run(&q->job);
	free(q);
	leave(g);
}

void gate_run(struct gate *g, struct job *job)
{
	if (enter(g))
		run_inside(g, job);
	else
		run_later(g, job);
}

static struct gate_queued *take_first(struct gate *g)
{
	LOCK_SCOPE(&g->lock);
	struct gate_queued *q = g->first;
	if (q)
		dequeue(g, q);
	return q;
}

static struct gate_queued *take_first_of(struct gate *g, pid_t tid)
{
	LOCK_SCOPE(&g->lock);
	struct gate_queued *q = g->first;
	while (q && q->tid != tid)
		q = q->next;
	if (q)
		dequeue(g, q);
	return q;
}

/* One that was taken out. */
static void turn_away(struct gate_queued *q)
{
	fuse_req_interrupt_func(q->job.req, NULL, NULL); /* as in leave() */
	drop(q);
}

void gate_cancel_waiting(struct gate *g)
{
	struct gate_queued *q;
	while ((q = take_first(g)))
		turn_away(q);
}

/* Begins behind the last that was returned, if there are more than that. */
static size_t callers(void *arg, pid_t *ret, size_t most)
{
	struct gate *g = arg;
	size_t count = 0;
	LOCK_SCOPE(&g->lock);
	struct gate_queued *q = g->next_seen ? g->next_seen : g->first;
	for (; q && count < most; q = q->next)
		ret[count++] = q->tid;
	g->next_seen = q;
	return count;
}

static void let_go(void *arg, pid_t tid)
{
	struct gate_queued *q;
	while ((q = take_first_of(arg, tid)))
		turn_away(q);
}

struct crowd gate_crowd(struct gate *g)
{
	return (struct crowd){.arg = g, .callers = callers, .let_go = let_go};
}

bool gate_has_room(struct gate *g)
{
	LOCK_SCOPE(&g->lock);
	return g->inside < GATE_MOST / 2;
}

void gate_stats(struct gate *g, unsigned *ret_inside, unsigned *ret_waiting)
{
	LOCK_SCOPE(&g->lock);
	*ret_inside = g->inside;
	*ret_waiting = g->waiting;
}
