#include "tests/unit/scratch.h"

#include "fetch/base/cleanup.h"
#include "fetch/base/path_within.h"

static void itself_and_all_below_is_within(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	scratch_write(&dir, "a/b/file", "1");
	scratch_mkdir(&dir, "ab");
	const char *a = scratch_path(&dir, "a");
	assert_true(path_within(a, a));
	assert_true(path_within(scratch_path(&dir, "a/"), a));
	assert_true(path_within(scratch_path(&dir, "a/b"), a));
	assert_true(path_within(scratch_path(&dir, "a/b/file"), a));
	assert_true(path_within(a, "/"));
	assert_false(path_within(scratch_path(&dir, "ab"), a));
	assert_false(path_within(scratch_path(&dir, "a/.."), a));
	assert_false(path_within("/", a));
	assert_false(path_within("/etc", a));
}

static void what_is_missing_is_where_it_would_be_made(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	scratch_mkdir(&dir, "a");
	const char *a = scratch_path(&dir, "a");
	assert_true(path_within(scratch_path(&dir, "a/x"), a));
	assert_true(path_within(scratch_path(&dir, "a//x/y/"), a));
	assert_false(path_within(scratch_path(&dir, "x/a"), a));
	assert_false(path_within(a, scratch_path(&dir, "x")));
	assert_false(path_within("", a));
	assert_false(path_within("/missing-here", a));
}

static void a_symlink_leads_in_and_out(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	scratch_mkdir(&dir, "a/b");
	scratch_mkdir(&dir, "c");
	assert_int_equal(symlink("a/b", scratch_path(&dir, "in")), 0);
	assert_int_equal(symlink("../c", scratch_path(&dir, "a/out")), 0);
	const char *a = scratch_path(&dir, "a");
	assert_true(path_within(scratch_path(&dir, "in/x"), a));
	assert_true(path_within(a, scratch_path(&dir, "in/..")));
	assert_false(path_within(scratch_path(&dir, "a/out/x"), a));
}

static void a_relative_path_counts_from_here(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_close) int here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	scratch_mkdir(&dir, "a");
	assert_int_equal(chdir(dir.path), 0);
	bool within = path_within("a/x", "a") && path_within("x", dir.path) &&
		      path_within(".", dir.path) && !path_within("x", "a");
	assert_int_equal(fchdir(here), 0);
	assert_true(within);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(itself_and_all_below_is_within),
		cmocka_unit_test(what_is_missing_is_where_it_would_be_made),
		cmocka_unit_test(a_symlink_leads_in_and_out),
		cmocka_unit_test(a_relative_path_counts_from_here),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
