#include "fs/feeder.h"

#include <sys/stat.h>

#include "fs/attributes.h"

#define NEIGHBOURS_MOST 1024 /* siblings looked at, each way */

/* The span holds the frame until it is released. */
static bool content_at_hand(struct generation *g, uint32_t entry, struct span *ret)
{
	const struct index *ix = generation_index(g);
	struct entry_info info;
	if (!S_ISREG(index_mode(ix, entry)) || marks_has(generation_marks(g), entry))
		return false;
	index_info(ix, entry, &info);
	return info.size && info.size <= FEEDER_MOST &&
	       reader_peek(generation_reader(g), entry, ret);
}

static void feed_file(struct feeder *f, struct generation *g, uint32_t entry)
{
	struct span span;
	if (!content_at_hand(g, entry, &span))
		return;
	if (marks_set(generation_marks(g), entry))
		f->store(f->arg,
			attributes_inode(generation_index(g), generation_slot(g), entry),
			span.data, span.len);
	reader_release(generation_reader(g), &span, 1);
}

/* Children [first, end) of one directory. */
static void feed(struct feeder *f, struct generation *g, uint32_t first, uint32_t end)
{
	if (atomic_fetch_add(&f->busy, 1) < FEEDERS_MOST)
		for (uint32_t entry = first; entry < end; entry++)
			feed_file(f, g, entry);
	atomic_fetch_sub(&f->busy, 1);
}

static bool is_elsewhere(
	const struct index *ix, uint32_t entry, uint64_t begin, uint64_t end)
{
	if (!S_ISREG(index_mode(ix, entry)))
		return false;
	uint64_t place = index_place(ix, entry);
	return place < begin || place >= end;
}

void feeder_read(struct feeder *f, struct generation *g, uint32_t entry)
{
	const struct index *ix = generation_index(g);
	uint32_t directory = index_parent(ix, entry), count;
	if (!marks_set(generation_marks(g), entry) || !f->store ||
		!marks_has(generation_marks(g), directory) || generation_retired(g))
		return;
	uint64_t begin;
	uint32_t frame = index_frame_at(ix, index_place(ix, entry), &begin);
	uint64_t end = index_frame_begin(ix, frame + 1);
	uint32_t least = index_children(ix, directory, &count), most = least + count;
	if (entry - least > NEIGHBOURS_MOST)
		least = entry - NEIGHBOURS_MOST;
	if (most - entry > NEIGHBOURS_MOST)
		most = entry + NEIGHBOURS_MOST;
	uint32_t first = entry, last = entry + 1;
	while (first > least && !is_elsewhere(ix, first - 1, begin, end))
		first--;
	while (last < most && !is_elsewhere(ix, last, begin, end))
		last++;
	feed(f, g, first, last);
}

static void session_store(void *arg, uint64_t inode, const void *data, size_t len)
{
	struct fuse_bufvec content = FUSE_BUFVEC_INIT(len);
	content.buf[0].mem = (void *)data;
	fuse_lowlevel_notify_store(arg, inode, 0, &content, 0);
}

void feeder_attach(struct feeder *f, struct fuse_session *session)
{
	f->arg = session;
	f->store = session_store;
}
