#include "archive/frame_cache.h"

#include <string.h>

#include "archive/frame_cache_private.h"

#define SPARE_PART 4 /* one part in so many of the budget is for spare buffers */
#define SPARE_MAX  8 /* buffers */

int frame_cache_new(const struct archive *a, struct range_source *source, size_t budget,
	struct frame_cache **ret)
{
	CLEANUP(cleanup_frame_cache) struct frame_cache *c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	*c = (struct frame_cache){
		.name = archive_name(a),
		.ix = archive_index(a),
		.source = source,
		.spare_max = budget / SPARE_PART,
		.lock = PTHREAD_MUTEX_INITIALIZER,
	};
	decoders_init(&c->own_decoders);
	c->decoders = &c->own_decoders;
	size_t frames = index_frame_count(c->ix);
	c->slots = calloc(frames + 1, sizeof(struct frame *));
	c->touched = calloc(frames / 8 + 1, 1);
	if (!c->slots || !c->touched ||
		arena_init(&c->arena, budget - budget / SPARE_PART) < 0)
		return -ENOMEM;
	*ret = steal_pointer(c);
	return 0;
}

/* Under lock, as are all functions down to frame_cache_settle(). */
struct frame *frame_new(struct frame_cache *c, uint32_t number)
{
	struct frame *f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	f->number = number;
	f->state = LOADING;
	f->refs = 1;
	if (condition_init(&f->changed) < 0) {
		free(f);
		return NULL;
	}
	c->slots[number] = f;
	return f;
}

void run_unref(struct frame_cache *c, struct run **run)
{
	struct run *r = steal_pointer(*run);
	if (!r || --r->refs)
		return;
	buffers_give(&c->spare, r->stored);
	free(r);
}

static void frame_free(struct frame_cache *c, struct frame *f)
{
	if (c->slots[f->number] == f)
		c->slots[f->number] = NULL;
	run_unref(c, &f->run);
	if (!arena_give(&c->arena, f->decoded.data))
		buffers_give(&c->spare, f->decoded);
	pthread_cond_destroy(&f->changed);
	free(f->why);
	free(f);
}

static void list_add(struct frame_cache *c, struct frame *f)
{
	f->older = c->newest;
	f->newer = NULL;
	if (c->newest)
		c->newest->newer = f;
	else
		c->oldest = f;
	c->newest = f;
}

static void list_remove(struct frame_cache *c, struct frame *f)
{
	if (f->older)
		f->older->newer = f->newer;
	else
		c->oldest = f->newer;
	if (f->newer)
		f->newer->older = f->older;
	else
		c->newest = f->older;
}

void frame_unref(struct frame_cache *c, struct frame *f)
{
	if (--f->refs)
		return;
	if (f->state == READY && arena_has(&c->arena, f->decoded.data))
		list_add(c, f);
	else
		frame_free(c, f);
}

/* Ends an attempt: who comes later finds the slot empty. */
void frame_conclude(struct frame_cache *c, struct frame *f, enum frame_state state,
	int code, const struct error *why)
{
	f->state = state;
	f->code = code;
	if (state == FAILED && why && (f->why = malloc(sizeof(*why))))
		*f->why = *why;
	if (state != READY)
		c->slots[f->number] = NULL;
	pthread_cond_broadcast(&f->changed);
}

static bool is_touched(const struct frame_cache *c, uint32_t frame)
{
	return c->touched[frame / 8] >> frame % 8 & 1;
}

static void evict(struct frame_cache *c, struct frame *f)
{
	list_remove(c, f);
	frame_free(c, f);
}

static bool evict_oldest(struct frame_cache *c)
{
	if (!c->oldest)
		return false;
	evict(c, c->oldest);
	return true;
}

/* Without lock from here on, because unmapping takes a while. Spare buffers beyond so many
 * bytes, or so many of them, go: returns their bytes. The usual read changes nothing, and
 * leaves the hoard alone. */
static size_t settle(struct frame_cache *c, size_t bytes, unsigned count)
{
	size_t before, now, given = 0;
	for (;;) {
		struct buffer b = {0};
		{
			LOCK_SCOPE(&c->lock);
			if (c->spare.bytes > bytes || c->spare.count > count)
				buffers_drop(&c->spare, &b);
			c->mapped -= b.size;
			before = c->told;
			now = c->arena.resident + c->spare.bytes;
			if (!b.data)
				c->told = now;
		}
		if (!b.data)
			break;
		given += b.size;
		buffer_unmap(&b);
	}
	if (c->hoard && now != before)
		hoard_tell(c->hoard, before, now);
	return given;
}

void frame_cache_settle(struct frame_cache *c)
{
	settle(c, c->spare_max, SPARE_MAX);
}

/* Returns a stretch of the arena that nobody has to the system: so many bytes. */
static size_t empty_idle(struct frame_cache *c)
{
	size_t len = 0;
	void *idle;
	{
		LOCK_SCOPE(&c->lock);
		idle = arena_take_idle(&c->arena, &len);
	}
	if (!idle)
		return 0;
	arena_empty(idle, len);
	LOCK_SCOPE(&c->lock);
	arena_give_empty(&c->arena, idle);
	return len;
}

/* The frame that somebody demanded last, of those without references. */
static const struct frame *latest(const struct frame_cache *c)
{
	const struct frame *f = c->newest;
	while (f && !is_touched(c, f->number))
		f = f->older;
	return f;
}

/* Frames used last longest ago, of at least so many bytes. Unless all may go, neither the one
 * that is being read nor what nobody has demanded yet: that was put there before what was read
 * last, and is wanted sooner. False: there were none. */
