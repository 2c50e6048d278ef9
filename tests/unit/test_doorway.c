/* Generations: what becomes of a key that is overwritten while it is open. */
#include "tests/unit/test.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "fs/doorway.h"
#include "tests/unit/archive_builder.h"
#include "tests/unit/memory_store.h"

#define BIG ((size_t)ARCHIVE_TAIL_SIZE + 400000) /* bytes */

struct world {
	struct memory_store *store;
	struct slots slots;
	struct history history;
	struct supply supply;
	struct doorway_hooks hooks;
	struct doorway *doorway;
	unsigned successions;
	uint32_t old_slot, fresh_slot;
	unsigned char *big; /* content that no opening brings along */
};

static void on_succeeded(
	void *arg, uint64_t inode, struct generation *old, struct generation *fresh)
{
	struct world *w = arg;
	assert_int_equal(inode, 77);
	w->successions++;
	w->old_slot = generation_slot(old);
	w->fresh_slot = generation_slot(fresh);
}

static void on_opened(void *arg, uint64_t inode, struct generation *g)
{
}

static void open_doorway(struct world *w)
{
	assert_int_equal(doorway_new(&w->supply, &w->hooks, "k", &w->doorway), 0);
	doorway_set_inode(w->doorway, 77);
}

static void close_doorway(struct world *w)
{
	doorway_close(w->doorway);
	doorway_unref(w->doorway);
}

static struct world *world_new(void)
{
	struct world *w = calloc(1, sizeof(*w));
	w->store = memory_store_new();
	slots_init(&w->slots);
	history_init(&w->history);
	w->supply = (struct supply){
		.store = &w->store->base,
		.slots = &w->slots,
		.history = &w->history,
		.frame_budget = 1, /* nothing is kept: each read goes to the store */
	};
	w->hooks = (struct doorway_hooks){
		.succeeded = on_succeeded, .opened = on_opened, .arg = w};
	open_doorway(w);
	/* bytes that do not compress */
	w->big = malloc(BIG);
	uint64_t x = 88172645463325252u;
	for (size_t i = 0; i < BIG; i++) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		w->big[i] = (unsigned char)x;
	}
	return w;
}

static void world_free(struct world *w)
{
	close_doorway(w);
	assert_int_equal(w->store->objects, 0);
	for (uint32_t slot = 1; slot < slots_end(&w->slots); slot++)
		assert_null(slots_get(&w->slots, slot));
	memory_store_free(w->store);
	slots_finish(&w->slots);
	history_finish(&w->history);
	free(w->big);
	free(w);
}

/* How an archive is made otherwise than well. */
enum oddity {
	NO_DIGESTS = 1,
	UNPROVED = 2, /* without the frame that holds the identity */
	DAMAGED = 4,  /* the frame with `small` is not what the index says */
};

/* One big file after `small`, so that small's frames lie far before the tail. */
static void publish_so(
	struct world *w, const char *name, const char *small, unsigned oddities)
{
	CLEANUP(cleanup_builder) struct archive_builder *b = builder_new();
	CLEANUP(buf_finish) struct buf object = BUF_INIT(16 << 20);
	b->cut = 4096;
	b->content_digests = !(oddities & NO_DIGESTS);
	b->unproved = oddities & UNPROVED;
	builder_file(b, name, small, strlen(small));
	builder_file(b, "zz-big", w->big, BIG);
	builder_lay(b);
	if (oddities & DAMAGED)
		b->frames.data[20] ^= 1;
	builder_object(b, &object);
	assert_true(object.len > ARCHIVE_TAIL_SIZE + 100000);
	memory_put_buf(w->store, "k", &object);
}

static void publish(
	struct world *w, const char *name, const char *small, bool with_digests)
{
	publish_so(w, name, small, with_digests ? 0 : NO_DIGESTS);
}

