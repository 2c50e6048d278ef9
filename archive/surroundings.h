/*
 * What lies around a miss: which frames to guess at when nothing follows an order.
 *
 * A program that starts reads here and there, and each miss costs it a round trip, in
 * which the link could have carried many frames. So each miss earns a credit, what the
 * link carries meanwhile. It is spent on the nearest frames on both sides, where the same
 * package's files are, and then further out; the newest miss first. All that is guessed
 * at thus costs the link about as long as readers have waited.
 *
 * Trust falls with what is guessed in vain and rises with each frame that is touched
 * later, and a credit is cut in proportion: readers that jump about in an archive which
 * is much larger than what they use soon stop paying for guesses.
 *
 * Pure; not for several threads at once. Zeroed is not ready: surroundings_init().
 */
#ifndef LARDER_ARCHIVE_SURROUNDINGS_H
#define LARDER_ARCHIVE_SURROUNDINGS_H

#include <stdbool.h>
#include <stdint.h>

#define SURROUNDINGS_PLACES 8

/* Frames [low, high) around a miss need not be looked at any more. */
struct surrounding {
	uint64_t used;   /* by the clock; 0: free */
	uint32_t centre; /* frame */
	uint32_t low, high;
	uint64_t credit; /* stored bytes */
	uint8_t avoid;   /* marks of frames that are passed over */
};

struct surroundings {
	struct surrounding places[SURROUNDINGS_PLACES];
	uint64_t clock; /* counts misses */
	uint64_t trust; /* bytes that may be guessed in vain */
};

/* The frames there are, and which of them are not to be guessed at: those whose marks
 * have a bit of `taken`. All borrowed. */
struct surroundings_map {
	const uint64_t *offsets; /* frames + 1: where each begins in the object */
	uint32_t frames;
	const uint8_t *marks;
	uint8_t taken;
};

void surroundings_init(struct surroundings *s);

/* Frames [first, end) are being waited for; credit: bytes the link carries meanwhile;
 * avoid: marks of what is not to be guessed at around them. */
void surroundings_miss(struct surroundings *s, uint32_t first, uint32_t end,
	uint64_t credit, uint8_t avoid);

/* The next frames to guess at, neighbours of at most `range` stored bytes (but one
 * frame). The caller marks them taken. False: no credit is left. */
bool surroundings_next(struct surroundings *s, const struct surroundings_map *map,
	uint64_t range, uint32_t *ret_first, uint32_t *ret_count);

/* A frame that was guessed at has been touched. */
void surroundings_right(struct surroundings *s);

#endif
