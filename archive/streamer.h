/*
 * A source read from front to back, with several ranges under way ahead of the reader.
 *
 * One connection is seldom as fast as the link, so up to STREAMER_STREAMS threads fetch
 * the next pieces while the reader has one. What came with the opening (the tail) is not
 * fetched again. Memory: STREAMER_PIECES pieces, 18 MiB.
 *
 * One thread reads. It waits with its own call's patience; the others give up with it.
 * The lock is a leaf.
 */
#ifndef LARDER_ARCHIVE_STREAMER_H
#define LARDER_ARCHIVE_STREAMER_H

#include "fetch/range_source.h"

#define STREAMER_PIECE   (2u << 20) /* bytes */
#define STREAMER_STREAMS 8
#define STREAMER_PIECES  (STREAMER_STREAMS + 1)

struct streamer;

/* Everything is borrowed for its life; tail: the last tail_len bytes of source. No thread
 * is started before the first byte outside of it is wanted. 0, -ENOMEM. */
int streamer_new(struct range_source *source, const struct call *call, const void *tail,
	size_t tail_len, struct streamer **ret);
void streamer_free(struct streamer *r); /* joins its threads */
DEFINE_CLEANUP(cleanup_streamer, struct streamer, streamer_free);

/* The next bytes, as many as are at hand; none at the end. Borrowed until the next call.
 * range_source_read()'s errors. */
int streamer_next(struct streamer *r, const void **ret, size_t *ret_len, struct error *e);

/* Where the next bytes come from; at most the source's size. */
void streamer_seek(struct streamer *r, uint64_t offset);
uint64_t streamer_position(const struct streamer *r);

#endif
