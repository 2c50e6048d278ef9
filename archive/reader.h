/*
 * A reader: decoded frames of one archive, each decoded once however many ask.
 *
 * To its users a frame is in one of three states (docs/threads.md has the whole picture):
 *
 *     ABSENT --first asker--> LOADING --ok--> READY --evicted, unreferenced--> ABSENT
 *                                \--failed--> ABSENT
 *
 * The first asker (the owner) reads with its own call's patience; others wait with theirs.
 * When the owner gives up (its deadline, its ^C), one of the waiters becomes the owner;
 * when the read failed for the store's sake, all waiters get that error. Neighbouring
 * absent frames that one call needs are read as one range. Frames that a prefetch has
 * under way are waited for, not read twice; a prefetch that fails is a demand's to repeat.
 *
 * READY frames without references are kept, least recently used first out. All buffers
 * together keep to the budget, but for what is in use at the moment.
 */
#ifndef LARDER_ARCHIVE_READER_H
#define LARDER_ARCHIVE_READER_H

#include "archive/archive.h"
#include "archive/link_meter.h"

struct reader;
struct frame;
struct hoard;
struct decoders;

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

/* The whole content of a regular file that lies in one frame, if that is READY; waits for
 * nothing. It touches the frame as a demand does, but is no hit: what is peeked at is
 * given away unasked, often many times a frame. False: no such span. */
bool reader_peek(struct reader *r, uint32_t entry, struct span *ret);

/* Loads what is absent of frames [first, first + count), within the archive, for later;
 * returns when done. With `decode` the frames become READY, so what they decode to should be
 * well within the budget: the last ones take the room of the first. Without, their stored
 * bytes only pass the source, which may keep them on disk. */
int reader_prefetch(struct reader *r, const struct call *call, uint32_t first,
	uint32_t count, bool decode, struct error *e);

/* What a prefetch policy wants to know. */
enum frame_presence { FRAME_ABSENT, FRAME_LOADING, FRAME_READY };

/* *ret_touched: a demand asked for it at some time. */
enum frame_presence reader_presence(struct reader *r, uint32_t frame, bool *ret_touched);

/* Round trip and rate of the range reads made so far; concurrency is left alone. */
void reader_link(struct reader *r, struct link_facts *ret);

/* Who is told of demands, on their threads and without any lock held. */
struct reader_observer {
	/* Some of the frames [first, first + count) are absent, and will be read now. */
	void (*miss)(void *arg, uint32_t first, uint32_t count);
	/* A prefetch is reading the frame, and a demand will wait for that; NULL: nobody
	 * wants to know. */
	void (*awaited)(void *arg, uint32_t frame);
	/* The frames were got, and took waited_ns to come (0: were there). */
	void (*met)(void *arg, uint32_t first, uint32_t count, uint64_t waited_ns);
	void *arg;
};

/* To be set while no call is under way; borrowed; NULL for none. */
void reader_observe(struct reader *r, const struct reader_observer *o);

/* What it keeps counts in the hoard from now on, and may go when that is too large; and it
 * decodes with these decoders, not with its own. Both are borrowed and outlive it. Before any
 * call. */
void reader_share(struct reader *r, struct hoard *h, struct decoders *d);

const struct archive *reader_archive(const struct reader *r); /* borrowed */

struct reader_stats {
	uint64_t decoded_frames;
	uint64_t decoded_bytes;
	uint64_t hits;           /* frames that a demand found READY */
	uint64_t waits;          /* the same, LOADING */
	uint64_t touched_frames; /* different ones that were demanded */
	uint64_t touched_bytes;  /* the same, as stored */
	size_t held;             /* bytes of all buffers now: what the budget counts */
};
void reader_stats(struct reader *r, struct reader_stats *ret);

#endif
