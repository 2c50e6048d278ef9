#include "tests/unit/chunks.h"

#include <errno.h>

static void only_its_owner_may_use_it(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	struct chunk_cache *c = NULL;
	struct error e = {0};
	assert_int_equal(chmod(dir.path, 0770), 0);
	assert_int_equal(chunk_cache_open(dir.path, 0, &c, &e), -EPERM);
	assert_non_null(strstr(e.text, dir.path));
	assert_int_equal(chmod(dir.path, 0702), 0);
	assert_int_equal(chunk_cache_open(dir.path, 0, &c, &e), -EPERM);

	struct stat st;
	assert_int_equal(chmod(dir.path, 0755), 0);
	c = chunks_open(dir.path, 0);
	chunk_cache_free(c);
	assert_int_equal(stat(dir.path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);

	if (geteuid() != 0) {
		print_message("not root: somebody else's folder is not tried\n");
		return;
	}
	assert_int_equal(chown(dir.path, 12345, 0), 0);
	assert_int_equal(chunk_cache_open(dir.path, 0, &c, &e), -EPERM);
	assert_non_null(strstr(e.text, "12345"));
}

static void a_folder_of_other_things_is_not_used(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	struct chunk_cache *c = NULL;
	scratch_write(&dir, "tmp/0123456789abcdef-0", "x");
	scratch_write(&dir, "size", "XXL");
	chunks_set_age(scratch_path(&dir, "tmp/0123456789abcdef-0"), 7200);
	assert_int_equal(chunk_cache_open(dir.path, 0, &c, NULL), -EPERM);
	assert_int_equal(scratch_count(&dir, ""), 2);
	struct stat st;
	assert_int_equal(stat(scratch_path(&dir, "size"), &st), 0);
	assert_int_equal(st.st_size, 3);
}

static void a_file_in_its_place_is_an_error(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	struct chunk_cache *c = NULL;
	scratch_write(&dir, "file", "x");
	assert_int_equal(
		chunk_cache_open(scratch_path(&dir, "file"), 0, &c, NULL), -ENOTDIR);
	assert_int_equal(chunk_cache_open(scratch_path(&dir, "file/below"), 0, &c, NULL),
		-ENOTDIR);
}

/* Of a dead writer; a short name and a long one. */
#define OLD      "tmp/0123456789abcdef-0"
#define VERY_OLD "tmp/fedcba9876543210-fedcba9876543210"
#define YOUNG    "tmp/0123456789abcdef-1"

static void old_temporary_files_are_swept(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	chunk_cache_free(chunks_open(dir.path, 0));
	scratch_write(&dir, OLD, "x");
	scratch_write(&dir, VERY_OLD, "x");
	scratch_write(&dir, YOUNG, "x");
	chunks_set_age(scratch_path(&dir, OLD), 7200);
	chunks_set_age(scratch_path(&dir, VERY_OLD), 720000);
	chunk_cache_free(chunks_open(dir.path, 0));
	assert_int_equal(access(scratch_path(&dir, OLD), F_OK), -1);
	assert_int_equal(access(scratch_path(&dir, VERY_OLD), F_OK), -1);
	assert_int_equal(access(scratch_path(&dir, YOUNG), F_OK), 0);
}

static void what_is_not_named_so_is_not_swept(void **state)
{
	static const char *const names[] = {"tmp/thesis.txt", "tmp/0-1",
		"tmp/0123456789ABCDEF-1", "tmp/0123456789abcdef-01",
		"tmp/0123456789abcdef-1~", "tmp/0123456789abcdef-",
		"tmp/0123456789abcdef-fedcba98765432100"};
	const unsigned count = sizeof(names) / sizeof(names[0]);
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	chunk_cache_free(chunks_open(dir.path, 0));
	for (unsigned i = 0; i < count; i++) {
		scratch_write(&dir, names[i], "x");
		chunks_set_age(scratch_path(&dir, names[i]), 7200);
	}
	chunk_cache_free(chunks_open(dir.path, 0));
	assert_int_equal(scratch_count(&dir, "tmp"), count);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_its_owner_may_use_it),
		cmocka_unit_test(a_folder_of_other_things_is_not_used),
		cmocka_unit_test(a_file_in_its_place_is_an_error),
		cmocka_unit_test(old_temporary_files_are_swept),
		cmocka_unit_test(what_is_not_named_so_is_not_swept),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
