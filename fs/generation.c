#include "fs/generation.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>

#include "archive/format.h"
#include "archive/hoard.h"
#include "fetch/base/lock.h"
#include "fetch/tail_source.h"
#include "fs/flight.h"

/* Content digests are fetched when this many times their size was fetched anyway. */
#define DIGESTS_WORTH 16

struct generation {
	atomic_uint_least64_t references;
	atomic_uint_least64_t lookups; /* how many of them are the kernel's */
	atomic_bool retired;
	uint32_t slot;
	struct slots *slots; /* borrowed */
	struct generation_hooks hooks;

	struct archive *archive;     /* owned */
	const struct index *index;   /* the archive's */
	struct range_source *pinned; /* owned */
	size_t held;                 /* bytes of the object that its store keeps for it */
	struct range_source *local;  /* owned; a converted archive's; NULL: it is none */
	struct range_source *tail;   /* owned; NULL: no frame came with the opening */
	struct range_source *verified; /* owned */
	struct reader *reader;         /* owned */
	struct prefetching *ahead;     /* owned; NULL: none */
	struct marks marks;
	struct hoard *hoard;       /* borrowed; NULL: none */
	struct keeper tail_keeper; /* in the hoard while there is a tail */
	uint64_t demands;          /* when it was asked last; under hoard.lock */

	pthread_mutex_t lock;   /* the digests */
	uint8_t (*digests)[16]; /* owned; under lock until set, then for ever the same */
	struct flight loading;  /* of them, by demands; under lock */
	bool guessing;          /* somebody loads them ahead of any need; under lock */
	bool digests_damaged;   /* when they were loaded last; under lock */
};

static int on_judge(
	void *arg, const struct call *call, struct object **fresh, struct error *e)
{
	struct generation *g = arg;
	return g->hooks.judge(g->hooks.arg, g, call, fresh, e);
}

static int on_fallback(void *arg, const struct call *call, const struct digest *digest,
	size_t len, void *buf)
{
	struct generation *g = arg;
	if (call->priority == PRIORITY_PREFETCH) /* a guess is not worth the search */
		return -ENOENT;
	return g->hooks.elsewhere(g->hooks.arg, g, call, digest, len, buf);
}

/* Under hoard.lock: is somebody on his way through the key, since this was asked last? */
static bool is_read_on(struct generation *g)
{
	struct reader_stats s;
	reader_stats(g->reader, &s);
	uint64_t before = g->demands;
	g->demands = s.hits + s.waits + s.touched_frames;
	return g->demands != before && s.touched_frames < index_frame_count(g->index);
}

/* What is read of an opening's tail is read once, as a rule, and kept elsewhere then. Who
 * reads a key from its beginning comes to that last. */
static void yield_tail(void *arg, size_t bytes, bool all)
{
	struct generation *g = arg;
	bool used = tail_source_used(g->tail);
	if (is_read_on(g) || used)
		keeper_used(&g->tail_keeper);
	else
		hoard_tell(g->hoard, tail_source_forget(g->tail), 0);
}

static void join_hoard(
	struct generation *g, struct hoard *hoard, struct decoders *decoders)
{
	g->hoard = hoard;
	reader_share(g->reader, hoard, decoders);
	if (!g->tail)
		return;
	g->tail_keeper = (struct keeper){.yield = yield_tail, .arg = g};
	hoard_tell(hoard, 0, tail_source_held(g->tail));
	hoard_join(hoard, &g->tail_keeper);
}

static void leave_hoard(struct generation *g)
{
	if (!g->hoard || !g->tail)
		return;
	hoard_leave(g->hoard, &g->tail_keeper);
	hoard_tell(g->hoard, tail_source_forget(g->tail), 0);
}

static void generation_free(struct generation *g)
{
	if (!g)
		return;
	if (g->slot)
		slots_drop(g->slots, g->slot);
	leave_hoard(g);
	prefetching_end(g->ahead);
	reader_free(g->reader);
	range_source_free(g->verified);
	range_source_free(g->tail);
	range_source_free(g->pinned);
	range_source_free(g->local);
	archive_free(g->archive);
	free(g->digests);
	marks_finish(&g->marks);
	flight_finish(&g->loading);
	pthread_mutex_destroy(&g->lock);
	free(g);
}
DEFINE_CLEANUP(cleanup_half_built, struct generation, generation_free);