static struct generation *current(struct world *w)
{
	struct generation *g = NULL;
	assert_int_equal(doorway_generation(w->doorway, CALL_PATIENT, &g, NULL), 0);
	return g;
}

static uint32_t entry_of(struct generation *g, const char *path)
{
	uint32_t entry;
	assert_int_equal(index_find(generation_index(g), path, &entry), 0);
	return entry;
}

static int read_some(struct generation *g, const char *path, uint64_t offset, size_t len,
	char *ret, struct error *e)
{
	struct view v;
	int r = doorway_view(g, CALL_PATIENT, entry_of(g, path), offset, len, &v, e);
	if (r < 0)
		return r;
	struct iovec iov[VIEW_SPANS];
	int count = view_iov(&v, iov);
	size_t at = 0;
	for (int i = 0; i < count; i++) {
		memcpy(ret + at, iov[i].iov_base, iov[i].iov_len);
		at += iov[i].iov_len;
	}
	assert_int_equal(at, v.len);
	ret[at] = '\0';
	view_release(&v);
	return (int)at;
}

static void reads(struct generation *g, const char *path, const char *expected)
{
	char got[64];
	assert_int_equal(
		read_some(g, path, 0, sizeof(got) - 1, got, NULL), strlen(expected));
	assert_string_equal(got, expected);
}

/* --- reading -------------------------------------------------------------------------
 */

static void content_is_read_from_the_store(void **state)
{
	struct world *w = world_new();
	publish(w, "small", "the content", true);
	{
		CLEANUP(cleanup_generation) struct generation *g = current(w);
		char got[64];
		reads(g, "small", "the content");
		assert_int_equal(read_some(g, "small", 4, 3, got, NULL), 3);
		assert_string_equal(got, "con");
		assert_int_equal(read_some(g, "small", 11, 10, got, NULL), 0);
		assert_int_equal(read_some(g, "small", 1000, 10, got, NULL), 0);
		struct view v;
		assert_int_equal(
			doorway_view(g, CALL_PATIENT, 0, 0, 10, &v, NULL), -EISDIR);
	}
	assert_int_equal(w->store->opens, 1);
	world_free(w);
}

/* More frames than a view has spans: they are copied together. */
static void a_stretch_of_many_frames_is_whole(void **state)
{
	struct world *w = world_new();
	publish(w, "small", "x", false);
	char *got = malloc(BIG + 1);
	{
		CLEANUP(cleanup_generation) struct generation *g = current(w);
		assert_int_equal(read_some(g, "zz-big", 0, BIG, got, NULL), BIG);
		assert_memory_equal(got, w->big, BIG);
		assert_int_equal(read_some(g, "zz-big", 12345, 20000, got, NULL), 20000);
		assert_memory_equal(got, w->big + 12345, 20000);
	}
	free(got);
	world_free(w);
}

static void what_came_with_the_opening_is_not_asked_for(void **state)
{
	struct world *w = world_new();
	publish(w, "small", "x", false);
	char got[4097];
	{
		CLEANUP(cleanup_generation) struct generation *g = current(w);
		unsigned before = w->store->reads;
		assert_int_equal(
			read_some(g, "zz-big", BIG - 4096, 4096, got, NULL), 4096);
		assert_memory_equal(got, w->big + BIG - 4096, 4096);
		assert_int_equal(w->store->reads, before);
		reads(g, "small", "x");
		assert_true(w->store->reads > before);
	}
	world_free(w);
}

/* --- the same content under a new ETag -----------------------------------------------
 */

static void the_same_content_again_is_not_noticed(void **state)
{
	struct world *w = world_new();
	publish(w, "small", "the content", true);
	{
		CLEANUP(cleanup_generation) struct generation *g = current(w);
		publish(w, "small", "the content", true);
		reads(g, "small", "the content");
		assert_int_equal(w->successions, 0);
		assert_int_equal(history_overwrites(&w->history), 0);
		assert_false(generation_superseded(g));
		struct pin pin;
		generation_pin(g, &pin);
		assert_string_equal(pin.etag, "\"v2\"");
		CLEANUP(cleanup_generation) struct generation *now = current(w);
		assert_ptr_equal(now, g);
	}
	assert_int_equal(w->store->opens, 2);
	world_free(w);
}

