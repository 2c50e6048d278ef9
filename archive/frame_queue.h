/*
 * The frame queue: plans go in, in order; workers make frames; frames come out, in order.
 *
 *     frame n:  PLANNED --a worker takes it--> AT WORK --done or failed--> READY --out-->
 *
 * Plans may pile up (40 bytes each); frames at work or ready are
 * at most `window`, each in a slot whose memory is used again. Workers take plans in the
 * order of the tar, so the oldest frame is always at work or ready when any is.
 *
 * One mutex guards plans and slots' states; it is a leaf. A slot at work belongs to its
 * worker, one that is ready to the feeding thread.
 */
#ifndef LARDER_ARCHIVE_FRAME_QUEUE_H
#define LARDER_ARCHIVE_FRAME_QUEUE_H

#include "archive/packer.h"
#include "fetch/base/call.h"

struct frame_queue;

struct frame_slot {
	struct frame_plan plan;
	struct packed_frame frame;
	int result;         /* what packer_make() returned */
	struct error error; /* when that failed */
	bool ready;         /* under lock */
};

/* 0 or -ENOMEM. */
int frame_queue_new(size_t window, struct frame_queue **ret);

/* No other thread may be in a call. */
void frame_queue_free(struct frame_queue *q);
DEFINE_CLEANUP(cleanup_frame_queue, struct frame_queue, frame_queue_free);

/* The feeding thread's calls. */

/* 0 or -ENOMEM. */
int frame_queue_add(struct frame_queue *q, const struct frame_plan *plans, size_t count);

/* The oldest frame if it is ready, else NULL. It stays the oldest until the pop. */
struct frame_slot *frame_queue_peek(struct frame_queue *q);
void frame_queue_pop(struct frame_queue *q);

/* True when all that was added has come out. */
bool frame_queue_empty(struct frame_queue *q);

/* Waits until the oldest frame is ready: 0, or what call_wait() says. Something must be
 * in the queue, and a worker be alive. */
int frame_queue_wait(struct frame_queue *q, const struct call *call);

/* Workers get no more plans. Any thread. */
void frame_queue_stop(struct frame_queue *q);

/* The workers' calls. */

/* Waits for a plan and room in the window. NULL after frame_queue_stop(). */
struct frame_slot *frame_queue_take(struct frame_queue *q);

/* Hands the slot back, its result filled in. */
void frame_queue_done(struct frame_queue *q, struct frame_slot *slot);

#endif