/* The tail may hold the content digests whole: then they cost nothing. */
static void digests_from_tail(struct generation *g, const struct object *o)
{
	size_t len;
	const void *tail = object_tail(o, &len);
	uint64_t size = object_pin(o)->size;
	CLEANUP(cleanup_range_source) struct range_source *source = NULL;
	if (tail_source_new(NULL, size, size - len, tail, len, &source) < 0)
		return;
	const struct call now = {.deadline_ns = DEADLINE_NONE};
	archive_content_digests(g->archive, source, &now, &g->digests, NULL);
}

/* Is every frame that lies whole in the tail, which begins at `begin`, what it should be? A
 * plain tar's have no digests to tell. */
static bool frames_are_well(
	const struct generation *g, const unsigned char *tail, uint64_t begin)
{
	const uint64_t *offsets = index_frame_offsets(g->index);
	if (index_is_plain(g->index))
		return true;
	for (uint32_t i = index_frame_count(g->index); i-- && offsets[i] >= begin;) {
		struct digest d;
		if (digest_of(tail + (offsets[i] - begin),
			    (size_t)(offsets[i + 1] - offsets[i]), &d) < 0 ||
			!digest_equal(&d, &index_frame_digests(g->index)[i]))
			return false;
	}
	return true;
}

/* Frames that came with the opening are kept, so that a small archive is one request; but
 * not if one was damaged on its way: it could never be fetched again. Nor twice. */
static int frames_from_tail(struct generation *g, const struct object *o)
{
	size_t len;
	const void *tail = object_tail(o, &len);
	uint64_t size = object_pin(o)->size;
	uint64_t begin = size - len;
	uint64_t end = index_frame_offsets(g->index)[index_frame_count(g->index)];
	if (g->held || end <= begin || !frames_are_well(g, tail, begin))
		return 0;
	return tail_source_new(
		g->pinned, size, begin, tail, (size_t)(end - begin), &g->tail);
}

/* Where the frames are; bytes that came with the opening come before the store's. */
static struct range_source *frame_source(const struct generation *g)
{
	if (g->local)
		return g->local;
	return g->tail ? g->tail : g->pinned;
}

static bool is_on_disk(void *arg, uint32_t frame)
{
	struct generation *g = arg;
	return chunk_source_cached(g->verified, frame);
}

static uint64_t room(void *arg)
{
	struct generation *g = arg;
	return chunk_source_room(g->verified);
}

static uint32_t claim(void *arg, uint32_t first, uint32_t count, uint32_t *ret_busy)
{
	struct generation *g = arg;
	size_t busy;
	size_t got = chunk_source_claim(g->verified, first, count, &busy);
	*ret_busy = (uint32_t)busy;
	return (uint32_t)got;
}

static void unclaim(void *arg, uint32_t first, uint32_t count)
{
	struct generation *g = arg;
	chunk_source_unclaim(g->verified, first, count);
}

/* What is local already needs no reading ahead. */
static int begin_prefetching(struct generation *g, const struct supply *supply)
{
	if (!supply->prefetcher || g->local)
		return 0;
	const struct prefetch_options options = {
		.memory = supply->frame_budget / 2,
		.all = supply->prefetch_all,
		.patience_ns = supply->timeout_ns,
		.room = room,
		.on_disk = is_on_disk,
		.claim = claim,
		.unclaim = unclaim,
		.arg = g,
	};
	store_warm(supply->store, prefetcher_threads(supply->prefetcher) + 1);
	return prefetching_begin(supply->prefetcher, g->reader, &options, &g->ahead);
}

/* The object stays ours to look at until the first read of g->pinned. */
static int build_sources(struct generation *g, const struct supply *supply,
	const char *key, struct object *object, struct error *e)
{
	int r = pinned_source_new(
		supply->store, key, object, ARCHIVE_TAIL_SIZE, on_judge, g, &g->pinned);
	if (r < 0)
		return error_set_errno(e, r, "cannot open '%s'", key);
	object_drop_whole(object);
	g->held = object_held(object);
	if (!g->local) {
		digests_from_tail(g, object);
		r = frames_from_tail(g, object);
	}
	object_drop_tail(object);
	if (r < 0)
		return error_set_errno(e, r, "cannot open '%s'", key);
	struct chunk_table table;
	archive_chunks(g->archive, &table);
	r = chunk_source_new(frame_source(g), &table, g->local ? NULL : supply->cache,
		key, &g->verified, e);
	if (r < 0)
		return r;
	chunk_source_set_fallback(g->verified, on_fallback, g);
	r = reader_new(g->archive, g->verified, supply->frame_budget, &g->reader);
	if (r < 0)
		return r;
	if (supply->hoard)
		join_hoard(g, supply->hoard, supply->decoders);
	return begin_prefetching(g, supply);
}