/* --- other content --------------------------------------------------------------------
 */

/* A changed bit in the answer to the opening, in a frame or in the index. */
static void damage_on_the_way_does_not_stay(void **state)
{
	const size_t places[] = {ARCHIVE_TAIL_SIZE / 2, 200, 40000};
	for (unsigned i = 0; i < 3; i++) {
		struct world *w = world_new();
		publish(w, "small", "the content", true);
		w->store->flip_at = places[i];
		{
			CLEANUP(cleanup_generation) struct generation *g = current(w);
			char got[4097];
			for (size_t at = 0; at + 4096 <= BIG; at += 4096) {
				assert_int_equal(
					read_some(g, "zz-big", at, 4096, got, NULL),
					4096);
				assert_memory_equal(got, w->big + at, 4096);
			}
			publish(w, "small", "the content", true);
			w->store->flip_at = places[i];
			reads(g, "small", "the content");
			assert_int_equal(w->successions, 0);
		}
		world_free(w);
	}
}

/* What the index does not tell of may be put beside it. */
static void a_frame_more_is_a_new_generation(void **state)
{
	struct world *w = world_new();
	publish(w, "small", "the content", true);
	{
		CLEANUP(cleanup_generation) struct generation *old = current(w);
		publish_so(w, "small", "the content", UNPROVED);
		reads(old, "small", "the content");
		CLEANUP(cleanup_generation) struct generation *now = current(w);
		assert_int_equal(w->successions, 1);
		assert_true(
			digest_equal(generation_identity(now), generation_identity(old)));
		assert_int_equal(history_overwrites(&w->history), 0);
		reads(now, "small", "the content");
	}
	world_free(w);
}

static void a_store_that_cannot_be_opened_supersedes_nothing(void **state)
{
	struct world *w = world_new();
	publish(w, "small", "the content", true);
	{
		CLEANUP(cleanup_generation) struct generation *g = current(w);
		publish(w, "small", "the content", true);
		w->store->open_result = -ESTALE; /* it changes while it is looked at */
		char got[64];
		assert_int_equal(read_some(g, "small", 0, 60, got, NULL), -EIO);
		w->store->open_result = 0;
		reads(g, "small", "the content");
	}
	world_free(w);
}

static void other_content_is_a_new_generation(void **state)
{
	struct world *w = world_new();
	publish(w, "small", "version one", false);
	{
		CLEANUP(cleanup_generation) struct generation *old = current(w);
		publish(w, "small", "version two", false);
		char got[64];
		struct error e = {0};
		assert_int_equal(read_some(old, "small", 0, 60, got, &e), -ESTALE);
		assert_true(e.text[0]);
		assert_int_equal(w->successions, 1);
		CLEANUP(cleanup_generation) struct generation *fresh = current(w);
		assert_ptr_not_equal(fresh, old);
		assert_int_equal(w->old_slot, generation_slot(old));
		assert_int_equal(w->fresh_slot, generation_slot(fresh));
		assert_true(generation_superseded(old));
		reads(fresh, "small", "version two");
		assert_int_equal(read_some(old, "small", 0, 60, got, &e), -ESTALE);
		struct doorway_stats s;
		doorway_stats(w->doorway, &s);
		assert_int_equal(s.generations, 2);
		assert_int_equal(s.live, 2);
		assert_int_equal(history_overwrites(&w->history), 1);
	}
	world_free(w);
}

static void open_anew(struct world *w)
{
	close_doorway(w);
	open_doorway(w);
	generation_unref(current(w));
}

