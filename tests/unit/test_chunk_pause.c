#include "tests/unit/chunks.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/file.h>

#include "fetch/base/call.h"

#define MINUTE (60 * NS_PER_SECOND)

static atomic_uint_least64_t later_ns; /* than it is */

uint64_t __real_clock_monotonic_ns(void);
uint64_t __wrap_clock_monotonic_ns(void);
uint64_t __wrap_clock_monotonic_ns(void)
{
	return __real_clock_monotonic_ns() + atomic_load(&later_ns);
}

static atomic_int disk_says; /* to who writes a chunk; 0: it is written */
static atomic_uint attempts; /* to write one */

int __real_write_fully(int fd, const void *buf, size_t len);
int __wrap_write_fully(int fd, const void *buf, size_t len);
int __wrap_write_fully(int fd, const void *buf, size_t len)
{
	if (len != CHUNK)
		return __real_write_fully(fd, buf, len);
	atomic_fetch_add(&attempts, 1);
	int code = atomic_load(&disk_says);
	return code ? code : __real_write_fully(fd, buf, len);
}

/* What was told: how often, and the last one. */
struct told {
	atomic_uint pauses, ends;
	atomic_int code;
};

static void on_pause(void *arg, const char *dir, int code)
{
	struct told *t = arg;
	atomic_fetch_add(code ? &t->pauses : &t->ends, 1);
	atomic_store(&t->code, code);
}

static struct chunk_cache *open_watched(
	const struct scratch *dir, uint64_t max, struct told *told)
{
	struct chunk_cache *c = chunks_open(scratch_path(dir, "cache"), max);
	assert_int_equal(chunk_cache_on_pause(c, on_pause, told), 0);
	return c;
}

/* What DIR/size says. */
static uint64_t recorded(const struct scratch *dir)
{
	return chunks_recorded(scratch_path(dir, "cache/size"));
}

static void remove_tree(const struct scratch *dir, const char *name)
{
	nftw(scratch_path(dir, name), scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* As rm -rf cache/'*' does. */
static void remove_content(const struct scratch *dir)
{
	static const char *const names[] = {
		"cache/chunks", "cache/tmp", "cache/claims", "cache/lock", "cache/size"};
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		remove_tree(dir, names[i]);
}

static void wait_for(uint64_t ns)
{
	atomic_fetch_add(&later_ns, ns);
}

/* --- full ----------------------------------------------------------------------------
 */

static void a_full_disk_is_tried_once_a_minute(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	struct told told = {0};
	CLEANUP(cleanup_chunk_cache) struct chunk_cache *c = open_watched(&dir, 0, &told);
	chunks_put(c, 1);
	assert_true(chunk_cache_room(c) == UINT64_MAX);
	atomic_store(&disk_says, -ENOSPC);
	atomic_store(&attempts, 0);
	chunks_put(c, 2);
	assert_int_equal(told.pauses, 1);
	assert_int_equal(told.code, -ENOSPC);
	assert_false(chunk_cache_writable(c));
	assert_int_equal(chunk_cache_room(c), 0);
	assert_int_equal(chunks_get(c, 1), 0);
	chunks_put(c, 2);
	assert_int_equal(attempts, 1);

	wait_for(MINUTE);
	for (unsigned i = 0; i < 3; i++)
		chunks_put(c, 2);
	assert_int_equal(attempts, 2);
	assert_int_equal(told.pauses, 1); /* it is the same one */
	atomic_store(&disk_says, 0);
	chunks_put(c, 2);
	assert_int_equal(attempts, 2);

	wait_for(MINUTE);
	chunks_put(c, 2);
	assert_int_equal(told.ends, 1);
	assert_true(chunk_cache_writable(c));
	assert_true(chunk_cache_room(c) == UINT64_MAX);
	chunks_put(c, 3);
	for (unsigned n = 1; n <= 3; n++)
		assert_int_equal(chunks_get(c, n), 0);
	assert_int_equal(told.pauses, 1);
}

static void all_of_a_run_is_kept_by_who_tries_again(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	struct told told = {0};
	/* So small a cache keeps chunks singly. */
	CLEANUP(cleanup_chunk_cache)
	struct chunk_cache *c = open_watched(&dir, 100 * CHUNK, &told);
	static const uint64_t offsets[] = {0, CHUNK, 2 * CHUNK, 3 * CHUNK};
	unsigned char data[3 * CHUNK];
	struct digest digests[3];
	for (unsigned n = 0; n < 3; n++)
		chunks_make(n, data + (size_t)n * CHUNK, &digests[n]);
	atomic_store(&disk_says, -EDQUOT);
	atomic_store(&attempts, 0);
	chunk_cache_put_run(c, digests, offsets, 3, data);
	wait_for(MINUTE);
	chunk_cache_put_run(c, digests, offsets, 3, data);
	assert_int_equal(attempts, 2);
	atomic_store(&disk_says, 0);
	wait_for(MINUTE);
	chunk_cache_put_run(c, digests, offsets, 3, data);
	for (unsigned n = 0; n < 3; n++)
		assert_int_equal(chunks_get(c, n), 0);
	assert_int_equal(told.pauses, 1);
	assert_int_equal(told.ends, 1);
}

static void room_is_what_eviction_leaves(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_chunk_cache)
	struct chunk_cache *c = chunks_open(scratch_path(&dir, "cache"), 100 * CHUNK);
	assert_int_equal(chunk_cache_room(c), 90 * CHUNK);
}

/* --- removed -------------------------------------------------------------------------
 */

/* Both are removed and made anew; what others then find there is a whole cache. */
static void see_it_made_anew(void (*remove_it)(const struct scratch *dir))
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	struct told told = {0};
	struct chunk_cache *c = open_watched(&dir, 0, &told);
	chunks_put(c, 1);
	remove_it(&dir);
	chunks_put(c, 2);
	assert_int_equal(told.pauses, 1);
	assert_int_equal(told.code, -ENOENT);
	assert_int_equal(chunks_get(c, 1), -ENOENT);
	chunks_put(c, 2);
	assert_int_equal(chunks_get(c, 2), -ENOENT);

	wait_for(MINUTE);
	chunks_put(c, 2);
	assert_int_equal(told.ends, 1);
	assert_int_equal(chunks_get(c, 2), 0);
	CLEANUP(cleanup_chunk_cache)
	struct chunk_cache *other = chunks_open(scratch_path(&dir, "cache"), 0);
	assert_int_equal(chunks_get(other, 2), 0);
	assert_int_equal(recorded(&dir), CHUNK);
	chunks_put(c, 3);
	chunks_put(other, 4);
	assert_int_equal(chunks_get(other, 3), 0);
	assert_int_equal(chunks_get(c, 4), 0);
	assert_int_equal(recorded(&dir), 3 * CHUNK);
	size_t busy;
	assert_int_equal(chunk_cache_claim(other, 1, 0, 5, &busy), 5);
	assert_int_equal(chunk_cache_claim(c, 1, 0, 9, &busy), 0);
	assert_int_equal(busy, 5);
	assert_int_equal(access(scratch_path(&dir, "cache/CACHEDIR.TAG"), F_OK), 0);
	chunk_cache_free(c);
}

