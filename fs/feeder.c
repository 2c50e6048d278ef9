#include "fs/feeder.h"

#include <sys/stat.h>

#include "fetch/base/lock.h"
#include "fs/attributes.h"
#include "fs/device_io.h"

#define NEIGHBOURS_MOST 1024 /* siblings looked at, each way */

/* Marks are of inodes, so of primaries: another name of the file that is being read would
 * wait for the answer to that very read. The span holds the frame until released. */
static bool content_at_hand(struct generation *g, uint32_t entry, struct span *ret)
{
	const struct index *ix = generation_index(g);
	struct entry_info info;
	if (!S_ISREG(index_mode(ix, entry)) || index_primary(ix, entry) != entry ||
		marks_has(generation_marks(g), entry))
		return false;
	index_info(ix, entry, &info);
	return info.size && info.size <= FEEDER_MOST &&
	       reader_peek(generation_reader(g), entry, ret);
}

void feeder_init(struct feeder *f)
{
	*f = (struct feeder){
		.lock = PTHREAD_MUTEX_INITIALIZER, .rested = PTHREAD_COND_INITIALIZER};
}

void feeder_finish(struct feeder *f)
{
	pthread_cond_destroy(&f->rested);
	pthread_mutex_destroy(&f->lock);
}

static bool begin(struct feeder *f)
{
	LOCK_SCOPE(&f->lock);
	if (!f->store || f->stopped || f->busy == FEEDERS_MOST || !f->has_help(f->arg))
		return false;
	f->busy++;
	return true;
}

static bool is_stopped(struct feeder *f)
{
	LOCK_SCOPE(&f->lock);
	return f->stopped;
}

static void end_feeding(struct feeder *f)
{
	LOCK_SCOPE(&f->lock);
	if (!--f->busy)
		pthread_cond_broadcast(&f->rested);
}

static void give(
	struct feeder *f, struct generation *g, uint32_t entry, const struct span *span)
{
	if (marks_set(generation_marks(g), entry))
		f->store(f->arg,
			attributes_inode(generation_index(g), generation_slot(g), entry),
			span->data, span->len);
}

/* Children [first, end) of one directory. Nobody hears of it where nothing is at hand. */
static void feed(struct feeder *f, struct generation *g, uint32_t first, uint32_t end)
{
	bool begun = false, go_on = true;
	for (uint32_t entry = first; go_on && entry < end; entry++) {
		struct span span;
		if (!content_at_hand(g, entry, &span))
			continue;
		begun = begun || begin(f);
		if (begun)
			give(f, g, entry, &span);
		reader_release(generation_reader(g), &span, 1);
		go_on = begun && !is_stopped(f);
	}
	if (begun)
		end_feeding(f);
}

void feeder_stop(struct feeder *f)
{
	LOCK_SCOPE(&f->lock);
	f->stopped = true;
	while (f->busy)
		pthread_cond_wait(&f->rested, &f->lock);
}

static bool is_elsewhere(
	const struct index *ix, uint32_t entry, uint64_t begin, uint64_t end)
{
	if (!S_ISREG(index_mode(ix, entry)))
		return false;
	uint64_t place = index_place(ix, entry);
	return place < begin || place >= end;
}

/* Siblings of `entry` that lie in its frame, or are no files; itself among them. */
static void find_neighbours(
	const struct index *ix, uint32_t entry, uint32_t *ret_first, uint32_t *ret_end)
{
	uint32_t count;
	uint64_t begin;
	uint32_t frame = index_frame_at(ix, index_place(ix, entry), &begin);
	uint64_t end = index_frame_begin(ix, frame + 1);
	uint32_t least = index_children(ix, index_parent(ix, entry), &count);
	uint32_t most = least + count;
	if (entry - least > NEIGHBOURS_MOST)
		least = entry - NEIGHBOURS_MOST;
	if (most - entry > NEIGHBOURS_MOST)
		most = entry + NEIGHBOURS_MOST;
	*ret_first = entry;
	*ret_end = entry + 1;
	while (*ret_first > least && !is_elsewhere(ix, *ret_first - 1, begin, end))
		--*ret_first;
	while (*ret_end < most && !is_elsewhere(ix, *ret_end, begin, end))
		++*ret_end;
}

void feeder_read(struct feeder *f, struct generation *g, uint32_t entry)
{
	const struct index *ix = generation_index(g);
	struct marks *marks = generation_marks(g);
	struct entry_info info;
	uint32_t first, end;
	index_info(ix, entry, &info);
	if (!marks_set(marks, entry) || !marks_has(marks, index_parent(ix, entry)) ||
		!info.size || generation_retired(g))
		return;
	find_neighbours(ix, entry, &first, &end);
	feed(f, g, first, end);
}

void feeder_listed(struct feeder *f, struct generation *g, uint32_t directory)
{
	uint32_t count;
	uint32_t first = index_children(generation_index(g), directory, &count);
	if (count > NEIGHBOURS_MOST)
		count = NEIGHBOURS_MOST;
	if (marks_has(generation_marks(g), directory) && !generation_retired(g))
		feed(f, g, first, first + count);
}

static void session_store(void *arg, uint64_t inode, const void *data, size_t len)
{
	struct fuse_bufvec content = FUSE_BUFVEC_INIT(len);
	content.buf[0].mem = (void *)data;
	fuse_lowlevel_notify_store(arg, inode, 0, &content, 0);
}

static bool session_has_help(void *arg)
{
	device_io_leave();
	return device_io_is_manned();
}

void feeder_attach(struct feeder *f, struct fuse_session *session)
{
	f->arg = session;
	f->store = session_store;
	f->has_help = session_has_help;
}