/* The new doorway's first generation is not the key's. */
static void a_key_that_was_forgotten_is_known_by_its_content(void **state)
{
	struct world *w = world_new();
	publish(w, "small", "version one", false);
	open_anew(w);
	open_anew(w);
	assert_int_equal(history_overwrites(&w->history), 0);
	publish(w, "small", "version two", false);
	open_anew(w);
	assert_int_equal(history_overwrites(&w->history), 1);
	assert_int_equal(w->successions, 0);
	world_free(w);
}

/* The big file's frames are the same in both versions. */
static void equal_frames_are_read_from_the_new_version(void **state)
{
	struct world *w = world_new();
	publish(w, "small", "version one", false);
	char *got = malloc(100001);
	{
		CLEANUP(cleanup_generation) struct generation *old = current(w);
		publish(w, "small", "version two", false);
		assert_int_equal(
			read_some(old, "zz-big", 8192, 100000, got, NULL), 100000);
		assert_memory_equal(got, w->big + 8192, 100000);
		assert_int_equal(w->successions, 1);
		struct generation_stats s;
		generation_stats(old, &s);
		assert_true(s.chunks.fallback_hits > 0);
	}
	free(got);
	world_free(w);
}

/* The same content in frames of its own: only the content's digest finds it. */
static void equal_files_are_read_from_the_new_version(void **state)
{
	struct world *w = world_new();
	publish(w, "moved-from", "precious content", true);
	{
		CLEANUP(cleanup_generation) struct generation *old = current(w);
		publish(w, "moved-to-elsewhere", "precious content", true);
		reads(old, "moved-from", "precious content");
		reads(old, "moved-from", "precious content");
		assert_int_equal(w->successions, 1);
		struct doorway_stats s;
		doorway_stats(w->doorway, &s);
		assert_int_equal(s.twins, 2);
	}
	world_free(w);
}

/* The old version is in reach no more: it is not that version that is damaged. */
static void a_damaged_twin_is_none(void **state)
{
	struct world *w = world_new();
	publish(w, "moved-from", "precious content", true);
	{
		CLEANUP(cleanup_generation) struct generation *old = current(w);
		publish_so(w, "moved-to-elsewhere", "precious content", DAMAGED);
		char got[64];
		struct error e = {0};
		assert_int_equal(read_some(old, "moved-from", 0, 60, got, &e), -ESTALE);
		assert_int_equal(e.code, -ESTALE);
		assert_non_null(strstr(e.text, "overwritten"));
		assert_non_null(strstr(e.text, "frame 0 of 'k'"));
		CLEANUP(cleanup_generation) struct generation *fresh = current(w);
		assert_int_equal(read_some(fresh, "moved-to-elsewhere", 0, 60, got, NULL),
			-EBADMSG);
	}
	world_free(w);
}

static void *load_digests(void *arg)
{
	assert_int_equal(generation_load_digests(arg, CALL_PATIENT, NULL), 0);
	return NULL;
}

/* Whoever needs them meanwhile would else be told that the file is out of reach. */
static void digests_that_somebody_loads_are_waited_for(void **state)
{
	struct world *w = world_new();
	w->store->tail_most = 256; /* not even the index */
	publish(w, "small", "the content", true);
	{
		CLEANUP(cleanup_generation) struct generation *g = current(w);
		uint8_t digest[16];
		pthread_t loader;
		assert_int_equal(
			generation_content_digest(g, entry_of(g, "small"), digest),
			-ENOENT);
		memory_hold(w->store);
		pthread_create(&loader, NULL, load_digests, g);
		memory_wait_held(w->store, 1);
		const struct call hasty = {
			.deadline_ns = clock_monotonic_ns() + NS_PER_MS};
		assert_int_equal(generation_load_digests(g, &hasty, NULL), -ETIMEDOUT);
		assert_int_equal(generation_guess_digests(g, &hasty, NULL), -EAGAIN);
		memory_release(w->store);
		assert_int_equal(generation_load_digests(g, CALL_PATIENT, NULL), 0);
		pthread_join(loader, NULL);
		assert_int_equal(
			generation_content_digest(g, entry_of(g, "small"), digest), 0);
	}
	world_free(w);
}