static void remove_all(const struct scratch *dir)
{
	remove_tree(dir, "cache");
}

static void what_is_removed_is_made_anew(void **state)
{
	see_it_made_anew(remove_content);
	see_it_made_anew(remove_all);
}

static void a_new_folder_stays_within_the_bound(void **state)
{
	enum { MOST = 50 };
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	struct told told = {0};
	struct chunk_cache *c = open_watched(&dir, MOST * CHUNK, &told);
	for (unsigned n = 0; n < MOST; n++)
		chunks_put(c, n);
	remove_all(&dir);
	chunks_put(c, 0);
	wait_for(MINUTE);
	for (unsigned n = 0; n < 4 * MOST; n++)
		chunks_put(c, n);
	chunk_cache_free(c);
	assert_in_range(scratch_count(&dir, "cache/chunks"), MOST / 2, 2 * MOST);
	assert_in_range(recorded(&dir), MOST / 2 * CHUNK, MOST * CHUNK);
	assert_int_equal(told.pauses, 1);
}

/* Who evicts is asked in the new folder too: another process does, and nothing goes. */
static void a_new_folder_has_one_evictor(void **state)
{
	enum { MOST = 50 };
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	struct told told = {0};
	struct chunk_cache *c = open_watched(&dir, MOST * CHUNK, &told);
	remove_all(&dir);
	chunks_put(c, 0);
	wait_for(MINUTE);
	chunks_put(c, 0);
	CLEANUP(cleanup_close)
	int lock = open(scratch_path(&dir, "cache/lock"), O_RDWR | O_CLOEXEC);
	assert_int_equal(flock(lock, LOCK_EX), 0);
	for (unsigned n = 0; n < 4 * MOST; n++)
		chunks_put(c, n);
	chunk_cache_free(c);
	assert_in_range(scratch_count(&dir, "cache/chunks"), MOST + MOST / 8,
		MOST + MOST / 8 + 1);
}

static void what_others_may_write_to_is_not_gone_on_with(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	struct told told = {0};
	CLEANUP(cleanup_chunk_cache) struct chunk_cache *c = open_watched(&dir, 0, &told);
	atomic_store(&disk_says, -ENOSPC);
	chunks_put(c, 1);
	atomic_store(&disk_says, 0);
	assert_int_equal(chmod(scratch_path(&dir, "cache"), 0777), 0);
	wait_for(MINUTE);
	chunks_put(c, 1);
	assert_int_equal(chunks_get(c, 1), -ENOENT);
	assert_int_equal(chmod(scratch_path(&dir, "cache"), 0700), 0);
	wait_for(MINUTE);
	chunks_put(c, 1);
	assert_int_equal(chunks_get(c, 1), 0);
}