static bool evict_some(struct frame_cache *c, size_t bytes, bool all)
{
	LOCK_SCOPE(&c->lock);
	const struct frame *kept = latest(c);
	size_t before = c->arena.used;
	bool some = false;
	for (struct frame *f = c->oldest, *newer; f; f = newer) {
		newer = f->newer;
		if (before - c->arena.used >= bytes)
			break;
		if (!all && (f == kept || !is_touched(c, f->number)))
			continue;
		evict(c, f);
		some = true;
	}
	return some;
}

static void yield(void *arg, size_t bytes, bool all)
{
	struct frame_cache *c = arg;
	size_t given = settle(c, 0, 0);
	do
		for (size_t len = 1; len && given < bytes; given += len)
			len = empty_idle(c);
	while (given < bytes && (evict_some(c, bytes - given, false) ||
					(all && evict_some(c, bytes - given, true))));
	settle(c, 0, 0); /* to tell */
}

void frame_cache_share(struct frame_cache *c, struct hoard *h, struct decoders *d)
{
	c->decoders = d;
	c->hoard = h;
	c->keeper = (struct keeper){.yield = yield, .arg = c};
	hoard_join(h, &c->keeper);
}

static int map_memory(struct frame_cache *c, size_t len, struct buffer *ret)
{
	*ret = (struct buffer){0};
	int r = buffer_map(buffer_size_for(len), ret);
	LOCK_SCOPE(&c->lock);
	c->mapped += ret->size;
	return r;
}

int run_obtain_memory(struct frame_cache *c, size_t len, struct buffer *ret)
{
	{
		LOCK_SCOPE(&c->lock);
		if (buffers_take(&c->spare, len, ret))
			return 0;
	}
	return map_memory(c, len, ret);
}

/* Room in the arena, made by dropping what was used last longest ago. False: all that
 * could go has gone. */
static bool make_room(struct frame_cache *c, size_t len, struct buffer *ret)
{
	LOCK_SCOPE(&c->lock);
	do
		*ret = (struct buffer){arena_take(&c->arena, len), len};
	while (!ret->data && evict_oldest(c));
	return ret->data;
}

/* What finds no room beside what is in use lies outside, and goes with its last
 * reference. */
int frame_obtain_memory(struct frame_cache *c, size_t len, struct buffer *ret)
{
	return make_room(c, len, ret) ? 0 : map_memory(c, len, ret);
}

void frame_cache_free(struct frame_cache *c)
{
	if (!c)
		return;
	if (c->hoard)
		hoard_leave(c->hoard, &c->keeper);
	while (evict_oldest(c))
		;
	arena_finish(&c->arena);
	settle(c, 0, 0);
	decoders_finish(&c->own_decoders);
	pthread_mutex_destroy(&c->lock);
	free(c->slots);
	free(c->touched);
	free(c);
}

const void *frame_data(const struct frame *f)
{
	return f->decoded.data;
}

bool frame_touch(struct frame_cache *c, uint32_t frame)
{
	if (is_touched(c, frame))
		return false;
	c->touched[frame / 8] |= (uint8_t)(1u << frame % 8);
	c->stats.touched_frames++;
	c->stats.touched_bytes +=
		frame_stored_begin(c, frame + 1) - frame_stored_begin(c, frame);
	return true;
}

static struct frame *frame_ref(struct frame_cache *c, struct frame *f)
{
	if (!f->refs)
		list_remove(c, f);
	f->refs++;
	return f;
}

/* Under lock. A reference to the frame in the slot, or to a new one that is the caller's
 * to load. NULL: out of memory. */
struct frame *frame_acquire(struct frame_cache *c, uint32_t number, bool *ret_claimed)
{
	struct frame *f = c->slots[number];
	*ret_claimed = !f;
	if (!f)
		return frame_new(c, number);
	if (f->state == READY)
		c->stats.hits++;
	else
		c->stats.waits++;
	return frame_ref(c, f);
}

void frame_cache_observe(struct frame_cache *c, const struct reader_observer *o)
{
	c->observer = o;
}

bool frame_cache_lacks(struct frame_cache *c, uint32_t first, size_t count)
{
	LOCK_SCOPE(&c->lock);
	for (size_t i = 0; i < count; i++)
		if (!c->slots[first + i])
			return true;
	return false;
}

struct frame *frame_cache_peek(struct frame_cache *c, uint32_t frame, bool *ret_news)
{
	LOCK_SCOPE(&c->lock);
	struct frame *f = c->slots[frame];
	if (!f || f->state != READY)
		return NULL;
	*ret_news = frame_touch(c, frame);
	return frame_ref(c, f);
}

void frame_cache_put(struct frame_cache *c, struct frame *const *frames, size_t count)
{
	{
		LOCK_SCOPE(&c->lock);
		for (size_t i = 0; i < count; i++)
			frame_unref(c, frames[i]);
	}
	frame_cache_settle(c);
}

enum frame_presence frame_cache_presence(
	struct frame_cache *c, uint32_t frame, bool *ret_touched)
{
	LOCK_SCOPE(&c->lock);
	const struct frame *f = c->slots[frame];
	*ret_touched = is_touched(c, frame);
	if (!f)
		return FRAME_ABSENT;
	return f->state == READY ? FRAME_READY : FRAME_LOADING;
}

void frame_cache_link(struct frame_cache *c, struct link_facts *ret)
{
	LOCK_SCOPE(&c->lock);
	link_meter_estimate(&c->link, ret);
}

void frame_cache_stats(struct frame_cache *c, struct reader_stats *ret)
{
	LOCK_SCOPE(&c->lock);
	*ret = c->stats;
	ret->held = c->mapped + c->arena.used;
}