static void *guess_digests(void *arg)
{
	const struct call guess = {
		.deadline_ns = DEADLINE_NONE, .priority = PRIORITY_PREFETCH};
	int r = generation_guess_digests(arg, &guess, NULL);
	assert_true(r == 0 || r == -ESTALE); /* as the pin was when it went on */
	return NULL;
}

/* It may stay in the queue for long, and fails at what a demand mends by reopening: here
 * it is held, and an object that was copied onto itself. */
static void no_demand_waits_for_a_guess(void **state)
{
	struct world *w = world_new();
	w->store->tail_most = 256;
	publish(w, "small", "the content", true);
	{
		CLEANUP(cleanup_generation) struct generation *g = current(w);
		pthread_t guess;
		char got[64];
		for (size_t at = 0; at < BIG;
			at += BIG / 100) /* so that it is worth it */
			read_some(g, "zz-big", at, 10, got, NULL);
		publish(w, "small", "the content", true);
		w->store->hold_most = 1;
		memory_hold(w->store);
		pthread_create(&guess, NULL, guess_digests, g);
		memory_wait_held(w->store, 1);
		assert_int_equal(generation_load_digests(g, CALL_PATIENT, NULL), 0);
		memory_release(w->store);
		pthread_join(guess, NULL);
	}
	world_free(w);
}

static void no_old_inode_yields_new_content(void **state)
{
	struct world *w = world_new();
	publish(w, "small", "same length 1", true);
	{
		CLEANUP(cleanup_generation) struct generation *old = current(w);
		publish(w, "small", "same length 2", true);
		char got[64];
		assert_int_equal(read_some(old, "small", 0, 60, got, NULL), -ESTALE);
	}
	world_free(w);
}

static void content_that_comes_back_is_read_again(void **state)
{
	struct world *w = world_new();
	publish(w, "small", "version one", true);
	{
		CLEANUP(cleanup_generation) struct generation *old = current(w);
		publish(w, "small", "version two", true);
		char got[64];
		assert_int_equal(read_some(old, "small", 0, 60, got, NULL), -ESTALE);
		publish(w, "small", "version one", true);
		CLEANUP(cleanup_generation) struct generation *second = current(w);
		assert_int_equal(read_some(second, "small", 0, 60, got, NULL), -ESTALE);
		assert_int_equal(w->successions, 2);
		reads(old, "small", "version one");
	}
	world_free(w);
}

/* --- what is no successor -------------------------------------------------------------
 */

static void junk_is_no_successor(void **state)
{
	struct world *w = world_new();
	publish(w, "small", "the content", true);
	{
		CLEANUP(cleanup_generation) struct generation *g = current(w);
		char got[64];
		memory_put(w->store, "k", "junk", 4);
		int r = read_some(g, "small", 0, 60, got, NULL);
		assert_true(r < 0 && r != -ESTALE);
		assert_int_equal(w->successions, 0);
		assert_false(generation_superseded(g));
		publish(w, "small", "the content", true);
		reads(g, "small", "the content");
	}
	world_free(w);
}

static void a_vanished_object_is_no_miss_for_readers(void **state)
{
	struct world *w = world_new();
	publish(w, "small", "the content", true);
	{
		CLEANUP(cleanup_generation) struct generation *g = current(w);
		char got[64];
		memory_remove(w->store, "k");
		assert_int_equal(read_some(g, "small", 0, 60, got, NULL), -ENOENT);
		/* what came with the opening goes on being read */
		assert_int_equal(read_some(g, "zz-big", BIG - 50, 50, got, NULL), 50);
	}
	world_free(w);
}

