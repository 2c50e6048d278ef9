/*
 * The queue of a transfer: tasks by priority, then arrival; part of fetch/transfer.
 *
 * Plain data, protected by the transfer's lock. Each task in it is one reference.
 */
#ifndef LARDER_FETCH_TRANSFER_QUEUE_H
#define LARDER_FETCH_TRANSFER_QUEUE_H

#include "fetch/transfer_task.h"

#define PRIORITIES (PRIORITY_PREFETCH + 1)

struct transfer_queue {
	struct {
		struct transfer_task *first, *last;
	} lanes[PRIORITIES];
};

/* Takes over a reference. */
void queue_push(struct transfer_queue *q, struct transfer_task *task);

/* Takes a task that is in the queue out of it; its reference is the caller's. */
void queue_remove(struct transfer_queue *q, struct transfer_task *task);

/* The next task of this priority or a more urgent one, taken out; NULL when there is
 * none. */
struct transfer_task *queue_pop(struct transfer_queue *q, enum call_priority least);

bool queue_has(const struct transfer_queue *q, enum call_priority priority);

#endif
