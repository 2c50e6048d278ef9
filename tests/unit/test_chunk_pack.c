#include "tests/unit/chunks.h"

#include <errno.h>

#define RUN 10

static nlink_t names_of(const struct scratch *dir, unsigned n)
{
	struct stat st;
	assert_int_equal(stat(chunks_path(dir, n), &st), 0);
	return st.st_nlink;
}

static void overwrite(const char *path, off_t at, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, text, strlen(text), at), strlen(text));
	close(fd);
}

static void a_run_is_one_file_under_each_name(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_chunk_cache) struct chunk_cache *c = chunks_open(dir.path, 0);
	chunks_put_run(c, 0, RUN);
	for (unsigned i = 0; i < RUN; i++) {
		assert_int_equal(names_of(&dir, i), RUN);
		assert_int_equal(chunks_get(c, i), 0);
	}
	assert_int_equal(chunks_get(c, RUN), -ENOENT);
}

/* What is there is not written again: it parts the run. */
static void what_is_there_parts_a_run(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_chunk_cache) struct chunk_cache *c = chunks_open(dir.path, 0);
	chunks_put(c, 3);
	chunks_put_run(c, 0, RUN);
	assert_int_equal(names_of(&dir, 2), 3);
	assert_int_equal(names_of(&dir, 3), 1);
	assert_int_equal(names_of(&dir, 4), RUN - 4);
	chunks_put_run(c, 20, 80); /* more than a pack holds */
	assert_int_equal(names_of(&dir, 20), 64);
	assert_int_equal(names_of(&dir, 99), 16);
	for (unsigned i = 0; i < RUN; i++)
		assert_int_equal(chunks_get(c, i), 0);
	assert_int_equal(chunks_get(c, 83), 0);
	assert_int_equal(chunks_get(c, 84), 0);
}

static void damage_in_a_pack_costs_the_chunk_alone(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_chunk_cache) struct chunk_cache *c = chunks_open(dir.path, 0);
	chunks_put_run(c, 0, RUN);
	overwrite(chunks_path(&dir, 7), 4 * CHUNK + 5, "???");
	assert_int_equal(chunks_get(c, 4), -EBADMSG);
	assert_int_equal(chunks_get(c, 4), -ENOENT);
	assert_int_equal(chunks_get(c, 5), 0);
	chunks_put(c, 4);
	assert_int_equal(chunks_get(c, 4), 0);
	assert_int_equal(names_of(&dir, 4), 1);
}

static void damage_of_a_table_is_found(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_chunk_cache) struct chunk_cache *c = chunks_open(dir.path, 0);
	struct stat st;
	chunks_put_run(c, 0, 3);
	assert_int_equal(stat(chunks_path(&dir, 0), &st), 0);
	assert_int_equal(st.st_size, 3 * CHUNK + 3 * 48 + 16);
	/* the last chunk's row claims to lie behind the end; its digest says who it is */
	overwrite(chunks_path(&dir, 0), st.st_size - 16 - 10, "\xff\xff");
	assert_int_equal(chunks_get(c, 2), -EBADMSG);
	assert_int_equal(chunks_get(c, 1), 0);
	overwrite(chunks_path(&dir, 0), st.st_size - 16, "\xff\xff\xff\xff");
	assert_int_equal(chunks_get(c, 1), -EBADMSG);
	chunks_put_run(c, 10, 3);
	assert_int_equal(truncate(chunks_path(&dir, 10), 5), 0);
	assert_int_equal(chunks_get(c, 11), -EBADMSG);
	chunks_put_run(c, 20, 3);
	overwrite(chunks_path(&dir, 20), st.st_size - 1, "X");
	assert_int_equal(chunks_get(c, 21), -EBADMSG);
}

/* Its names go one by one, its bytes with the last. */
static void a_pack_that_goes_is_taken_off_the_sum_once(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_chunk_cache) struct chunk_cache *c = chunks_open(dir.path, 0);
	struct stat st;
	chunks_put(c, 90);
	chunks_put_run(c, 0, RUN);
	assert_int_equal(stat(chunks_path(&dir, 0), &st), 0);
	assert_int_equal(chunks_recorded(scratch_path(&dir, "size")), CHUNK + st.st_size);
	assert_int_equal(truncate(chunks_path(&dir, 0), 5), 0);
	overwrite(chunks_path(&dir, 0), st.st_size - 1, "X"); /* of the same size again */
	for (unsigned i = 0; i < RUN; i++) {
		assert_int_equal(
			chunks_recorded(scratch_path(&dir, "size")), CHUNK + st.st_size);
		assert_int_equal(chunks_get(c, i), -EBADMSG);
	}
	assert_int_equal(chunks_recorded(scratch_path(&dir, "size")), CHUNK);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_run_is_one_file_under_each_name),
		cmocka_unit_test(what_is_there_parts_a_run),
		cmocka_unit_test(damage_in_a_pack_costs_the_chunk_alone),
		cmocka_unit_test(damage_of_a_table_is_found),
		cmocka_unit_test(a_pack_that_goes_is_taken_off_the_sum_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