/* --- freeing ---------------------------------------------------------------------------
 */

static void lookups_and_readers_keep_a_generation(void **state)
{
	struct world *w = world_new();
	publish(w, "small", "version one", false);
	struct generation *old = current(w);
	uint32_t slot = generation_slot(old);
	generation_lookup(old, 3);
	publish(w, "small", "version two", false);
	char got[64];
	assert_int_equal(read_some(old, "small", 0, 60, got, NULL), -ESTALE);
	generation_unref(old);
	assert_ptr_equal(slots_get(&w->slots, slot), old);
	CLEANUP(cleanup_generation)
	struct generation *again = doorway_live(w->doorway, slot);
	assert_ptr_equal(again, old);
	cleanup_generation(&again);
	generation_forget(old, 2);
	assert_non_null(slots_get(&w->slots, slot));
	generation_forget(old, 1);
	assert_null(slots_get(&w->slots, slot));
	assert_null(doorway_live(w->doorway, slot));
	world_free(w);
}

static void a_hundred_overwrites_leave_two_generations(void **state)
{
	struct world *w = world_new();
	char small[32];
	publish(w, "small", "version -1", true);
	struct generation *first = current(w);
	char got[64];
	for (int i = 0; i < 100; i++) {
		snprintf(small, sizeof(small), "version %d", i);
		CLEANUP(cleanup_generation) struct generation *g = current(w);
		publish(w, "small", small, true);
		assert_int_equal(read_some(g, "small", 0, 60, got, NULL), -ESTALE);
	}
	struct doorway_stats s;
	doorway_stats(w->doorway, &s);
	assert_int_equal(s.generations, 101);
	assert_int_equal(s.live, 2);
	assert_int_equal(w->store->objects, 2);
	generation_unref(first);
	doorway_stats(w->doorway, &s);
	assert_int_equal(s.live, 1);
	world_free(w);
}

static void a_closed_doorway_lets_its_readers_finish(void **state)
{
	struct world *w = world_new();
	publish(w, "small", "the content", false);
	{
		CLEANUP(cleanup_generation) struct generation *g = current(w);
		doorway_close(w->doorway);
		reads(g, "small", "the content");
		struct generation *none = NULL;
		assert_true(
			doorway_generation(w->doorway, CALL_PATIENT, &none, NULL) < 0);
	}
	assert_int_equal(w->store->objects, 0);
	world_free(w);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(content_is_read_from_the_store),
		cmocka_unit_test(a_stretch_of_many_frames_is_whole),
		cmocka_unit_test(what_came_with_the_opening_is_not_asked_for),
		cmocka_unit_test(the_same_content_again_is_not_noticed),
		cmocka_unit_test(damage_on_the_way_does_not_stay),
		cmocka_unit_test(a_frame_more_is_a_new_generation),
		cmocka_unit_test(a_store_that_cannot_be_opened_supersedes_nothing),
		cmocka_unit_test(no_demand_waits_for_a_guess),
		cmocka_unit_test(other_content_is_a_new_generation),
		cmocka_unit_test(a_key_that_was_forgotten_is_known_by_its_content),
		cmocka_unit_test(equal_frames_are_read_from_the_new_version),
		cmocka_unit_test(equal_files_are_read_from_the_new_version),
		cmocka_unit_test(a_damaged_twin_is_none),
		cmocka_unit_test(digests_that_somebody_loads_are_waited_for),
		cmocka_unit_test(no_old_inode_yields_new_content),
		cmocka_unit_test(content_that_comes_back_is_read_again),
		cmocka_unit_test(junk_is_no_successor),
		cmocka_unit_test(a_vanished_object_is_no_miss_for_readers),
		cmocka_unit_test(lookups_and_readers_keep_a_generation),
		cmocka_unit_test(a_hundred_overwrites_leave_two_generations),
		cmocka_unit_test(a_closed_doorway_lets_its_readers_finish),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
