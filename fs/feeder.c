#include "fs/feeder.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "fetch/base/lock.h"
#include "fetch/base/thread.h"
#include "fs/attributes.h"

#define NEIGHBOURS_MOST 1024 /* siblings looked at, each way */

/* Children [first, end) of one directory. */
struct meal {
	struct generation *g; /* one reference */
	uint32_t first, end;
};

struct feeder {
	struct feeder_ops ops;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct meal queue[FEEDER_QUEUE]; /* a ring; under lock */
	unsigned next, count;            /* under lock */
	bool ending;                     /* under lock */
	pthread_t thread;
};

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

static void feed(struct feeder *f, const struct meal *m)
{
	const struct index *ix = generation_index(m->g);
	for (uint32_t entry = m->first; entry < m->end; entry++) {
		struct span span;
		if (!content_at_hand(m->g, entry, &span))
			continue;
		if (marks_set(generation_marks(m->g), entry))
			f->ops.store(f->ops.arg,
				attributes_inode(ix, generation_slot(m->g), entry),
				span.data, span.len);
		reader_release(generation_reader(m->g), &span, 1);
	}
}

/* The next meal; false: it is the end. */
static bool take(struct feeder *f, struct meal *ret)
{
	LOCK_SCOPE(&f->lock);
	while (!f->ending && !f->count)
		pthread_cond_wait(&f->changed, &f->lock);
	if (f->ending)
		return false;
	*ret = f->queue[f->next];
	f->next = (f->next + 1) % FEEDER_QUEUE;
	f->count--;
	return true;
}

static void *serve(void *arg)
{
	struct feeder *f = arg;
	struct meal meal;
	while (take(f, &meal)) {
		feed(f, &meal);
		generation_unref(meal.g);
	}
	return NULL;
}

int feeder_new(const struct feeder_ops *ops, struct feeder **ret)
{
	struct feeder *f = malloc(sizeof(*f));
	if (!f)
		return -ENOMEM;
	*f = (struct feeder){
		.ops = *ops,
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.changed = PTHREAD_COND_INITIALIZER,
	};
	int r = thread_start(&f->thread, serve, f);
	if (r < 0)
		free(f);
	else
		*ret = f;
	return r;
}

static bool begin_end(struct feeder *f)
{
	LOCK_SCOPE(&f->lock);
	bool first = !f->ending;
	f->ending = true;
	pthread_cond_signal(&f->changed);
	return first;
}

void feeder_stop(struct feeder *f)
{
	if (f && begin_end(f))
		pthread_join(f->thread, NULL);
}

void feeder_free(struct feeder *f)
{
	if (!f)
		return;
	feeder_stop(f);
	for (unsigned i = 0; i < f->count; i++)
		generation_unref(f->queue[(f->next + i) % FEEDER_QUEUE].g);
	free(f);
}

static bool enqueue(struct feeder *f, const struct meal *m)
{
	LOCK_SCOPE(&f->lock);
	if (f->ending || f->count == FEEDER_QUEUE)
		return false;
	f->queue[(f->next + f->count++) % FEEDER_QUEUE] = *m;
	pthread_cond_signal(&f->changed);
	return true;
}

static void wish(struct feeder *f, struct generation *g, uint32_t first, uint32_t end)
{
	const struct meal m = {g, first, end};
	generation_ref(g);
	if (first == end || !enqueue(f, &m))
		generation_unref(g);
}

/* Only if its first file is decoded: most listings are made by who reads nothing. */
static bool worth_feeding(struct generation *g, uint32_t first, uint32_t end)
{
	const struct index *ix = generation_index(g);
	for (uint32_t entry = first; entry < end; entry++) {
		uint64_t begin;
		bool touched;
		if (!S_ISREG(index_mode(ix, entry)))
			continue;
		uint32_t frame = index_frame_at(ix, index_place(ix, entry), &begin);
		return reader_presence(generation_reader(g), frame, &touched) ==
		       FRAME_READY;
	}
	return false;
}

void feeder_listed(struct feeder *f, struct generation *g, uint32_t directory,
	uint32_t first, uint32_t count)
{
	if (!f || !count || generation_retired(g))
		return;
	marks_set(generation_marks(g), directory);
	if (worth_feeding(g, first, first + count))
		wish(f, g, first, first + count);
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
	if (!f || !marks_set(generation_marks(g), entry) ||
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
	if (last - first > 1)
		wish(f, g, first, last);
}

static void session_store(void *arg, uint64_t inode, const void *data, size_t len)
{
	struct fuse_bufvec content = FUSE_BUFVEC_INIT(len);
	content.buf[0].mem = (void *)data;
	fuse_lowlevel_notify_store(arg, inode, 0, &content, 0);
}

void feeder_session_ops(struct fuse_session *session, struct feeder_ops *ret)
{
	*ret = (struct feeder_ops){.store = session_store, .arg = session};
}
