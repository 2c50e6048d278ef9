/* Unpacking with no more rights than a user has, whoever runs the tests. */
#include "tests/unit/unpacking.h"

#include <errno.h>
#include <string.h>
#include <sys/xattr.h>

#define NOBODY 65534

/* Called before the tree is renamed into its place. */
static void (*before_rename)(int parent, const char *target);

int __real_renameat(int, const char *, int, const char *);
int __wrap_renameat(int, const char *, int, const char *);

int __wrap_renameat(int from, const char *old, int to, const char *new)
{
	if (before_rename)
		before_rename(to, new);
	return __real_renameat(from, old, to, new);
}

/* The directory whose time cannot be set; 0: there is none. */
static ino_t out_of_time;

int __real_futimens(int, const struct timespec *);
int __wrap_futimens(int, const struct timespec *);

int __wrap_futimens(int fd, const struct timespec *times)
{
	struct stat st;
	assert_int_equal(fstat(fd, &st), 0);
	if (st.st_ino != out_of_time)
		return __real_futimens(fd, times);
	errno = EIO;
	return -1;
}

/* The directory is the user's. */
static void user_init(struct unpacking *f)
{
	unpacking_init(f);
	if (geteuid() == 0)
		assert_int_equal(chown(f->dir.path, NOBODY, NOBODY), 0);
}

static void user_finish(struct unpacking *f)
{
	before_rename = NULL;
	out_of_time = 0;
	unpacking_finish(f);
}

static int unpack(struct unpacking *f, const char *name)
{
	uid_t before = geteuid();
	if (before == 0)
		assert_int_equal(seteuid(NOBODY), 0);
	int r = unpacking_run(f, name);
	assert_int_equal(seteuid(before), 0);
	return r;
}

static void must_unpack(struct unpacking *f, const char *name)
{
	if (unpack(f, name) < 0)
		fail_msg("%s", f->e.text);
}

static void files_that_nobody_may_write_to_have_their_xattrs(void **state)
{
	CLEANUP(user_finish) struct unpacking f;
	user_init(&f);
	if (setxattr(scratch_path(&f.dir, ""), "user.probe", "", 0, 0) < 0)
		skip();
	builder_dir(f.builder, "d")->mode = S_IFDIR | 0555;
	builder_file(f.builder, "d/closed", "x", 1)->mode = S_IFREG;
	builder_file(f.builder, "read", "x", 1)->mode = S_IFREG | 0444;
	builder_xattr(f.builder, "d", "user.colour", "red");
	builder_xattr(f.builder, "read", "user.colour", "blue");
	builder_xattr(f.builder, "d/closed", "user.colour", "green");
	unpacking_lay(&f);
	must_unpack(&f, "out");
	char value[8];
	assert_string_equal(f.warning, "");
	assert_int_equal(
		getxattr(scratch_path(&f.dir, "out/read"), "user.colour", value, 8), 4);
	assert_memory_equal(value, "blue", 4);
	assert_int_equal(unpacking_look(&f, "out/read").st_mode, S_IFREG | 0444);
	assert_int_equal(unpacking_look(&f, "out/d/closed").st_mode, S_IFREG);
}

/* A container's volume; and a directory for all in one like /tmp. */
static void another_s_directory_is_filled_and_stays_as_it_is(void **state)
{
	static const mode_t parents[] = {0755, 01777};
	if (geteuid() != 0)
		skip();
	for (unsigned i = 0; i < 2; i++) {
		CLEANUP(user_finish) struct unpacking f;
		user_init(&f);
		builder_file(f.builder, "a", "x", 1);
		f.builder->entries[0].mode = S_IFDIR | 0711;
		unpacking_lay(&f);
		scratch_mkdir(&f.dir, "out");
		assert_int_equal(chown(f.dir.path, 0, 0), 0);
		assert_int_equal(chmod(f.dir.path, parents[i]), 0);
		assert_int_equal(chmod(scratch_path(&f.dir, "out"), 0777), 0);
		struct stat before = unpacking_look(&f, "out");
		must_unpack(&f, "out");
		struct stat after = unpacking_look(&f, "out");
		assert_int_equal(after.st_ino, before.st_ino);
		assert_int_equal(after.st_mode, before.st_mode);
		assert_int_equal(unpacking_look(&f, "out/a").st_uid, NOBODY);
		assert_int_equal(scratch_count(&f.dir, ""), 1);
	}
}

/* A tree that its owner may not write to, as Go's modules are. */
static void closed_to_its_owner(struct unpacking *f)
{
	builder_dir(f->builder, "d")->mode = S_IFDIR | 0555;
	builder_file(f->builder, "d/a", "x", 1);
	builder_file(f->builder, "e", "x", 1);
	f->builder->entries[0].mode = S_IFDIR | 0555;
	unpacking_lay(f);
	scratch_mkdir(&f->dir, "out");
	if (geteuid() == 0)
		assert_int_equal(chown(scratch_path(&f->dir, "out"), NOBODY, NOBODY), 0);
}

static void fill(int parent, const char *target)
{
	char path[NAME_MAX + 8];
	snprintf(path, sizeof(path), "%s/theirs", target);
	assert_int_equal(mkdirat(parent, path, 0755), 0);
}

static void what_cannot_be_put_into_place_is_removed(void **state)
{
	CLEANUP(user_finish) struct unpacking f;
	user_init(&f);
	closed_to_its_owner(&f);
	before_rename = fill;
	assert_int_equal(unpack(&f, "out"), -EIO);
	assert_non_null(strstr(f.e.text, "into place: Directory not empty"));
	assert_int_equal(rmdir(scratch_path(&f.dir, "out/theirs")), 0);
	assert_int_equal(rmdir(scratch_path(&f.dir, "out")), 0);
	assert_int_equal(rmdir(f.dir.path), 0);
}

static void a_target_that_was_closed_is_emptied(void **state)
{
	CLEANUP(user_finish) struct unpacking f;
	user_init(&f);
	closed_to_its_owner(&f);
	assert_int_equal(chmod(scratch_path(&f.dir, "out"), 0750), 0);
	assert_int_equal(chmod(f.dir.path, 0500), 0); /* so it is filled from within */
	out_of_time = unpacking_look(&f, "out").st_ino;
	assert_int_equal(unpack(&f, "out"), -EIO);
	assert_string_equal(f.e.text, "cannot set the time of '.': Input/output error");
	assert_int_equal(unpacking_look(&f, "out").st_mode, S_IFDIR | 0750);
	assert_int_equal(chmod(f.dir.path, 0700), 0);
	assert_int_equal(rmdir(scratch_path(&f.dir, "out")), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_that_nobody_may_write_to_have_their_xattrs),
		cmocka_unit_test(another_s_directory_is_filled_and_stays_as_it_is),
		cmocka_unit_test(what_cannot_be_put_into_place_is_removed),
		cmocka_unit_test(a_target_that_was_closed_is_emptied),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
