#include <inttypes.h>
#include <string.h>

#include "archive/frame_cache_private.h"

/* Said of a range, it need not be so of each frame: others may be whole, or be found
 * elsewhere by their digests. */
static bool is_of_some(int code, size_t count)
{
	return count > 1 && (code == -EBADMSG || code == -ESTALE || code == -ENOENT);
}

/* The frames of one range are there, or did not come. */
static void conclude_run(struct frame_cache *c, struct frame *const *frames, size_t count,
	struct run *run, int code, bool ahead, const struct error *why)
{
	bool mine_to_give_up = ahead || code == -ETIMEDOUT || code == -ECANCELED ||
			       is_of_some(code, count);
	LOCK_SCOPE(&c->lock);
	for (size_t i = 0; i < count; i++) {
		if (code < 0) {
			frame_conclude(c, frames[i], mine_to_give_up ? GIVEN_UP : FAILED,
				code, why);
			continue;
		}
		frames[i]->run = run;
		frames[i]->state = FETCHED;
		pthread_cond_broadcast(&frames[i]->changed);
	}
}

/* Reads [begin, begin + len) of the object, and how long that takes. */
static int fetch_run(struct frame_cache *c, const struct call *call, struct run *run,
	size_t len, struct error *e)
{
	int r = run_obtain_memory(c, len, &run->stored);
	if (r < 0)
		return error_set(e, r, "no memory to read '%s'", c->name);
	uint64_t start = clock_monotonic_ns();
	r = range_source_read(c->source, call, run->begin, len, run->stored.data, e);
	if (r < 0)
		return r;
	LOCK_SCOPE(&c->lock);
	link_meter_add(&c->link, len, clock_monotonic_ns() - start);
	return 0;
}

/* Reads the stored bytes of neighbouring frames that the caller claimed. */
static int load_run(struct frame_cache *c, const struct call *call,
	struct frame *const *frames, size_t count, bool ahead, struct error *e)
{
	uint64_t begin = frame_stored_begin(c, frames[0]->number);
	uint64_t end = frame_stored_begin(c, frames[count - 1]->number + 1);
	struct error why = {0};
	struct run *run = calloc(1, sizeof(*run));
	int r = -ENOMEM;
	if (!run) {
		error_set(&why, r, "no memory to read '%s'", c->name);
	} else {
		*run = (struct run){.refs = (unsigned)count, .begin = begin};
		r = fetch_run(c, call, run, (size_t)(end - begin), &why);
	}
	conclude_run(c, frames, count, run, r, ahead, &why);
	if (r == 0)
		return 0;
	error_copy(e, &why);
	if (run) {
		LOCK_SCOPE(&c->lock);
		run->refs = 1;
		run_unref(c, &run);
	}
	return r;
}

/* How many of frames[0..count) are claimed neighbours that one range may bring. */
static size_t run_length(const struct frame_cache *c, struct frame *const *frames,
	const bool *claimed, size_t count)
{
	uint64_t begin = frame_stored_begin(c, frames[0]->number);
	size_t n = 1;
	while (n < count && claimed[n] &&
		frame_stored_begin(c, frames[n]->number + 1) - begin <= FRAME_RUN_MAX)
		n++;
	return n;
}

/* Loads all that is claimed, range by range. When one fails, those that were not tried
 * are left to whoever waits for them. */
static int load_claimed(struct frame_cache *c, const struct call *call,
	struct frame *const *frames, const bool *claimed, size_t count, bool ahead,
	struct error *e)
{
	int r = 0;
	for (size_t i = 0, n; i < count; i += n) {
		n = claimed[i] ? run_length(c, frames + i, claimed + i, count - i) : 1;
		if (!claimed[i])
			continue;
		if (r == 0)
			r = load_run(c, call, frames + i, n, ahead, e);
		else
			conclude_run(c, frames + i, n, NULL, r, true, NULL);
	}
	return r;
}

static void say_undecoded(
	const struct frame_cache *c, uint32_t frame, int code, struct error *e)
{
	if (code == -ENOMEM)
		error_set(e, code, "no memory to decode frame %" PRIu32 " of '%s'", frame,
			c->name);
	else
		error_set(e, code,
			"frame %" PRIu32 " of '%s' does not decompress to what the index "
			"says (at offset %" PRIu64 ")",
			frame, c->name, frame_stored_begin(c, frame));
}

