/*
 * The decoded frames of one archive: each read and decoded once, however many ask.
 *
 * The states of a frame, who owns it and what the lock guards are drawn in
 * docs/threads.md. Memory: `budget` bytes, of which decoded frames have three quarters and
 * spare buffers one; stored bytes under way, and frames in use that find no room, come on
 * top while they are. What is kept counts in a hoard as well, and goes when all caches
 * together keep too much and this one is not used. A demand holds at most FRAME_BATCH
 * frames, and reads at most FRAME_RUN_MAX stored bytes as one range.
 */
#ifndef LARDER_ARCHIVE_FRAME_CACHE_H
#define LARDER_ARCHIVE_FRAME_CACHE_H

#include "archive/reader.h"

#define FRAME_BATCH   64
#define FRAME_RUN_MAX ((size_t)8 << 20) /* bytes; a longer single frame is read alone */

struct decoders;
struct frame_cache;

/* archive and source are borrowed. 0 or -ENOMEM. */
int frame_cache_new(const struct archive *a, struct range_source *source, size_t budget,
	struct frame_cache **ret);
void frame_cache_free(struct frame_cache *c); /* no call under way, no frame held */
DEFINE_CLEANUP(cleanup_frame_cache, struct frame_cache, frame_cache_free);

/* Gets references to the frames [first, first + count), count <= FRAME_BATCH, all of them
 * or none. *ret_waited_ns: how long it took, 0 when all were there. Errors as of
 * reader_spans(). */
int frame_cache_get(struct frame_cache *c, const struct call *call, uint32_t first,
	size_t count, struct frame **ret, uint64_t *ret_waited_ns, struct error *e);
/* Whose `awaited` is called; reader_observe()'s contract. */
void frame_cache_observe(struct frame_cache *c, const struct reader_observer *o);
/* What is kept counts in the hoard from now on, and the decoders (both borrowed) decode.
 * Before any call. */
void frame_cache_share(struct frame_cache *c, struct hoard *h, struct decoders *d);
/* Is one of [first, first + count) absent now? */
bool frame_cache_lacks(struct frame_cache *c, uint32_t first, size_t count);

/* A reference to the frame if it is READY; else NULL. *ret_news: nobody had demanded it
 * before. Nobody has read it yet: it is no hit. */
struct frame *frame_cache_peek(struct frame_cache *c, uint32_t frame, bool *ret_news);
void frame_cache_put(struct frame_cache *c, struct frame *const *frames, size_t count);

/* The decoded bytes; borrowed from the reference. */
const void *frame_data(const struct frame *f);

/* Reads what is absent of [first, first + count). With `decode`, makes it READY, one frame
 * after the other, and keeps what finds room; without, the bytes only pass the source (which
 * may keep them), except for frames that somebody comes to wait for meanwhile. What others
 * are bringing it leaves to them, and does not wait for; they decode it if it would have. */
int frame_cache_load_ahead(struct frame_cache *c, const struct call *call, uint32_t first,
	uint32_t count, bool decode, struct error *e);

enum frame_presence frame_cache_presence(
	struct frame_cache *c, uint32_t frame, bool *ret_touched);
/* Round trip and rate of the range reads made so far. */
void frame_cache_link(struct frame_cache *c, struct link_facts *ret);
void frame_cache_stats(struct frame_cache *c, struct reader_stats *ret);

#endif
