#include "tests/unit/scratch.h"

#include <errno.h>

#include "fetch/base/cleanup.h"
#include "fetch/beneath.h"

struct expectation {
	const char *path;
	int code;  /* 0: opens */
	int other; /* a second code that will do */
};

static const struct expectation expectations[] = {
	{"", 0},
	{"file", 0},
	{"dir/file", 0},
	{"dir", 0},
	{"missing", -ENOENT},
	{"dir/missing", -ENOENT},
	{"file/below", -ENOTDIR},
	{"inner", -ELOOP},
	{"outer/hosts", -ELOOP, -ENOTDIR},
	{"dirlink/file", -ELOOP, -ENOTDIR},
	{"..", -EXDEV},
	{"dir/../file", -EXDEV},
	{"/etc/hosts", -EXDEV},
	{"..a", -ENOENT},
};

static void expect(int root, int (*fn)(int, const char *, int))
{
	for (size_t i = 0; i < sizeof(expectations) / sizeof(expectations[0]); i++) {
		const struct expectation *x = &expectations[i];
		CLEANUP(cleanup_close) int fd = fn(root, x->path, O_RDONLY);
		if (x->code == 0)
			assert_true(fd >= 0);
		else
			assert_true(fd == x->code || (x->other && fd == x->other));
	}
}

static void no_link_is_followed_and_nobody_leaves(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	scratch_write(&dir, "file", "f");
	scratch_write(&dir, "dir/file", "f");
	assert_int_equal(symlink("file", scratch_path(&dir, "inner")), 0);
	assert_int_equal(symlink("dir", scratch_path(&dir, "dirlink")), 0);
	assert_int_equal(symlink("/etc", scratch_path(&dir, "outer")), 0);
	CLEANUP(cleanup_close) int root = open(dir.path, O_RDONLY | O_DIRECTORY);
	expect(root, beneath_open);
	expect(root, beneath_walk);
}

static void directories_are_made_as_needed(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_close) int root = open(dir.path, O_RDONLY | O_DIRECTORY);
	for (int i = 0; i < 2; i++) {
		CLEANUP(cleanup_close) int made = beneath_make_directory(root, "a/b/c");
		assert_true(made >= 0);
		struct stat held, named;
		assert_int_equal(fstat(made, &held), 0);
		assert_int_equal(stat(scratch_path(&dir, "a/b/c"), &named), 0);
		assert_int_equal(held.st_ino, named.st_ino);
	}
	scratch_write(&dir, "file", "f");
	assert_int_equal(symlink("a", scratch_path(&dir, "link")), 0);
	assert_int_equal(beneath_make_directory(root, "file/x"), -ENOTDIR);
	int r = beneath_make_directory(root, "link/x");
	assert_true(r == -ENOTDIR || r == -ELOOP);
	assert_int_equal(beneath_make_directory(root, "../x"), -EXDEV);
	assert_int_equal(access(scratch_path(&dir, "a/x"), F_OK), -1);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_link_is_followed_and_nobody_leaves),
		cmocka_unit_test(directories_are_made_as_needed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
