/*
 * The parts of a frame cache: frame_cache.c has slots, references and memory, and
 * frame_load.c reads, decodes and waits. docs/threads.md draws the states.
 */
#ifndef LARDER_ARCHIVE_FRAME_CACHE_PRIVATE_H
#define LARDER_ARCHIVE_FRAME_CACHE_PRIVATE_H

#include "archive/arena.h"
#include "archive/buffers.h"
#include "archive/decoders.h"
#include "archive/frame_cache.h"
#include "archive/hoard.h"
#include "fetch/base/lock.h"

enum frame_state { LOADING, FETCHED, DECODING, READY, FAILED, GIVEN_UP };

/* The stored bytes of one range, until its frames are decoded or dropped. */
struct run {
	unsigned refs; /* frames that point here; under lock */
	struct buffer stored;
	uint64_t begin; /* in the object */
};

struct frame {
	uint32_t number;
	bool ahead;                  /* claimed by a prefetch */
	bool decode;                 /* that prefetch shall decode it; under lock */
	enum frame_state state;      /* this and the next four: under lock */
	unsigned refs;               /* owner, waiters, holders */
	struct run *run;             /* while FETCHED or DECODING */
	struct frame *older, *newer; /* in the list while READY without references */
	int code;                    /* once FAILED */
	struct error *why;           /* owned; once FAILED; NULL if there was no memory */
	struct buffer decoded;       /* owned; its claimer's, then read-only once READY */
	pthread_cond_t changed;
};

struct frame_cache {
	const char *name; /* borrowed, like ix and source */
	const struct index *ix;
	struct range_source *source;
	const struct reader_observer *observer; /* borrowed; NULL: none */
	struct hoard *hoard;                    /* borrowed; NULL: none */
	size_t spare_max;                       /* bytes */
	struct decoders *decoders;              /* borrowed, or these */
	struct decoders own_decoders;

	pthread_mutex_t lock;          /* guards the rest */
	struct frame **slots;          /* owned; by number; NULL: ABSENT */
	uint8_t *touched;              /* owned; a bit a frame: somebody demanded it */
	struct frame *oldest, *newest; /* READY without references */
	struct arena arena;            /* of decoded frames */
	struct buffers spare;          /* for stored bytes */
	size_t mapped;                 /* bytes of all buffers, spare ones included */
	size_t told;                   /* bytes that the hoard knows of */
	struct keeper keeper;          /* of the arena and the spare buffers */
	struct reader_stats stats;
	struct link_meter link; /* of the reads made */
};

/* Where a frame's stored bytes begin in the object. */
static inline uint64_t frame_stored_begin(const struct frame_cache *c, uint32_t frame)
{
	return index_frame_offsets(c->ix)[frame];
}

/* Under lock: a new attempt in the empty slot, LOADING, with one reference. NULL when
 * out of memory. */
struct frame *frame_new(struct frame_cache *c, uint32_t number);

/* Under lock: a reference to the frame in the slot, or to a new attempt that is the
 * caller's to load. NULL when out of memory. */
struct frame *frame_acquire(struct frame_cache *c, uint32_t number, bool *ret_claimed);
void frame_unref(struct frame_cache *c, struct frame *f);

/* Under lock: ends an attempt as READY, FAILED (with why) or GIVEN_UP. */
void frame_conclude(struct frame_cache *c, struct frame *f, enum frame_state state,
	int code, const struct error *why);

/* Under lock: the frame does not need its stored bytes any more. */
void run_unref(struct frame_cache *c, struct run **run);

/* Under lock: somebody demanded the frame; true: for the first time. */
bool frame_touch(struct frame_cache *c, uint32_t frame);

/* Without lock: memory for a run's stored bytes, and for a decoded frame; dropping them
 * gives it back. 0 or -ENOMEM. */
int run_obtain_memory(struct frame_cache *c, size_t len, struct buffer *ret);
int frame_obtain_memory(struct frame_cache *c, size_t len, struct buffer *ret);

/* Without lock: gives spare memory that is too much back to the system, and tells the hoard
 * what is kept. */
void frame_cache_settle(struct frame_cache *c);

#endif
