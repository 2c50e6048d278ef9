#include "fs/gate.h"

#include <assert.h>
#include <errno.h>
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

void gate_init(struct gate *g)
{
	*g = (struct gate){.lock = PTHREAD_MUTEX_INITIALIZER};
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

static void answer_interrupted(struct gate_queued *q)
{
	fuse_reply_err(q->job.req, EINTR);
	free(q);
}

/* On a thread of libfuse's, with req->lock held. Before the job is queued this can only
 * leave word; once it was taken out of the queue, its runner has its own function. */
static void on_interrupt(fuse_req_t req, void *data)
{
	struct gate_queued *q = data;
	if (!thread_wants_stop(q->tid))
		return;
	{
		LOCK_SCOPE(&q->gate->lock);
		q->interrupted = true;
		if (!q->queued)
			return;
		dequeue(q->gate, q);
	}
	answer_interrupted(q);
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
	if (verdict == VERDICT_QUEUED)
		return;
	fuse_req_interrupt_func(q->job.req, NULL, NULL);
	if (verdict == VERDICT_INTERRUPTED) {
		answer_interrupted(q);
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

void gate_cancel_waiting(struct gate *g)
{
	for (;;) {
		struct gate_queued *q;
		{
			LOCK_SCOPE(&g->lock);
			q = g->first;
			if (!q)
				return;
			dequeue(g, q);
		}
		fuse_req_interrupt_func(q->job.req, NULL, NULL);
		answer_interrupted(q);
	}
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
