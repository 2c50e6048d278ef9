/* What killed unpackings have left, with no more rights than a user has. */
#include "archive/unpack_temp.h"

#include <dirent.h>
#include <errno.h>
#include <sys/resource.h>

#include "fetch/base/cleanup.h"
#include "tests/unit/scratch.h"

#define NOBODY 65534
#define PREFIX ".larder-"
#define DEAD   PREFIX "0123abcd"

struct fixture {
	struct scratch dir; /* the user's */
	int where;
	uid_t before;
};

static void fixture_init(struct fixture *f)
{
	*f = (struct fixture){.dir = scratch_new(), .before = geteuid()};
	if (f->before == 0) {
		assert_int_equal(chown(f->dir.path, NOBODY, NOBODY), 0);
		assert_int_equal(seteuid(NOBODY), 0);
	}
	f->where = open(f->dir.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(f->where >= 0);
}

static void fixture_finish(struct fixture *f)
{
	close(f->where);
	assert_int_equal(seteuid(f->before), 0);
	scratch_finish(&f->dir);
}

static void sweep(const struct fixture *f)
{
	unpack_temp_sweep(f->where, PREFIX, CALL_PATIENT);
}

static bool is_there(const struct fixture *f, const char *name)
{
	struct stat st;
	return lstat(scratch_path(&f->dir, name), &st) == 0;
}

/* However they are called. */
static void expect_count(const struct fixture *f, int wanted)
{
	DIR *d = opendir(f->dir.path);
	assert_non_null(d);
	int count = -2;
	while (readdir(d))
		count++;
	closedir(d);
	assert_int_equal(count, wanted);
}

static void names_are_told_from_others(void **state)
{
	char name[NAME_MAX + 1];
	assert_int_equal(unpack_temp_name(PREFIX, name), 0);
	assert_true(unpack_temp_is_name(PREFIX, name));
	assert_true(strlen(name) - strlen(PREFIX) < UNPACK_TEMP_SUFFIX);
	assert_true(unpack_temp_is_name(PREFIX, DEAD));
	assert_true(unpack_temp_is_name(PREFIX, DEAD ".dead"));
	static const char *const others[] = {"", PREFIX, DEAD "0", PREFIX "0123abc",
		PREFIX "0123abcX", PREFIX "0123ABCD", DEAD ".death", DEAD ".dead.dead",
		".a" DEAD, "larder-0123abcd"};
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (unpack_temp_is_name(PREFIX, others[i]))
			fail_msg("%s", others[i]);
}

static void the_living_keep_theirs(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f);
	int fd = -1;
	assert_int_equal(unpack_temp_make(f.where, DEAD, &fd), 0);
	scratch_write(&f.dir, DEAD "/a", "a");
	sweep(&f);
	assert_true(is_there(&f, DEAD "/a"));
	close(fd);
	sweep(&f);
	expect_count(&f, 0);
}

static void a_name_that_is_taken_is_not_made(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f);
	int fd = -1;
	scratch_write(&f.dir, DEAD "/a", "a");
	assert_int_equal(unpack_temp_make(f.where, DEAD, &fd), -EAGAIN);
	assert_int_equal(fd, -1);
	assert_true(is_there(&f, DEAD "/a"));
}

static void what_is_called_otherwise_stays(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f);
	scratch_write(&f.dir, DEAD, "a file");
	scratch_mkdir(&f.dir, DEAD "0/a");
	scratch_mkdir(&f.dir, ".a" DEAD "/a");
	sweep(&f);
	expect_count(&f, 3);
}

static void what_is_another_s_stays(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f);
	if (f.before != 0)
		skip();
	assert_int_equal(seteuid(0), 0);
	scratch_mkdir(&f.dir, DEAD);
	assert_int_equal(seteuid(NOBODY), 0);
	sweep(&f);
	assert_true(is_there(&f, DEAD));
}

/* Also what another one has begun to remove. */
static void modes_and_links_are_no_hindrance(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f);
	scratch_write(&f.dir, "victim/a", "a");
	static const char *const trees[] = {DEAD, PREFIX "00000000.dead"};
	for (size_t i = 0; i < 2; i++) {
		char path[128];
		snprintf(path, sizeof(path), "%s/closed/deep", trees[i]);
		scratch_mkdir(&f.dir, path);
		assert_int_equal(chmod(scratch_path(&f.dir, path), 0), 0);
		snprintf(path, sizeof(path), "%s/closed/link", trees[i]);
		assert_int_equal(symlink("../../victim", scratch_path(&f.dir, path)), 0);
		snprintf(path, sizeof(path), "%s/closed", trees[i]);
		assert_int_equal(chmod(scratch_path(&f.dir, path), 0), 0);
		snprintf(path, sizeof(path), "%s/link", trees[i]);
		assert_int_equal(symlink("../victim", scratch_path(&f.dir, path)), 0);
		/* A name that the removal gives to what it moves. */
		snprintf(path, sizeof(path), "%s/.larder-0", trees[i]);
		scratch_write(&f.dir, path, "0");
		assert_int_equal(chmod(scratch_path(&f.dir, trees[i]), 0555), 0);
	}
	sweep(&f);
	expect_count(&f, 1);
	assert_true(is_there(&f, "victim/a"));
}

/* Two directories and a file on each level. */
static void make_deep(const struct fixture *f, int levels)
{
	scratch_mkdir(&f->dir, DEAD);
	int at = open(scratch_path(&f->dir, DEAD), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < levels; i++) {
		assert_int_equal(mkdirat(at, "1", 0755), 0);
		assert_int_equal(mkdirat(at, "2", 0755), 0);
		assert_int_equal(mknodat(at, "3", S_IFREG | 0644, 0), 0);
		int below = openat(at, i % 2 ? "1" : "2", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(below >= 0);
		close(at);
		at = below;
	}
	close(at);
}

static void depth_takes_no_descriptors(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f);
	make_deep(&f, 3000);
	struct rlimit before, few;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	int next = dup(f.where);
	close(next);
	few = (struct rlimit){(rlim_t)next + 5, before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	sweep(&f);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	expect_count(&f, 0);
}

static void a_call_can_end_it(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f);
	struct cancel cancel;
	cancel_init(&cancel);
	cancel_fire(&cancel);
	scratch_mkdir(&f.dir, DEAD);
	const struct call call = {.deadline_ns = DEADLINE_NONE, .cancel = &cancel};
	unpack_temp_sweep(f.where, PREFIX, &call);
	assert_true(is_there(&f, DEAD));
	cancel_finish(&cancel);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_told_from_others),
		cmocka_unit_test(the_living_keep_theirs),
		cmocka_unit_test(a_name_that_is_taken_is_not_made),
		cmocka_unit_test(what_is_called_otherwise_stays),
		cmocka_unit_test(what_is_another_s_stays),
		cmocka_unit_test(modes_and_links_are_no_hindrance),
		cmocka_unit_test(depth_takes_no_descriptors),
		cmocka_unit_test(a_call_can_end_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
