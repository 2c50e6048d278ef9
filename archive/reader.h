/*
 * A reader: decoded frames of one archive, each decoded once however many ask.
 *
 * Each frame is in one state:
 *
 *     ABSENT --first asker--> LOADING --ok--> READY --evicted, unreferenced--> ABSENT
 *                                \--failed--> ABSENT
 *
 * The first asker (the owner) reads and decodes with its own call's patience; others wait
 * with theirs. When the owner gives up (its deadline, its ^C), one of the waiters becomes
 * the owner; when the read failed for the store's sake, all waiters get that error.
 * Neighbouring absent frames that one call needs are read as one range.
 *
 * READY frames without references are kept, least recently used first out, up to the
 * budget in bytes. One mutex guards states, references and the list; it is a leaf, held
 * over neither reads nor decoding.
 */
#ifndef LARDER_ARCHIVE_READER_H
#define LARDER_ARCHIVE_READER_H

#include "archive/archive.h"

struct reader;
struct frame;

/* archive and source (verified: a chunk source) are borrowed and outlive the reader.
 * 0, -ENOMEM. */
int reader_new(const struct archive *a, struct range_source *source, size_t budget,
	struct reader **ret);
void reader_free(struct reader *r); /* no call under way, no frame held */
DEFINE_CLEANUP(cleanup_reader, struct reader, reader_free);

/* Bytes of one frame that stay in memory until the frame is put back. */
struct span {
	const void *data; /* borrowed from the frame */
	size_t len;
	struct frame *frame;
};

/* The content of a regular file, [offset, offset + len) cut at its end, as at most
 * max_spans spans (so possibly fewer bytes: then ask again). *ret_count is 0 at the end
 * of the file. All or nothing. -EISDIR when it is no file; range_source_read()'s errors,
 * -EBADMSG when a frame does not decompress to what the index says, -ENOMEM. */
int reader_spans(struct reader *r, const struct call *call, uint32_t entry,
	uint64_t offset, size_t len, struct span *ret, size_t max_spans, size_t *ret_count,
	struct error *e);
void reader_release(struct reader *r, struct span *spans, size_t count);

/* The same, copied into buf: reads exactly what is there. */
int reader_read(struct reader *r, const struct call *call, uint32_t entry,
	uint64_t offset, size_t len, void *buf, size_t *ret_read, struct error *e);

/* Loads frames [first, first + count) that are absent, for later; returns when done. */
int reader_prefetch(struct reader *r, const struct call *call, uint32_t first,
	uint32_t count, struct error *e);

struct reader_stats {
	uint64_t decoded_frames;
	uint64_t decoded_bytes;
	uint64_t hits;  /* frames found READY */
	uint64_t waits; /* frames found LOADING */
	size_t held;    /* bytes decoded in memory now */
};
void reader_stats(struct reader *r, struct reader_stats *ret);

#endif