static int load(struct generation *g, const struct supply *supply,
	const struct call *call, const char *key, struct object *object, struct error *e)
{
	int r = supply_open_archive(supply, key, object, call, &g->archive, &g->local, e);
	if (r < 0)
		return r;
	g->index = archive_index(g->archive);
	r = marks_init(&g->marks, index_count(g->index));
	return r < 0 ? error_set_errno(e, r, "cannot open '%s'", key) : 0;
}

static struct generation *generation_alloc(void)
{
	struct generation *g = calloc(1, sizeof(*g));
	if (g && flight_init(&g->loading) < 0) {
		free(g);
		return NULL;
	}
	if (g)
		pthread_mutex_init(&g->lock, NULL);
	return g;
}

int generation_new(const struct supply *supply, const char *key, struct object *object,
	const struct call *call, const struct generation_hooks *hooks,
	struct generation **ret, struct error *e)
{
	CLEANUP(cleanup_object) struct object *owned = object;
	CLEANUP(cleanup_half_built) struct generation *g = generation_alloc();
	if (!g)
		return error_set_errno(e, -ENOMEM, "cannot open '%s'", key);
	g->hooks = *hooks;
	g->slots = supply->slots;
	atomic_init(&g->references, 1);
	int r = load(g, supply, call, key, owned, e);
	if (r < 0)
		return r;
	r = build_sources(g, supply, key, steal_pointer(owned), e);
	if (r < 0)
		return r;
	r = slots_take(supply->slots, g, &g->slot);
	if (r < 0)
		return error_set_errno(
			e, r, "cannot open '%s': no more generations", key);
	*ret = steal_pointer(g);
	return 0;
}

static void drop_references(struct generation *g, uint64_t count)
{
	uint64_t before = atomic_fetch_sub(&g->references, count);
	assert(before >= count);
	if (before != count)
		return;
	g->hooks.gone(g->hooks.arg, g);
	generation_free(g);
}

void generation_ref(struct generation *g)
{
	uint64_t before = atomic_fetch_add(&g->references, 1);
	assert(before > 0);
	(void)before;
}

void generation_unref(struct generation *g)
{
	if (g)
		drop_references(g, 1);
}

bool generation_ref_unless_gone(struct generation *g)
{
	uint64_t now = atomic_load(&g->references);
	while (now)
		if (atomic_compare_exchange_weak(&g->references, &now, now + 1))
			return true;
	return false;
}

void generation_lookup(struct generation *g, uint64_t count)
{
	uint64_t before = atomic_fetch_add(&g->references, count);
	assert(before > 0);
	(void)before;
	atomic_fetch_add(&g->lookups, count);
}

void generation_forget(struct generation *g, uint64_t count)
{
	uint64_t before = atomic_fetch_sub(&g->lookups, count);
	assert(before >= count);
	(void)before;
	if (count)
		drop_references(g, count);
}

void generation_forget_all(struct generation *g)
{
	generation_forget(g, atomic_load(&g->lookups));
}

uint32_t generation_slot(const struct generation *g)
{
	return g->slot;
}

const struct index *generation_index(const struct generation *g)
{
	return g->index;
}

const struct archive *generation_archive(const struct generation *g)
{
	return g->archive;
}

const struct digest *generation_identity(const struct generation *g)
{
	return archive_identity(g->archive);
}

struct reader *generation_reader(const struct generation *g)
{
	return g->reader;
}

struct marks *generation_marks(struct generation *g)
{
	return &g->marks;
}

void *generation_hooks_arg(const struct generation *g)
{
	return g->hooks.arg;
}

void generation_pin(const struct generation *g, struct pin *ret)
{
	pinned_source_pin(g->pinned, ret);
}

bool generation_superseded(const struct generation *g)
{
	return pinned_source_superseded(g->pinned);
}

void generation_retire(struct generation *g)
{
	atomic_store(&g->retired, true);
}

bool generation_retired(const struct generation *g)
{
	return atomic_load(&g->retired);
}

bool generation_known(const struct generation *g)
{
	return atomic_load(&g->lookups) > 0;
}

int generation_chunk(struct generation *g, const struct call *call,
	const struct digest *digest, size_t len, void *buf)
{
	struct chunk_table table;
	archive_chunks(g->archive, &table);
	for (size_t i = 0; table.digests && i < table.count; i++) {
		if (memcmp(&table.digests[i], digest, sizeof(*digest)) != 0)
			continue;
		if (table.offsets[i + 1] - table.offsets[i] != len)
			return -ENOENT;
		return range_source_read(
			g->verified, call, table.offsets[i], len, buf, NULL);
	}
	return -ENOENT;
}

