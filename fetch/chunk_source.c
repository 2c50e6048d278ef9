#include "fetch/chunk_source.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "fetch/base/bytes.h"
#include "fetch/base/cleanup.h"
#include "fetch/chunk_cache.h"

/* The counters of struct chunk_stats, in its order. */
enum counter {
	CACHE_HITS,
	CACHE_MISSES,
	CACHE_DAMAGED,
	FETCHED_BYTES,
	REFETCHED,
	FALLBACK_HITS,
	COUNTERS,
};

struct chunk_source {
	struct range_source base;
	struct range_source *inner;  /* borrowed */
	struct chunk_table table;    /* arrays borrowed */
	struct chunk_cache *cache;   /* borrowed; NULL: none */
	struct seals *seals;         /* owned; NULL: none, as where nothing is read twice */
	uint64_t number;             /* stands for the table, in claims */
	char *name;                  /* owned */
	chunk_fallback_fn *fallback; /* set before the first read; NULL: none */
	void *fallback_arg;
	atomic_uint_fast64_t counters[COUNTERS];
};

/* One read under way: chunks [first, end) go to buf. Everything is borrowed. */
struct chunk_read {
	struct chunk_source *s;
	const struct call *call;
	size_t first;
	size_t end;
	unsigned char *buf;
	struct error *e;
};

static void count(struct chunk_source *s, enum counter c, uint64_t n)
{
	atomic_fetch_add_explicit(&s->counters[c], n, memory_order_relaxed);
}

static size_t chunk_len(const struct chunk_source *s, size_t i)
{
	return (size_t)(s->table.offsets[i + 1] - s->table.offsets[i]);
}

static unsigned char *place_of(const struct chunk_read *r, size_t i)
{
	return r->buf + (r->s->table.offsets[i] - r->s->table.offsets[r->first]);
}

static struct chunk chunk_of(const struct chunk_source *s, size_t i)
{
	return (struct chunk){
		.digest = &s->table.digests[i],
		.len = chunk_len(s, i),
		.seals = s->seals,
		.number = i,
	};
}

/* 0; -EBADMSG: the bytes in place are others; -ENOMEM. */
static int prove(const struct chunk_read *r, size_t i)
{
	const struct chunk want = chunk_of(r->s, i);
	int code = chunk_prove(&want, place_of(r, i));
	if (code == -ENOMEM)
		return error_set_errno(r->e, code, "cannot check '%s'", r->s->name);
	return code;
}

static bool get_from_cache(const struct chunk_read *r, size_t i)
{
	struct chunk_source *s = r->s;
	if (!s->cache)
		return false;
	const struct chunk want = chunk_of(s, i);
	int code = chunk_cache_get(s->cache, &want, place_of(r, i));
	count(s, code == 0 ? CACHE_HITS : CACHE_MISSES, 1);
	count(s, CACHE_DAMAGED, code == -EBADMSG);
	return code == 0;
}

/* Chunks [begin, end), whose bytes have been proved. */
static void keep(const struct chunk_read *r, size_t begin, size_t end)
{
	const struct chunk_table *t = &r->s->table;
	if (r->s->cache && begin < end)
		chunk_cache_put_run(r->s->cache, t->digests + begin, t->offsets + begin,
			end - begin, place_of(r, begin));
}

static int fetch(const struct chunk_read *r, size_t begin, size_t end)
{
	const uint64_t *offsets = r->s->table.offsets;
	size_t len = (size_t)(offsets[end] - offsets[begin]);
	count(r->s, FETCHED_BYTES, len);
	return range_source_read(
		r->s->inner, r->call, offsets[begin], len, place_of(r, begin), r->e);
}

static int say_wrong(const struct chunk_read *r, size_t i)
{
	error_set(r->e, -EBADMSG,
		"frame %zu of '%s' (%zu bytes at offset %llu) has a wrong digest, "
		"fetched twice",
		i, r->s->name, chunk_len(r->s, i),
		(unsigned long long)r->s->table.offsets[i]);
	range_source_condemn(r->s->inner, r->e);
	return -EBADMSG;
}

/* A transfer may damage bytes once; twice in the same place is the object's fault. */
static int prove_or_refetch(const struct chunk_read *r, size_t i)
{
	int code = prove(r, i);
	if (code != -EBADMSG)
		return code;
	count(r->s, REFETCHED, 1);
	code = fetch(r, i, i + 1);
	if (code == 0)
		code = prove(r, i);
	return code == -EBADMSG ? say_wrong(r, i) : code;
}

static bool get_from_fallback(const struct chunk_read *r, size_t i)
{
	struct chunk_source *s = r->s;
	if (s->fallback(s->fallback_arg, r->call, &s->table.digests[i], chunk_len(s, i),
		    place_of(r, i)) < 0 ||
		prove(r, i) < 0)
		return false;
	count(s, FALLBACK_HITS, 1);
	return true;
}

/* The object is gone, or another one is there: each chunk may still be elsewhere. Why it
 * is not found there is nobody's business: code and its sentence stay. */
static int fall_back(const struct chunk_read *r, size_t begin, size_t end, int code)
{
	if (!r->s->fallback || (code != -ESTALE && code != -ENOENT))
		return code;
	struct chunk_read quiet = *r;
	quiet.e = NULL;
	for (size_t i = begin; i < end; i++) {
		if (!get_from_fallback(&quiet, i))
			return code;
		keep(r, i, i + 1);
	}
	return 0;
}

/* Gets chunks [begin, end), none of them in the cache, as one range. */
static int get_run(const struct chunk_read *r, size_t begin, size_t end)
{
	int code = fetch(r, begin, end);
	if (code < 0)
		return fall_back(r, begin, end, code);
	size_t proved = begin;
	for (; code == 0 && proved < end; proved += code == 0) {
		code = prove_or_refetch(r, proved);
		if (code < 0)
			code = fall_back(r, proved, proved + 1, code);
	}
	keep(r, begin, proved);
	return code;
}