static void a_folder_of_others_is_not_used_in_its_place(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	struct told told = {0};
	CLEANUP(cleanup_chunk_cache) struct chunk_cache *c = open_watched(&dir, 0, &told);
	remove_all(&dir);
	chunks_put(c, 1);
	scratch_write(&dir, "cache/thesis.txt", "mine");
	wait_for(MINUTE);
	chunks_put(c, 1);
	assert_int_equal(told.ends, 0);
	assert_int_equal(access(scratch_path(&dir, "cache/chunks"), F_OK), -1);
	remove_all(&dir);
	wait_for(MINUTE);
	chunks_put(c, 1);
	assert_int_equal(told.ends, 1);
	assert_int_equal(chunks_get(c, 1), 0);
}

/* --- from the start, and by many -----------------------------------------------------
 */

static void what_cannot_be_written_at_first_is_tried_too(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	chunk_cache_free(chunks_open(scratch_path(&dir, "cache"), 0));
	assert_int_equal(unlink(scratch_path(&dir, "cache/size")), 0);
	assert_int_equal(mkdir(scratch_path(&dir, "cache/size"), 0700), 0);
	struct told told = {0};
	CLEANUP(cleanup_chunk_cache)
	struct chunk_cache *c = chunks_open(scratch_path(&dir, "cache"), 0);
	assert_int_equal(chunk_cache_on_pause(c, on_pause, &told), -EISDIR);
	chunks_put(c, 1);
	assert_int_equal(chunks_get(c, 1), -ENOENT);
	size_t busy;
	assert_int_equal(chunk_cache_claim(c, 1, 0, 5, &busy), 5);
	assert_int_equal(rmdir(scratch_path(&dir, "cache/size")), 0);
	wait_for(MINUTE);
	chunks_put(c, 1);
	assert_int_equal(chunks_get(c, 1), 0);
	assert_int_equal(told.ends, 1);
	assert_int_equal(told.pauses, 0);
}

struct hand {
	struct chunk_cache *cache;
	unsigned seed, wrong;
};

static void *work(void *arg)
{
	struct hand *h = arg;
	for (unsigned i = 0; i < 300; i++) {
		unsigned n = (h->seed + i * 7) % 100;
		if (chunks_get(h->cache, n) == -EBADMSG)
			h->wrong++;
		chunks_put(h->cache, n);
		if (i % 10 == 0)
			wait_for(MINUTE / 2);
	}
	return NULL;
}

static void remove_under_many_hands(const struct scratch *dir, struct chunk_cache *c)
{
	enum { HANDS = 8 };
	struct hand hands[HANDS];
	pthread_t threads[HANDS];
	for (unsigned i = 0; i < HANDS; i++) {
		hands[i] = (struct hand){c, i * 13, 0};
		assert_int_equal(pthread_create(&threads[i], NULL, work, &hands[i]), 0);
	}
	for (unsigned i = 0; i < 20; i++) {
		if (i % 2)
			remove_all(dir);
		else
			remove_content(dir);
		sched_yield();
	}
	for (unsigned i = 0; i < HANDS; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(hands[i].wrong, 0);
	}
}

static void it_is_removed_under_many_hands(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	struct told told = {0};
	struct chunk_cache *c = open_watched(&dir, 40 * CHUNK, &told);
	remove_under_many_hands(&dir, c); /* and under an evictor */
	chunk_cache_free(c);
	c = open_watched(&dir, 0, &told);
	remove_under_many_hands(&dir, c);
	wait_for(MINUTE);
	chunks_put(c, 1000); /* when that met a folder that is gone, writing pauses now */
	wait_for(MINUTE);
	chunks_put(c, 1000);
	assert_int_equal(chunks_get(c, 1000), 0);
	chunk_cache_free(c);
}

static int on_all_is_well(void **state)
{
	atomic_store(&disk_says, 0);
	return 0;
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(
			a_full_disk_is_tried_once_a_minute, on_all_is_well),
		cmocka_unit_test_setup(
			all_of_a_run_is_kept_by_who_tries_again, on_all_is_well),
		cmocka_unit_test_setup(room_is_what_eviction_leaves, on_all_is_well),
		cmocka_unit_test_setup(what_is_removed_is_made_anew, on_all_is_well),
		cmocka_unit_test_setup(
			a_new_folder_stays_within_the_bound, on_all_is_well),
		cmocka_unit_test_setup(a_new_folder_has_one_evictor, on_all_is_well),
		cmocka_unit_test_setup(
			what_others_may_write_to_is_not_gone_on_with, on_all_is_well),
		cmocka_unit_test_setup(
			a_folder_of_others_is_not_used_in_its_place, on_all_is_well),
		cmocka_unit_test_setup(
			what_cannot_be_written_at_first_is_tried_too, on_all_is_well),
		cmocka_unit_test_setup(it_is_removed_under_many_hands, on_all_is_well),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