/* Decodes a frame that the caller took from FETCHED to DECODING. */
static void decode(struct frame_cache *c, struct frame *f)
{
	uint32_t stored, raw;
	index_frame_sizes(c->ix, f->number, &stored, &raw);
	struct error why = {0};
	struct buffer b;
	int r = frame_obtain_memory(c, raw, &b);
	if (r == 0) {
		uint64_t offset = frame_stored_begin(c, f->number) - f->run->begin;
		const char *from = f->run->stored.data;
		if (index_is_plain(c->ix))
			memcpy(b.data, from + offset, raw);
		else
			r = decoders_decode(
				c->decoders, from + offset, stored, b.data, raw);
	}
	if (r < 0)
		say_undecoded(c, f->number, r, &why);
	{
		LOCK_SCOPE(&c->lock);
		run_unref(c, &f->run);
		f->decoded = b;
		if (r == 0) {
			c->stats.decoded_frames++;
			c->stats.decoded_bytes += raw;
		}
		frame_conclude(c, f, r == 0 ? READY : FAILED, r, &why);
	}
	frame_cache_settle(c);
}

/* Takes up a frame whose bytes are there and that nobody decodes yet. */
static bool claim_fetched(struct frame_cache *c, struct frame *f)
{
	LOCK_SCOPE(&c->lock);
	if (f->state != FETCHED)
		return false;
	f->state = DECODING;
	return true;
}

static void decode_fetched(
	struct frame_cache *c, struct frame *const *frames, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (claim_fetched(c, frames[i]))
			decode(c, frames[i]);
}

static enum frame_state state_of(struct frame_cache *c, struct frame *f)
{
	LOCK_SCOPE(&c->lock);
	return f->state;
}

/* Before a demand waits for f: a guess that somebody waits for is none any more. */
static void hurry(struct frame_cache *c, struct frame *f)
{
	const struct reader_observer *o = c->observer;
	if (o && o->awaited && f->ahead && state_of(c, f) == LOADING)
		o->awaited(o->arg, f->number);
}

/* Waits until something is to be done about f: 0, or the call's end. */
static int wait_for(struct frame_cache *c, const struct call *call, struct frame *f)
{
	int r = 0;
	hurry(c, f);
	call_attach(call, &c->lock, &f->changed);
	pthread_mutex_lock(&c->lock);
	while (r == 0 && (f->state == LOADING || f->state == DECODING))
		r = call_wait(call, &c->lock, &f->changed);
	pthread_mutex_unlock(&c->lock);
	call_detach(call);
	return r;
}

/* An attempt that was given up: the next one, ours or somebody else's. */
static int try_anew(
	struct frame_cache *c, const struct call *call, struct frame **f, struct error *e)
{
	uint32_t number = (*f)->number;
	struct frame *next;
	bool claimed;
	int r = call_check(call);
	if (r < 0)
		return error_set(e, r, "gave up waiting for frame %" PRIu32 " of '%s'",
			number, c->name);
	{
		LOCK_SCOPE(&c->lock);
		next = frame_acquire(c, number, &claimed);
		if (next) {
			frame_unref(c, *f);
			*f = next;
		}
	}
	if (!next)
		return error_set(e, -ENOMEM, "no memory to read '%s'", c->name);
	return claimed ? load_run(c, call, f, 1, false, e) : 0;
}

/* Brings one frame to READY; *f may become another attempt. */
static int make_ready(
	struct frame_cache *c, const struct call *call, struct frame **f, struct error *e)
{
	int r = 0;
	while (r == 0) {
		switch (state_of(c, *f)) {
		case READY:
			return 0;
		case FAILED:
			error_set(e, (*f)->code, "cannot read '%s'", c->name);
			error_copy(e, (*f)->why);
			return (*f)->code;
		case GIVEN_UP:
			r = try_anew(c, call, f, e);
			break;
		case FETCHED:
			decode_fetched(c, f, 1);
			break;
		case LOADING:
		case DECODING:
			r = wait_for(c, call, *f);
			if (r < 0)
				error_set(e, r,
					"gave up waiting for frame %" PRIu32 " of '%s'",
					(*f)->number, c->name);
			break;
		}
	}
	return r;
}

