#include "archive/reader.h"

#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "archive/format.h"
#include "archive/frame_cache.h"

#define READ_SPANS 16 /* spans of one round of reader_read() */

struct reader {
	const struct archive *archive; /* borrowed */
	const struct index *ix;        /* borrowed */
	struct frame_cache *frames;    /* owned */
	const struct reader_observer *observer; /* borrowed; NULL: none */
};

int reader_new(const struct archive *a, struct range_source *source, size_t budget,
	struct reader **ret)
{
	CLEANUP(cleanup_reader) struct reader *r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->archive = a;
	r->ix = archive_index(a);
	int e = frame_cache_new(a, source, budget, &r->frames);
	if (e < 0)
		return e;
	*ret = steal_pointer(r);
	return 0;
}

void reader_free(struct reader *r)
{
	if (!r)
		return;
	frame_cache_free(r->frames);
	free(r);
}

const struct archive *reader_archive(const struct reader *r)
{
	return r->archive;
}

/* A part of the tar: where it begins and in which frames it lies. */
struct extent {
	uint64_t place;
	uint64_t len;
	uint32_t first;       /* frame */
	uint64_t first_begin; /* of that frame in the tar */
	size_t frames;
};

/* Cuts *x so that it lies in at most max_frames frames. */
static void find_frames(const struct index *ix, struct extent *x, size_t max_frames)
{
	x->first = index_frame_at(ix, x->place, &x->first_begin);
	uint64_t end = x->first_begin;
	x->frames = 0;
	while (x->frames < max_frames && end < x->place + x->len)
		end = index_frame_begin(ix, x->first + (uint32_t)++x->frames);
	if (end < x->place + x->len)
		x->len = end - x->place;
}

/* Each span is the part of its frame that lies in *x. */
static void cut_spans(const struct index *ix, const struct extent *x,
	struct frame *const *frames, struct span *ret)
{
	uint64_t begin = x->first_begin, place = x->place, left = x->len;
	for (size_t i = 0; i < x->frames; i++) {
		uint64_t end = index_frame_begin(ix, x->first + (uint32_t)i + 1);
		uint64_t len = end - place < left ? end - place : left;
		ret[i] = (struct span){
			.data = (const char *)frame_data(frames[i]) + (place - begin),
			.len = (size_t)len,
			.frame = frames[i],
		};
		place += len;
		left -= len;
		begin = end;
	}
}

static int refuse_other_types(const struct reader *r, uint32_t entry, struct error *e)
{
	if (S_ISREG(index_mode(r->ix, entry)))
		return 0;
	char path[256];
	index_path(r->ix, entry, path, sizeof(path));
	return error_set(e, -EISDIR, "'%s' in '%s' is not a regular file", path,
		archive_name(r->archive));
}

int reader_spans(struct reader *r, const struct call *call, uint32_t entry,
	uint64_t offset, size_t len, struct span *ret, size_t max_spans,
	size_t *ret_count, struct error *e)
{
	int code = refuse_other_types(r, entry, e);
	if (code < 0)
		return code;
	struct entry_info info;
	index_info(r->ix, entry, &info);
	*ret_count = 0;
	if (offset >= info.size || !len || !max_spans)
		return 0;
	struct extent x = {
		.place = index_place(r->ix, entry) + offset,
		.len = len < info.size - offset ? len : info.size - offset,
	};
	find_frames(r->ix, &x, max_spans < FRAME_BATCH ? max_spans : FRAME_BATCH);
	struct frame *frames[FRAME_BATCH];
	uint64_t waited_ns = 0;
	const struct reader_observer *o = r->observer;
	if (o && frame_cache_lacks(r->frames, x.first, x.frames))
		o->miss(o->arg, x.first, (uint32_t)x.frames);
	code = frame_cache_get(r->frames, call, x.first, x.frames, frames, &waited_ns, e);
	if (code < 0)
		return code;
	cut_spans(r->ix, &x, frames, ret);
	*ret_count = x.frames;
	if (o)
		o->met(o->arg, x.first, (uint32_t)x.frames, waited_ns);
	return 0;
}

bool reader_peek(struct reader *r, uint32_t entry, struct span *ret)
{
	struct entry_info info;
	index_info(r->ix, entry, &info);
	struct extent x = {.place = index_place(r->ix, entry), .len = info.size};
	if (!S_ISREG(info.mode) || !info.size)
		return false;
	find_frames(r->ix, &x, 1);
	bool news;
	struct frame *frame =
		x.len == info.size ? frame_cache_peek(r->frames, x.first, &news) : NULL;
	if (!frame)
		return false;
	cut_spans(r->ix, &x, &frame, ret);
	if (news && r->observer)
		r->observer->met(r->observer->arg, x.first, 1, 0);
	return true;
}

void reader_release(struct reader *r, struct span *spans, size_t count)
{
	while (count) {
		struct frame *frames[FRAME_BATCH];
		size_t n = 0;
		while (n < count && n < FRAME_BATCH) {
			frames[n] = spans[n].frame;
			n++;
		}
		frame_cache_put(r->frames, frames, n);
		spans += n;
		count -= n;
	}
}

int reader_read(struct reader *r, const struct call *call, uint32_t entry,
	uint64_t offset, size_t len, void *buf, size_t *ret_read, struct error *e)
{
	char *to = buf;
	size_t done = 0, count;
	do {
		struct span spans[READ_SPANS];
		int code = reader_spans(r, call, entry, offset + done, len - done, spans,
			READ_SPANS, &count, e);
		if (code < 0)
			return code;
		for (size_t i = 0; i < count; i++) {
			memcpy(to + done, spans[i].data, spans[i].len);
			done += spans[i].len;
		}
		reader_release(r, spans, count);
	} while (count && done < len);
	*ret_read = done;
	return 0;
}

int reader_prefetch(struct reader *r, const struct call *call, uint32_t first,
	uint32_t count, bool decode, struct error *e)
{
	return frame_cache_load_ahead(r->frames, call, first, count, decode, e);
}

enum frame_presence reader_presence(struct reader *r, uint32_t frame, bool *ret_touched)
{
	return frame_cache_presence(r->frames, frame, ret_touched);
}

void reader_link(struct reader *r, struct link_facts *ret)
{
	frame_cache_link(r->frames, ret);
}

void reader_observe(struct reader *r, const struct reader_observer *o)
{
	r->observer = o;
	frame_cache_observe(r->frames, o);
}

void reader_share(struct reader *r, struct hoard *h, struct decoders *d)
{
	frame_cache_share(r->frames, h, d);
}

void reader_stats(struct reader *r, struct reader_stats *ret)
{
	frame_cache_stats(r->frames, ret);
}
