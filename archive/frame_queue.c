#include "archive/frame_queue.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/base/lock.h"

struct frame_queue {
	pthread_mutex_t lock;
	pthread_cond_t work;  /* for workers: a plan, room, or the stop */
	pthread_cond_t ready; /* for the feeding thread: the oldest frame */

	struct frame_plan_vec plans; /* under lock; those before `taken` are done with */
	size_t taken;                /* under lock: index into plans */
	uint64_t begun;              /* under lock: frames handed to workers */
	uint64_t out;                /* under lock: frames popped */
	bool stopped;                /* under lock */
	size_t window;
	struct frame_slot *slots; /* owned; frame n is in slot n % window */
};

int frame_queue_new(size_t window, struct frame_queue **ret)
{
	struct frame_queue *q = calloc(1, sizeof(*q));
	if (!q)
		return -ENOMEM;
	q->window = window;
	q->slots = calloc(window, sizeof(q->slots[0]));
	if (!q->slots) {
		free(q);
		return -ENOMEM;
	}
	pthread_mutex_init(&q->lock, NULL);
	pthread_cond_init(&q->work, NULL);
	condition_init(&q->ready);
	*ret = q;
	return 0;
}

void frame_queue_free(struct frame_queue *q)
{
	if (!q)
		return;
	for (size_t i = 0; i < q->window; i++)
		packed_frame_finish(&q->slots[i].frame);
	free(q->slots);
	frame_plan_vec_finish(&q->plans);
	pthread_cond_destroy(&q->ready);
	pthread_cond_destroy(&q->work);
	pthread_mutex_destroy(&q->lock);
	free(q);
}

/* Moves what is left to the front once that is the smaller part. */
static void drop_taken(struct frame_queue *q)
{
	size_t left = q->plans.len - q->taken;
	if (q->taken < 1024 || left > q->taken)
		return;
	memmove(q->plans.data, q->plans.data + q->taken, left * sizeof(q->plans.data[0]));
	q->plans.len = left;
	q->taken = 0;
}

int frame_queue_add(struct frame_queue *q, const struct frame_plan *plans, size_t count)
{
	LOCK_SCOPE(&q->lock);
	drop_taken(q);
	for (size_t i = 0; i < count; i++) {
		int r = frame_plan_vec_push(&q->plans, plans[i]);
		if (r < 0)
			return r;
	}
	if (count)
		pthread_cond_broadcast(&q->work);
	return 0;
}

static struct frame_slot *slot_of(struct frame_queue *q, uint64_t frame)
{
	return &q->slots[frame % q->window];
}

static bool oldest_ready(struct frame_queue *q)
{
	return q->out < q->begun && slot_of(q, q->out)->ready;
}

struct frame_slot *frame_queue_peek(struct frame_queue *q)
{
	LOCK_SCOPE(&q->lock);
	return oldest_ready(q) ? slot_of(q, q->out) : NULL;
}

void frame_queue_pop(struct frame_queue *q)
{
	LOCK_SCOPE(&q->lock);
	assert(oldest_ready(q));
	q->out++;
	pthread_cond_signal(&q->work);
}

bool frame_queue_empty(struct frame_queue *q)
{
	LOCK_SCOPE(&q->lock);
	return q->out == q->begun && q->taken == q->plans.len;
}

int frame_queue_wait(struct frame_queue *q, const struct call *call)
{
	int r = 0;
	call_attach(call, &q->lock, &q->ready);
	pthread_mutex_lock(&q->lock);
	while (!oldest_ready(q) && r == 0)
		r = call_wait(call, &q->lock, &q->ready);
	pthread_mutex_unlock(&q->lock);
	call_detach(call);
	return r;
}

void frame_queue_stop(struct frame_queue *q)
{
	LOCK_SCOPE(&q->lock);
	q->stopped = true;
	pthread_cond_broadcast(&q->work);
}

static bool can_take(const struct frame_queue *q)
{
	return q->taken < q->plans.len && q->begun - q->out < q->window;
}

struct frame_slot *frame_queue_take(struct frame_queue *q)
{
	LOCK_SCOPE(&q->lock);
	while (!q->stopped && !can_take(q))
		pthread_cond_wait(&q->work, &q->lock);
	if (q->stopped)
		return NULL;
	struct frame_slot *s = slot_of(q, q->begun++);
	s->plan = q->plans.data[q->taken++];
	s->ready = false;
	return s;
}

void frame_queue_done(struct frame_queue *q, struct frame_slot *slot)
{
	LOCK_SCOPE(&q->lock);
	slot->ready = true;
	if (oldest_ready(q))
		pthread_cond_signal(&q->ready);
}