/* References to all; *ret_ready when there is nothing to wait for. */
static int acquire_all(struct frame_cache *c, uint32_t first, size_t count,
	struct frame **ret, bool *claimed, bool *ret_ready)
{
	LOCK_SCOPE(&c->lock);
	*ret_ready = true;
	keeper_used(&c->keeper);
	for (size_t i = 0; i < count; i++) {
		ret[i] = frame_acquire(c, first + (uint32_t)i, &claimed[i]);
		if (!ret[i]) {
			while (i--) {
				if (claimed[i])
					frame_conclude(
						c, ret[i], GIVEN_UP, -ENOMEM, NULL);
				frame_unref(c, ret[i]);
			}
			return -ENOMEM;
		}
		frame_touch(c, first + (uint32_t)i);
		*ret_ready &= ret[i]->state == READY;
	}
	return 0;
}

int frame_cache_get(struct frame_cache *c, const struct call *call, uint32_t first,
	size_t count, struct frame **ret, uint64_t *ret_waited_ns, struct error *e)
{
	bool claimed[FRAME_BATCH], ready;
	int r = acquire_all(c, first, count, ret, claimed, &ready);
	if (r < 0)
		return error_set(e, r, "no memory to read '%s'", c->name);
	*ret_waited_ns = 0;
	if (ready)
		return 0;
	uint64_t begin = clock_monotonic_ns();
	for (size_t i = 0; i < count; i++)
		hurry(c, ret[i]);
	r = load_claimed(c, call, ret, claimed, count, false, e);
	if (r == 0)
		decode_fetched(c, ret, count);
	for (size_t i = 0; r == 0 && i < count; i++)
		r = make_ready(c, call, &ret[i], e);
	if (r < 0)
		frame_cache_put(c, ret, count);
	else
		*ret_waited_ns = clock_monotonic_ns() - begin + 1;
	return r;
}

/* Claims the next absent frames of [*at, end), at most what one range may bring. What
 * another prefetch is bringing stays with that one, which decodes it if either would. */
static size_t claim_ahead(struct frame_cache *c, uint32_t *at, uint32_t end, bool decode,
	struct frame **ret)
{
	LOCK_SCOPE(&c->lock);
	for (; *at < end && c->slots[*at]; ++*at)
		c->slots[*at]->decode |= decode;
	uint64_t begin = frame_stored_begin(c, *at);
	size_t n = 0;
	while (n < FRAME_BATCH && *at < end && !c->slots[*at] &&
		(!n || frame_stored_begin(c, *at + 1) - begin <= FRAME_RUN_MAX)) {
		ret[n] = frame_new(c, *at);
		if (!ret[n])
			break;
		ret[n]->ahead = true;
		ret[n]->decode = decode;
		++n;
		++*at;
	}
	return n;
}

/* Lets a frame go that nobody wants decoded: true. Whoever wants it later finds an empty
 * slot, and who wanted it before is not passed over. */
static bool drop_undecoded(struct frame_cache *c, struct frame *f)
{
	LOCK_SCOPE(&c->lock);
	if (f->decode)
		return false;
	frame_unref(c, f);
	return true;
}

/* One after the other: what is decoded may go again when the next one needs its room. */
static void put_ahead(struct frame_cache *c, struct frame *const *frames, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (drop_undecoded(c, frames[i]))
			continue;
		decode_fetched(c, frames + i, 1);
		frame_cache_put(c, frames + i, 1);
	}
	frame_cache_settle(c);
}

int frame_cache_load_ahead(struct frame_cache *c, const struct call *call, uint32_t first,
	uint32_t count, bool decode, struct error *e)
{
	uint32_t at = first, end = first + count;
	struct frame *frames[FRAME_BATCH];
	int r = 0;
	while (r == 0 && at < end) {
		size_t n = claim_ahead(c, &at, end, decode, frames);
		if (!n)
			return at < end ? error_set(e, -ENOMEM, "no memory to read '%s'",
						  c->name)
					: 0;
		r = load_run(c, call, frames, n, true, e);
		put_ahead(c, frames, n);
		if (r == 0)
			r = call_check(call);
	}
	return r;
}