static int get_all(const struct chunk_read *r)
{
	for (size_t i = r->first; i < r->end;) {
		size_t begin = i;
		while (i < r->end && !get_from_cache(r, i))
			i++;
		int code = begin < i ? get_run(r, begin, i) : 0;
		if (code < 0)
			return code;
		i++; /* it was in the cache, and is in place */
	}
	return 0;
}

/* The chunk that begins at offset, or table.count for the end of the last one. False when
 * none begins there. O(log chunks). */
static bool find_boundary(const struct chunk_table *t, uint64_t offset, size_t *ret)
{
	size_t low = 0, high = t->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (t->offsets[middle] < offset)
			low = middle + 1;
		else
			high = middle;
	}
	*ret = low;
	return t->offsets[low] == offset;
}

static int pass_on(struct chunk_source *s, const struct call *call, uint64_t offset,
	size_t len, void *buf, struct error *e)
{
	count(s, FETCHED_BYTES, len);
	return range_source_read(s->inner, call, offset, len, buf, e);
}

static int chunk_read(struct range_source *base, const struct call *call, uint64_t offset,
	size_t len, void *buf, struct error *e)
{
	struct chunk_source *s = (struct chunk_source *)base;
	struct chunk_read r = {.s = s, .call = call, .buf = buf, .e = e};
	if (!s->table.digests)
		return pass_on(s, call, offset, len, buf, e);
	if (!find_boundary(&s->table, offset, &r.first) ||
		!find_boundary(&s->table, offset + len, &r.end))
		return error_set(e, -EINVAL,
			"bytes %llu + %zu of '%s' are not whole chunks",
			(unsigned long long)offset, len, s->name);
	return get_all(&r);
}

static void chunk_free(struct range_source *base)
{
	struct chunk_source *s = (struct chunk_source *)base;
	seals_free(s->seals);
	free(s->name);
	free(s);
}

static const struct range_source_ops chunk_ops = {
	.read = chunk_read,
	.free = chunk_free,
};

static bool fits(const struct chunk_table *t, uint64_t size)
{
	if (t->offsets[0] != 0 || t->offsets[t->count] > size)
		return false;
	for (size_t i = 0; i < t->count; i++)
		if (t->offsets[i] >= t->offsets[i + 1] ||
			t->offsets[i + 1] - t->offsets[i] > SIZE_MAX)
			return false;
	return true;
}

/* Other chunks, another number, as good as always. */
static uint64_t number_of(const struct chunk_table *t)
{
	uint64_t number = 0;
	for (size_t i = 0; t->digests && i < t->count; i++)
		number ^= load_le64(t->digests[i].bytes);
	return number;
}

int chunk_source_new(struct range_source *inner, const struct chunk_table *table,
	struct chunk_cache *cache, const char *name, struct range_source **ret,
	struct error *e)
{
	if (!fits(table, inner->size))
		return error_set(e, -EINVAL,
			"the chunks of '%s' do not fit into the object", name);
	struct chunk_source *s = calloc(1, sizeof(*s));
	char *copy = strdup(name);
	if (!s || !copy) {
		free(s);
		free(copy);
		return error_set_errno(e, -ENOMEM, "cannot open '%s'", name);
	}
	s->base = (struct range_source){
		.ops = &chunk_ops,
		.size = table->offsets[table->count],
	};
	s->inner = inner;
	s->table = *table;
	s->number = number_of(table);
	s->cache = cache;
	s->seals = cache && table->digests ? seals_new(table->count) : NULL;
	s->name = copy;
	*ret = &s->base;
	return 0;
}

void chunk_source_set_fallback(
	struct range_source *base, chunk_fallback_fn *fn, void *arg)
{
	struct chunk_source *s = (struct chunk_source *)base;
	s->fallback = fn;
	s->fallback_arg = arg;
}

void chunk_source_stats(struct range_source *base, struct chunk_stats *ret)
{
	const struct chunk_source *s = (struct chunk_source *)base;
	*ret = (struct chunk_stats){
		.cache_hits = atomic_load(&s->counters[CACHE_HITS]),
		.cache_misses = atomic_load(&s->counters[CACHE_MISSES]),
		.cache_damaged = atomic_load(&s->counters[CACHE_DAMAGED]),
		.fetched_bytes = atomic_load(&s->counters[FETCHED_BYTES]),
		.refetched = atomic_load(&s->counters[REFETCHED]),
		.fallback_hits = atomic_load(&s->counters[FALLBACK_HITS]),
	};
}

size_t chunk_source_claim(
	struct range_source *base, size_t first, size_t count, size_t *ret_busy)
{
	const struct chunk_source *s = (struct chunk_source *)base;
	*ret_busy = 0;
	return s->cache ? chunk_cache_claim(s->cache, s->number, first, count, ret_busy)
			: count;
}

void chunk_source_unclaim(struct range_source *base, size_t first, size_t count)
{
	const struct chunk_source *s = (struct chunk_source *)base;
	if (s->cache)
		chunk_cache_unclaim(s->cache, s->number, first, count);
}

uint64_t chunk_source_room(struct range_source *base)
{
	const struct chunk_source *s = (struct chunk_source *)base;
	return s->cache && s->table.digests ? chunk_cache_room(s->cache) : 0;
}

bool chunk_source_cached(struct range_source *base, size_t i)
{
	struct chunk_source *s = (struct chunk_source *)base;
	return s->cache && s->table.digests &&
	       chunk_cache_has(s->cache, &s->table.digests[i]);
}
