#include "tests/unit/chunks.h"

#include <sys/file.h>

#include "fetch/base/bytes.h"
#include "fetch/base/call.h"
#include "fetch/chunk_tally.h"

#define NOW 1000000 /* seconds since the epoch */

#define NOW 1000000 /* seconds since the epoch */

static int size_file(const struct scratch *dir)
{
	int fd = open(scratch_path(dir, "size"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	return fd;
}

static void processes_count_together(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	struct tally a, b;
	tally_init(&a, size_file(&dir));
	assert_true(tally_wants_scan(&a, 1000, NOW));
	tally_set(&a, tally_begin_scan(&a), 100, NOW);
	assert_false(tally_wants_scan(&a, 1000, NOW + 86400));
	assert_true(tally_wants_scan(&a, 1000, NOW + 86401));
	tally_init(&b, size_file(&dir));
	tally_change(&b, 50);
	tally_change(&a, -20);
	assert_int_equal(tally_total(&a), 130);
	tally_change(&b, 0);
	assert_int_equal(tally_total(&b), 130);
	tally_change(&b, 600);
	assert_true(tally_wants_scan(&b, 1000, NOW));
	tally_set(&b, 730, 500, NOW);
	assert_false(tally_wants_scan(&b, 1000, NOW));
	assert_int_equal(tally_total(&b), 500);
	tally_change(&a, -9999);
	assert_int_equal(tally_total(&a), 0);
	tally_finish(&a);
	tally_finish(&b);
}

static void nobody_waits_for_a_suspended_process(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_close) int other = size_file(&dir);
	struct tally t;
	tally_init(&t, size_file(&dir));
	tally_set(&t, tally_begin_scan(&t), 100, NOW);
	assert_int_equal(flock(other, LOCK_EX), 0);
	tally_change(&t, 10);
	tally_change(&t, 10);
	assert_int_equal(tally_total(&t), 120);
	assert_int_equal(chunks_recorded(scratch_path(&dir, "size")), 100);
	assert_int_equal(flock(other, LOCK_UN), 0);
	tally_change(&t, 5);
	assert_int_equal(chunks_recorded(scratch_path(&dir, "size")), 125);
	assert_int_equal(flock(other, LOCK_EX), 0);
	tally_change(&t, 5);
	assert_int_equal(flock(other, LOCK_UN), 0);
	tally_finish(&t);
	assert_int_equal(chunks_recorded(scratch_path(&dir, "size")), 130);
}

static void what_is_added_during_a_scan_counts(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	struct tally a, b;
	tally_init(&a, size_file(&dir));
	tally_set(&a, tally_begin_scan(&a), 100, NOW);
	tally_init(&b, size_file(&dir));
	tally_change(&b, -40);
	uint64_t before = tally_begin_scan(&a);
	assert_int_equal(before, 60);
	tally_change(&b, 30);
	tally_set(&a, before, 55, NOW);
	assert_int_equal(tally_total(&a), 85);
	tally_finish(&a);
	tally_finish(&b);
}

static void a_lost_sum_is_counted_again(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	struct chunk_cache *c = chunks_open(dir.path, 1000 * CHUNK);
	for (unsigned n = 0; n < 20; n++)
		chunks_put(c, n);
	chunk_cache_free(c);
	assert_int_equal(unlink(scratch_path(&dir, "size")), 0);
	c = chunks_open(dir.path, 1000 * CHUNK);
	chunks_put(c, 20);
	chunk_cache_free(c);
	/* Chunk 20 may have been counted by the scan and again for itself. */
	assert_in_range(
		chunks_recorded(scratch_path(&dir, "size")), 21 * CHUNK, 22 * CHUNK);
}

static void a_wrong_sum_is_corrected(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	struct chunk_cache *c = chunks_open(dir.path, 100 * CHUNK);
	chunks_put(c, 1);
	chunk_cache_free(c);
	uint8_t raw[32] = "LARDERSZ";
	store_le64(raw + 8, 100000 * CHUNK);
	store_le64(raw + 24, (uint64_t)clock_realtime_s());
	CLEANUP(cleanup_close) int fd = open(scratch_path(&dir, "size"), O_WRONLY);
	assert_int_equal(pwrite_fully(fd, raw, sizeof(raw), 0), 0);
	c = chunks_open(dir.path, 100 * CHUNK);
	chunks_put(c, 2); /* is dropped, and starts a scan */
	chunk_cache_free(c);
	assert_int_equal(chunks_recorded(scratch_path(&dir, "size")), CHUNK);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_lost_sum_is_counted_again),
		cmocka_unit_test(a_wrong_sum_is_corrected),
		cmocka_unit_test(processes_count_together),
		cmocka_unit_test(nobody_waits_for_a_suspended_process),
		cmocka_unit_test(what_is_added_during_a_scan_counts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
