#include "tests/unit/chunks.h"

#include "fetch/base/call.h"
#include "fetch/chunk_evict.h"

#define RUN 10

static int open_folder(const struct scratch *dir)
{
	int fd = open(scratch_path(dir, "chunks"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static void the_least_recently_used_go(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_chunk_cache) struct chunk_cache *c = chunks_open(dir.path, 0);
	for (unsigned n = 0; n < 20; n++) {
		chunks_put(c, n);
		chunks_set_age(chunks_path(&dir, n), 100000 - n * 120);
	}
	chunks_set_age(chunks_path(&dir, 0), 10); /* was used again */
	chunks_set_age(chunks_path(&dir, 1), INT64_C(86400) * 365 * 20);
	CLEANUP(cleanup_close) int folder = open_folder(&dir);
	struct evict_result left;
	assert_int_equal(chunk_evict(folder, 10 * CHUNK, clock_realtime_s(), &left), 0);
	assert_int_equal(left.removed, 11);
	assert_int_equal(left.chunks, 9);
	assert_int_equal(left.bytes, 9 * CHUNK);
	for (unsigned n = 0; n < 20; n++)
		assert_int_equal(chunks_has(c, n), n == 0 || n >= 12);
	assert_int_equal(chunk_evict(folder, 10 * CHUNK, clock_realtime_s(), &left), 0);
	assert_int_equal(left.removed, 0);
}

static void of_one_age_no_more_go_than_must(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_chunk_cache) struct chunk_cache *c = chunks_open(dir.path, 0);
	for (unsigned n = 0; n < 20; n++)
		chunks_put(c, n);
	CLEANUP(cleanup_close) int folder = open_folder(&dir);
	struct evict_result left;
	assert_int_equal(chunk_evict(folder, 0, clock_realtime_s(), &left), 0);
	assert_int_equal(left.chunks, 20);
	assert_int_equal(chunk_evict(folder, 10 * CHUNK, clock_realtime_s(), &left), 0);
	assert_int_equal(left.chunks, 9);
}

static void foreign_files_are_left_alone(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_chunk_cache) struct chunk_cache *c = chunks_open(dir.path, 0);
	chunks_put(c, 1);
	scratch_write(&dir, "chunks/00/README", "not a chunk");
	CLEANUP(cleanup_close) int folder = open_folder(&dir);
	struct evict_result left;
	assert_int_equal(chunk_evict(folder, 1, clock_realtime_s() + 9999, &left), 0);
	assert_int_equal(left.bytes, 0);
	assert_false(chunks_has(c, 1));
	assert_int_equal(access(scratch_path(&dir, "chunks/00/README"), F_OK), 0);
}

/* cp -al: half of each file's names are not in the cache. */
static void what_is_linked_elsewhere_counts_whole(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_chunk_cache) struct chunk_cache *c = chunks_open(dir.path, 0);
	char elsewhere[64];
	struct stat st;
	chunks_put_run(c, 0, RUN);
	for (unsigned n = 20; n < 40; n++)
		chunks_put(c, n);
	for (unsigned n = 0; n < 40; n += n == RUN - 1 ? RUN + 1 : 1) {
		snprintf(elsewhere, sizeof(elsewhere), "copy-%u", n);
		assert_int_equal(
			link(chunks_path(&dir, n), scratch_path(&dir, elsewhere)), 0);
	}
	assert_int_equal(stat(chunks_path(&dir, 0), &st), 0);
	assert_int_equal(st.st_nlink, 2 * RUN);
	CLEANUP(cleanup_close) int folder = open_folder(&dir);
	struct evict_result left;
	assert_int_equal(chunk_evict(folder, 0, clock_realtime_s(), &left), 0);
	assert_int_equal(left.bytes, 20 * CHUNK + st.st_size);
	assert_int_equal(chunk_evict(folder, 20 * CHUNK, clock_realtime_s(), &left), 0);
	assert_in_range(left.bytes, 1, 18 * CHUNK);
}

/* Each file once, whatever its names. */
static uint64_t bytes_in_files(const struct scratch *dir)
{
	uint64_t sum = 0;
	for (unsigned i = 0; i < 50; i++) {
		struct stat st;
		if (stat(chunks_path(dir, i * RUN), &st) == 0)
			sum += (uint64_t)st.st_size;
	}
	return sum;
}

/* Space is free only once the last name has gone. */
static void packs_are_evicted_whole(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_chunk_cache) struct chunk_cache *c = chunks_open(dir.path, 0);
	for (unsigned i = 0; i < 50; i++)
		chunks_put_run(c, i * RUN, RUN);
	CLEANUP(cleanup_close) int folder = open_folder(&dir);
	struct evict_result left;
	uint64_t limit = 25 * RUN * CHUNK;
	assert_int_equal(chunk_evict(folder, limit, clock_realtime_s(), &left), 0);
	assert_true(left.bytes <= limit / 10 * 9);
	assert_in_range(bytes_in_files(&dir), left.bytes, left.bytes + 50 * RUN);
	unsigned kept = 0;
	for (unsigned i = 0; i < 50; i++) {
		unsigned names = 0;
		for (unsigned n = i * RUN; n < (i + 1) * RUN; n++)
			names += chunks_has(c, n);
		assert_true(names == 0 || names == RUN);
		kept += names == RUN;
	}
	assert_int_equal(kept, 22);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_linked_elsewhere_counts_whole),
		cmocka_unit_test(packs_are_evicted_whole),
		cmocka_unit_test(the_least_recently_used_go),
		cmocka_unit_test(of_one_age_no_more_go_than_must),
		cmocka_unit_test(foreign_files_are_left_alone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