static const uint8_t (*digests_at_hand(struct generation *g))[16]
{
	LOCK_SCOPE(&g->lock);
	return (const uint8_t(*)[16])g->digests;
}

int generation_content_digest(struct generation *g, uint32_t entry, uint8_t ret[16])
{
	const uint8_t(*digests)[16] = digests_at_hand(g);
	static const uint8_t none[16];
	if (!digests || memcmp(digests[entry], none, sizeof(none)) == 0)
		return -ENOENT;
	memcpy(ret, digests[entry], 16);
	return 0;
}

static bool digests_worth_it(struct generation *g, const struct outer_section *section)
{
	struct chunk_stats s;
	chunk_source_stats(g->verified, &s);
	return s.fetched_bytes / DIGESTS_WORTH >= section->stored_len;
}

static bool digests_are_there(void *arg)
{
	return ((struct generation *)arg)->digests;
}

static int fetch_digests(struct generation *g, const struct call *call, struct error *e)
{
	CLEANUP(cleanup_free) uint8_t(*digests)[16] = NULL;
	int r = archive_content_digests(
		g->archive, g->local ? g->local : g->pinned, call, &digests, e);
	LOCK_SCOPE(&g->lock);
	g->digests_damaged = r == -EBADMSG;
	if (r == 0 && !g->digests)
		g->digests = steal_pointer(digests);
	return r;
}

int generation_load_digests(
	struct generation *g, const struct call *call, struct error *e)
{
	struct outer_section section;
	int r = index_outer(g->index, OUTER_CONTENT_DIGESTS, &section);
	if (r < 0)
		return r;
	r = flight_join(&g->loading, &g->lock, call, digests_are_there, g, e);
	if (r != FLIGHT_OWNER)
		return r;
	r = fetch_digests(g, call, e);
	flight_land(&g->loading, &g->lock, r, e);
	return r;
}

static bool begin_guess(struct generation *g)
{
	LOCK_SCOPE(&g->lock);
	if (g->digests || g->digests_damaged || g->guessing || g->loading.busy)
		return false;
	g->guessing = true;
	return true;
}

static void end_guess(struct generation *g)
{
	LOCK_SCOPE(&g->lock);
	g->guessing = false;
}

/* No flight that a demand may join: a guess stays behind all demands in the queue, and
 * fails at what a demand mends by reopening. */
int generation_guess_digests(
	struct generation *g, const struct call *call, struct error *e)
{
	if (digests_at_hand(g))
		return 0;
	struct outer_section section;
	int r = index_outer(g->index, OUTER_CONTENT_DIGESTS, &section);
	if (r < 0)
		return r;
	if (!digests_worth_it(g, &section) || !begin_guess(g))
		return -EAGAIN;
	r = fetch_digests(g, call, e);
	end_guess(g);
	return r;
}

static bool is_content(const struct generation *g, const uint8_t (*digests)[16],
	uint32_t entry, const uint8_t wanted[16], uint64_t size)
{
	if (memcmp(digests[entry], wanted, 16) != 0 ||
		!S_ISREG(index_mode(g->index, entry)))
		return false;
	struct entry_info info;
	index_info(g->index, entry, &info);
	return info.size == size;
}

int generation_find_content(struct generation *g, const uint8_t digest[16], uint64_t size,
	uint32_t hint, uint32_t *ret)
{
	const uint8_t(*digests)[16] = digests_at_hand(g);
	if (!digests)
		return -ENOENT;
	uint32_t count = index_count(g->index);
	if (hint < count && is_content(g, digests, hint, digest, size)) {
		*ret = hint;
		return 0;
	}
	for (uint32_t i = 0; i < count; i++) {
		if (!is_content(g, digests, i, digest, size))
			continue;
		*ret = i;
		return 0;
	}
	return -ENOENT;
}

void generation_stats(struct generation *g, struct generation_stats *ret)
{
	chunk_source_stats(g->verified, &ret->chunks);
	reader_stats(g->reader, &ret->reader);
	ret->reopens = pinned_source_reopens(g->pinned);
	ret->lookups = atomic_load(&g->lookups);
	ret->memory = index_memory(g->index) + ret->reader.held + g->held;
	if (g->tail)
		ret->memory += tail_source_held(g->tail);
	if (digests_at_hand(g))
		ret->memory += 16 * (size_t)index_count(g->index);
}
