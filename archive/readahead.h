/*
 * What to read before anybody asks: the policy alone.
 *
 * Pure: told what was touched, when, and what the link is like, it says which frames to
 * read next. It keeps a few *streams*, places where frames are touched in order. Ahead of
 * each it wants a window, which doubles while guesses are right, halves when frames are
 * skipped, and starts small or not at all when earlier guesses were wrong. It is counted in
 * stored bytes, which cost time, and ends where the frames in it would decode to more than a
 * quarter of the memory, but is one frame at least: zeros take a thousandth of their size.
 *
 * Where no order is followed, it guesses at what lies around each miss while that miss is
 * waited for (archive/surroundings.h).
 *
 * *Bulk*: sooner or later reading everything that is left, in parallel, costs less than
 * going on to wait for pieces. As one who does not know how long he will ski buys when
 * the rent paid has reached the price, it goes over to bulk when
 *
 *     waited x min(1, 8 x part of the object touched)  >=  round trip + rest / rate
 *
 * where waited (the time that readers have stood still) fades with a half-life of four
 * times the price, so that a slow trickle is no reason. Bulk needs a source that keeps
 * all that passes (a disk cache with room for it), or an archive that fits into memory
 * decoded: what is fetched and dropped is fetched again. For guesses less room will do.
 * Room may come and go; what needs it waits as long as it is not there.
 *
 * After a failure it wants nothing until a demand has succeeded. Not for several threads
 * at once. Memory: a byte a frame.
 */
#ifndef LARDER_ARCHIVE_READAHEAD_H
#define LARDER_ARCHIVE_READAHEAD_H

#include <stdbool.h>
#include <stddef.h>

#include "archive/link_meter.h"
#include "fetch/base/cleanup.h"

struct readahead_shape {
	uint32_t frames;
	const uint64_t
		*offsets; /* borrowed; frames + 1: where each begins in the object */
	const uint64_t *places; /* the same in the tar, so decoded */
	size_t memory;          /* bytes of decoded frames that may lie ahead at first */
};

struct readahead_wish {
	uint32_t first;
	uint32_t count;
	bool decode; /* else the bytes need only pass the source */
};

struct readahead_stats {
	bool bulk;
	unsigned confidence; /* 0 to 256: of the guesses so far */
	uint64_t waited_ns;  /* faded */
	uint64_t touched;    /* stored bytes of different frames */
	uint64_t right;      /* frames wished for and touched later */
	uint64_t wished;     /* frames */
};

struct readahead;

/* NULL when out of memory. */
struct readahead *readahead_new(const struct readahead_shape *shape);
void readahead_free(struct readahead *ra);
DEFINE_CLEANUP(cleanup_readahead, struct readahead, readahead_free);

/* The frame is a piece of one large file: who reads it follows an order, or wants that
 * file. To be told before anything is touched. */
void readahead_tell_part(struct readahead *ra, uint32_t frame);

/* Of stored bytes that pass the source from now on, so many are kept (at first: none). True
 * when there may be wishes that were not there before. */
bool readahead_tell_room(struct readahead *ra, uint64_t bytes);

/* So many bytes of decoded frames may lie ahead from now on. What does not fit any more is
 * not wished for; what lies there is somebody else's to drop. */
void readahead_tell_memory(struct readahead *ra, size_t memory);

/* Bulk from now on, whatever was touched. */
void readahead_want_all(struct readahead *ra);

/* A demand for [first, first + count), which nobody has asked for yet, is about to wait.
 * True when there are wishes that were not there before. */
bool readahead_miss(struct readahead *ra, const struct link_facts *link, uint32_t first,
	uint32_t count);

/* A demand for [first, first + count) was met at now_ns, after waited_ns. True when there
 * may be wishes that were not there before. */
bool readahead_touch(struct readahead *ra, const struct link_facts *link, uint64_t now_ns,
	uint32_t first, uint32_t count, uint64_t waited_ns);

/* The next frames to read: neighbours, about as many as make one good range. Each frame
 * is wished for once. False: nothing now. */
bool readahead_next(
	struct readahead *ra, const struct link_facts *link, struct readahead_wish *ret);

/* A wish could not be fulfilled. */
void readahead_failed(struct readahead *ra, const struct readahead_wish *wish);

void readahead_stats(const struct readahead *ra, struct readahead_stats *ret);

#endif
