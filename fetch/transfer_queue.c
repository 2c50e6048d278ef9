#include "fetch/transfer_queue.h"

void queue_push(struct transfer_queue *q, struct transfer_task *task)
{
	__typeof__(&q->lanes[0]) lane = &q->lanes[task->priority];
	task->next = NULL;
	task->prev = lane->last;
	if (lane->last)
		lane->last->next = task;
	else
		lane->first = task;
	lane->last = task;
	task->queued = true;
}

void queue_remove(struct transfer_queue *q, struct transfer_task *task)
{
	__typeof__(&q->lanes[0]) lane = &q->lanes[task->priority];
	if (task->prev)
		task->prev->next = task->next;
	else
		lane->first = task->next;
	if (task->next)
		task->next->prev = task->prev;
	else
		lane->last = task->prev;
	task->next = task->prev = NULL;
	task->queued = false;
}

bool queue_has(const struct transfer_queue *q, enum call_priority priority)
{
	return q->lanes[priority].first;
}

struct transfer_task *queue_pop(struct transfer_queue *q, enum call_priority least)
{
	for (int priority = PRIORITY_DEMAND; priority <= (int)least; priority++) {
		struct transfer_task *task = q->lanes[priority].first;
		if (!task)
			continue;
		queue_remove(q, task);
		return task;
	}
	return NULL;
}
