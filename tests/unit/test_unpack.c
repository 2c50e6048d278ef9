#include "tests/unit/unpacking.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/xattr.h>

#include "tests/unit/pseudo_random.h"

#define MIB ((size_t)1 << 20)

static void must_unpack(struct unpacking *f, const char *name)
{
	if (unpacking_run(f, name) < 0)
		fail_msg("%s", f->e.text);
}

/* The scratch directory holds these many names, hidden ones included. */
static void expect_names(const struct unpacking *f, const char *name, int want)
{
	DIR *d = opendir(scratch_path(&f->dir, name));
	assert_non_null(d);
	int count = -2;
	while (readdir(d))
		count++;
	closedir(d);
	assert_int_equal(count, want);
}

static void expect_content(
	const struct unpacking *f, const char *name, const char *want, size_t len)
{
	assert_int_equal(unpacking_look(f, name).st_size, len);
	CLEANUP(cleanup_free) char *data = malloc(len + 1);
	CLEANUP(cleanup_close)
	int fd = open(scratch_path(&f->dir, name), O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pread_exactly(fd, data, len, 0), 0);
	assert_memory_equal(data, want, len);
}

static void one_of_everything(struct unpacking *f)
{
	struct archive_builder *b = f->builder;
	builder_file(b, "a", "hello", 5)->mode = S_IFREG | 0600;
	struct builder_entry *dir = builder_dir(b, "dir");
	dir->mode = S_IFDIR | 0750;
	dir->seconds = 1000000000;
	dir->nanoseconds = 5;
	builder_file(b, "dir/deep", "deep content", 12)->nanoseconds = 123456789;
	builder_dir(b, "dir/empty")->mode = S_IFDIR | 01700;
	builder_symlink(b, "dir/link", "../a")->seconds = 1234;
	builder_link(b, "dir/other", "dir/deep");
	builder_file(b, "dir/void", "", 0)->seconds = -5;
	builder_link(b, "last", "dir/deep");
	builder_file(b, "setuid", "x", 1)->mode = S_IFREG | 06755;
	builder_link(b, "symlink-too", "dir/link");
	builder_file(b, "world", "y", 1)->mode = S_IFREG | 0666;
}

static void everything_is_as_it_was(void **state)
{
	CLEANUP(unpacking_finish) struct unpacking f;
	unpacking_init(&f);
	one_of_everything(&f);
	unpacking_lay(&f);
	must_unpack(&f, "out");
	expect_names(&f, "", 1);
	expect_names(&f, "out", 6);
	expect_names(&f, "out/dir", 5);
	expect_content(&f, "out/a", "hello", 5);
	expect_content(&f, "out/dir/deep", "deep content", 12);
	expect_content(&f, "out/dir/void", "", 0);
	struct stat st = unpacking_look(&f, "out/dir/deep");
	assert_int_equal(st.st_mode, S_IFREG | 0644);
	assert_int_equal(st.st_nlink, 3);
	assert_int_equal(st.st_mtim.tv_sec, 1700000000);
	assert_int_equal(st.st_mtim.tv_nsec, 123456789);
	assert_int_equal(st.st_ino, unpacking_look(&f, "out/last").st_ino);
	assert_int_equal(st.st_ino, unpacking_look(&f, "out/dir/other").st_ino);
	assert_int_equal(unpacking_look(&f, "out/a").st_mode, S_IFREG | 0600);
	assert_int_equal(unpacking_look(&f, "out/world").st_mode, S_IFREG | 0666);
	assert_int_equal(unpacking_look(&f, "out/setuid").st_mode, S_IFREG | 0755);
	assert_int_equal(unpacking_look(&f, "out/dir/void").st_mtim.tv_sec, -5);
	st = unpacking_look(&f, "out/dir");
	assert_int_equal(st.st_mode, S_IFDIR | 0750);
	assert_int_equal(st.st_mtim.tv_sec, 1000000000);
	assert_int_equal(st.st_mtim.tv_nsec, 5);
	assert_int_equal(unpacking_look(&f, "out/dir/empty").st_mode, S_IFDIR | 01700);
	assert_int_equal(unpacking_look(&f, "out").st_mtim.tv_sec, 1700000000);
	char target[16];
	assert_int_equal(readlink(scratch_path(&f.dir, "out/dir/link"), target, 16), 4);
	assert_memory_equal(target, "../a", 4);
	assert_int_equal(unpacking_look(&f, "out/dir/link").st_mtim.tv_sec, 1234);
	assert_int_equal(unpacking_look(&f, "out/symlink-too").st_ino,
		unpacking_look(&f, "out/dir/link").st_ino);
	assert_int_equal(f.progress.files, 5);
	assert_int_equal(f.progress.total_files, 5);
	assert_int_equal(f.progress.bytes, f.progress.total_bytes);
	assert_string_equal(f.warning, "");
}

static void modes_do_not_depend_on_the_umask(void **state)
{
	CLEANUP(unpacking_finish) struct unpacking f;
	unpacking_init(&f);
	one_of_everything(&f);
	unpacking_lay(&f);
	mode_t before = umask(0277);
	must_unpack(&f, "out");
	umask(before);
	assert_int_equal(unpacking_look(&f, "out/world").st_mode, S_IFREG | 0666);
	assert_int_equal(unpacking_look(&f, "out/dir").st_mode, S_IFDIR | 0750);
	assert_int_equal(unpacking_look(&f, "out/dir/deep").st_mode, S_IFREG | 0644);
}

/* Content that does not compress, so that it takes several runs. */
static char *large(struct unpacking *f, size_t len)
{
	f->large = malloc(len);
	assert_non_null(f->large);
	pseudo_random_bytes(f->large, len, 7);
	return f->large;
}

static void a_file_of_many_runs_is_whole(void **state)
{
	for (unsigned threads = 1; threads < 8; threads += 3) {
		CLEANUP(unpacking_finish) struct unpacking f;
		unpacking_init(&f);
		f.builder->cut = 300000;
		f.options.threads = threads;
		char *data = large(&f, 21 * MIB);
		builder_file(f.builder, "a", data, 5 * MIB);
		builder_file(f.builder, "b", data + 1, 20 * MIB)->mode = S_IFREG | 0444;
		builder_file(f.builder, "c", data + 2, 77);
		unpacking_lay(&f);
		must_unpack(&f, "out");
		assert_in_range(scripted_reads(&f.source), 6, 10);
		expect_content(&f, "out/a", data, 5 * MIB);
		expect_content(&f, "out/b", data + 1, 20 * MIB);
		expect_content(&f, "out/c", data + 2, 77);
		assert_int_equal(unpacking_look(&f, "out/b").st_mode, S_IFREG | 0444);
		assert_int_equal(unpacking_look(&f, "out/b").st_mtim.tv_sec, 1700000000);
	}
}

static void many_files_are_each_themselves(void **state)
{
	CLEANUP(unpacking_finish) struct unpacking f;
	unpacking_init(&f);
	f.builder->cut = 50000;
	char *data = large(&f, 10 * MIB);
	char name[32];
	for (int d = 0; d < 20; d++) {
		snprintf(name, sizeof(name), "d%02d", d);
		builder_dir(f.builder, name);
		for (int i = 0; i < 50; i++) {
			snprintf(name, sizeof(name), "d%02d/f%02d", d, i);
			builder_file(f.builder, name, data + d * 5000 + i * 7,
				(size_t)i * 400);
		}
	}
	unpacking_lay(&f);
	must_unpack(&f, "out");
	for (int d = 0; d < 20; d++)
		for (int i = 0; i < 50; i++) {
			snprintf(name, sizeof(name), "out/d%02d/f%02d", d, i);
			expect_content(
				&f, name, data + d * 5000 + i * 7, (size_t)i * 400);
		}
	assert_int_equal(f.progress.files, 1000);
}

static void zeros_become_holes(void **state)
{
	CLEANUP(unpacking_finish) struct unpacking f;
	unpacking_init(&f);
	char *data = f.large = calloc(1, 8 * MIB);
	memset(data + 3 * MIB, 'x', 5000);
	data[8 * MIB - 1] = 'y';
	builder_file(f.builder, "middle", data, 8 * MIB);
	builder_file(f.builder, "hollow", data, 2 * MIB);
	builder_file(f.builder, "small", data, 20000);
	unpacking_lay(&f);
	must_unpack(&f, "out");
	expect_content(&f, "out/middle", data, 8 * MIB);
	expect_content(&f, "out/hollow", data, 2 * MIB);
	expect_content(&f, "out/small", data, 20000);
	assert_in_range(unpacking_look(&f, "out/middle").st_blocks * 512, 1, MIB);
	assert_in_range(unpacking_look(&f, "out/hollow").st_blocks * 512, 0, 128 << 10);
	assert_in_range(unpacking_look(&f, "out/small").st_blocks * 512, 20000, MIB);
}

static void xattrs_are_set_or_warned_of(void **state)
{
	CLEANUP(unpacking_finish) struct unpacking f;
	unpacking_init(&f);
	builder_file(f.builder, "a", "x", 1)->mode = S_IFREG | 0444;
	builder_dir(f.builder, "d");
	builder_xattr(f.builder, "", "user.root", "r");
	builder_xattr(f.builder, "a", "user.colour", "blue");
	builder_xattr(f.builder, "d", "user.dir", "");
	unpacking_lay(&f);
	must_unpack(&f, "out");
	char value[8];
	const char *path = scratch_path(&f.dir, "out/a");
	if (setxattr(scratch_path(&f.dir, ""), "user.probe", "", 0, 0) < 0) {
		assert_non_null(strstr(f.warning, "3 extended attributes were left out"));
		return;
	}
	assert_int_equal(getxattr(path, "user.colour", value, 8), 4);
	assert_memory_equal(value, "blue", 4);
	assert_int_equal(
		getxattr(scratch_path(&f.dir, "out/d"), "user.dir", value, 8), 0);
	assert_int_equal(getxattr(scratch_path(&f.dir, "out"), "user.root", value, 8), 1);
	assert_string_equal(f.warning, "");
}

/* No file system keeps user attributes of this size in full everywhere: ext4 has room
 * for a block. */
static void refused_xattrs_are_counted(void **state)
{
	CLEANUP(unpacking_finish) struct unpacking f;
	unpacking_init(&f);
	char *value = f.large = malloc(60001);
	memset(value, 'v', 60000);
	value[60000] = '\0';
	builder_file(f.builder, "a", "x", 1);
	builder_xattr(f.builder, "a", "user.long", value);
	unpacking_lay(&f);
	must_unpack(&f, "out");
	char got[1];
	if (getxattr(scratch_path(&f.dir, "out/a"), "user.long", got, 0) < 0)
		assert_non_null(strstr(f.warning,
			"1 extended attributes were left out, the first of 'a': "));
}

static void paths_may_be_longer_than_the_system_takes(void **state)
{
	CLEANUP(unpacking_finish) struct unpacking f;
	unpacking_init(&f);
	char path[6000] = "", component[201] = "";
	memset(component, 'n', 200);
	for (int i = 0; i < 25; i++) {
		strcat(path, i ? "/" : "");
		strcat(path, component);
		builder_dir(f.builder, path);
	}
	strcat(path, "/file");
	builder_file(f.builder, path, "far down", 8);
	unpacking_lay(&f);
	must_unpack(&f, "out");
	int fd = open(scratch_path(&f.dir, "out"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < 25; i++) {
		int next = openat(fd, component, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(next >= 0);
		close(fd);
		fd = next;
	}
	char got[8];
	int file = openat(fd, "file", O_RDONLY | O_CLOEXEC);
	assert_int_equal(read(file, got, 8), 8);
	assert_memory_equal(got, "far down", 8);
	close(file);
	/* The scratch directory could not remove such paths. */
	assert_int_equal(unlinkat(fd, "file", 0), 0);
	for (int i = 0; i < 25; i++) {
		int up = openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		close(fd);
		fd = up;
		assert_int_equal(unlinkat(fd, component, AT_REMOVEDIR), 0);
	}
	close(fd);
}

/* Deeper than the descriptors that are kept, and closed to its owner. */
static void directories_may_be_closed_to_all(void **state)
{
	CLEANUP(unpacking_finish) struct unpacking f;
	unpacking_init(&f);
	char path[128] = "";
	for (int i = 0; i < 40; i++) {
		strcat(path, i ? "/d" : "d");
		builder_dir(f.builder, path)->mode = S_IFDIR | (i == 2 ? 0 : 0500);
	}
	strcat(path, "/f");
	builder_file(f.builder, path, "x", 1)->mode = S_IFREG;
	builder_dir(f.builder, "e")->mode = S_IFDIR | 0555;
	builder_link(f.builder, "e/l", path);
	f.builder->entries[0].mode = S_IFDIR | 0555;
	unpacking_lay(&f);
	must_unpack(&f, "out");
	assert_int_equal(unpacking_look(&f, "out").st_mode, S_IFDIR | 0555);
	assert_int_equal(unpacking_look(&f, "out/d/d/d").st_mode, S_IFDIR);
	assert_int_equal(unpacking_look(&f, "out/e/l").st_nlink, 2);
	if (geteuid() == 0)
		return;
	assert_int_equal(chmod(scratch_path(&f.dir, "out/d/d/d"), 0700), 0);
}

static void an_empty_directory_is_replaced(void **state)
{
	CLEANUP(unpacking_finish) struct unpacking f;
	unpacking_init(&f);
	builder_file(f.builder, "a", "x", 1);
	unpacking_lay(&f);
	scratch_mkdir(&f.dir, "out");
	must_unpack(&f, "out///");
	expect_content(&f, "out/a", "x", 1);
	expect_names(&f, "", 1);
}

static void the_current_directory_keeps_its_inode(void **state)
{
	CLEANUP(unpacking_finish) struct unpacking f;
	unpacking_init(&f);
	one_of_everything(&f);
	f.builder->entries[0].mode = S_IFDIR | 0711;
	/* Cannot be moved by somebody else than root once it has its mode. */
	builder_dir(f.builder, "locked")->mode = S_IFDIR | 0555;
	builder_file(f.builder, "locked/a", "b", 1);
	unpacking_lay(&f);
	scratch_mkdir(&f.dir, "out");
	struct stat before = unpacking_look(&f, "out");
	CLEANUP(cleanup_close) int here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(chdir(scratch_path(&f.dir, "out")), 0);
	int r = unpack_archive(
		f.archive, &f.source.base, CALL_PATIENT, ".", &f.options, &f.e);
	assert_int_equal(fchdir(here), 0);
	if (r < 0)
		fail_msg("%s", f.e.text);
	struct stat after = unpacking_look(&f, "out");
	assert_int_equal(before.st_ino, after.st_ino);
	assert_int_equal(after.st_mode, S_IFDIR | 0711);
	assert_int_equal(after.st_mtim.tv_sec, 1700000000);
	assert_int_equal(unpacking_look(&f, "out/locked").st_mode, S_IFDIR | 0555);
	expect_content(&f, "out/locked/a", "b", 1);
	expect_content(&f, "out/dir/deep", "deep content", 12);
	expect_names(&f, "out", 7);
	expect_names(&f, "", 1);
}

static void what_is_in_the_way_is_left_alone(void **state)
{
	CLEANUP(unpacking_finish) struct unpacking f;
	unpacking_init(&f);
	builder_file(f.builder, "a", "x", 1);
	unpacking_lay(&f);
	scratch_write(&f.dir, "full/file", "mine");
	assert_int_equal(unpacking_run(&f, "full"), -ENOTEMPTY);
	assert_non_null(strstr(f.e.text, "full'"));
	expect_names(&f, "full", 1);
	scratch_write(&f.dir, "file", "mine");
	assert_int_equal(unpacking_run(&f, "file"), -ENOTDIR);
	assert_int_equal(symlink("nowhere", scratch_path(&f.dir, "dangling")), 0);
	assert_true(unpacking_run(&f, "dangling") < 0);
	assert_int_equal(unpacking_run(&f, "none/out"), -ENOENT);
	assert_non_null(strstr(f.e.text, "none"));
	assert_int_equal(scripted_reads(&f.source), 0);
	expect_names(&f, "", 3);
}

static void a_symlink_to_an_empty_directory_is_followed(void **state)
{
	CLEANUP(unpacking_finish) struct unpacking f;
	unpacking_init(&f);
	builder_file(f.builder, "a", "x", 1);
	unpacking_lay(&f);
	scratch_mkdir(&f.dir, "real");
	assert_int_equal(symlink("real", scratch_path(&f.dir, "link")), 0);
	must_unpack(&f, "link");
	expect_content(&f, "real/a", "x", 1);
	assert_true(S_ISLNK(unpacking_look(&f, "link").st_mode));
}

static void a_failed_read_leaves_nothing(void **state)
{
	for (unsigned failing = 0; failing < 4; failing++) {
		CLEANUP(unpacking_finish) struct unpacking f;
		unpacking_init(&f);
		f.builder->cut = 300000;
		f.options.threads = 2;
		one_of_everything(&f);
		builder_file(f.builder, "large", large(&f, 20 * MIB), 20 * MIB);
		unpacking_lay(&f);
		memset(f.object.data + index_frame_offsets(
					       archive_index(f.archive))[failing * 20],
			0, 30);
		scratch_mkdir(&f.dir, "out");
		assert_int_equal(unpacking_run(&f, "out"), -EBADMSG);
		assert_non_null(strstr(f.e.text, "'key'"));
		expect_names(&f, "", 1);
		expect_names(&f, "out", 0);
		scripted_fail(&f.source, -EIO, 1);
		assert_int_equal(unpacking_run(&f, "new"), -EIO);
		assert_string_equal(f.e.text, "a scripted failure");
		expect_names(&f, "", 1);
	}
}

struct cancelling {
	struct unpacking *f;
	struct call call;
	struct cancel cancel;
	int result;
};

static void *unpack_on_thread(void *arg)
{
	struct cancelling *c = arg;
	c->result = unpack_archive(c->f->archive, &c->f->source.base, &c->call,
		scratch_path(&c->f->dir, "out"), &c->f->options, &c->f->e);
	return NULL;
}

static void a_cancelled_unpacking_leaves_nothing(void **state)
{
	CLEANUP(unpacking_finish) struct unpacking f;
	unpacking_init(&f);
	f.builder->cut = 300000;
	f.options.threads = 3;
	one_of_everything(&f);
	builder_file(f.builder, "large", large(&f, 20 * MIB), 20 * MIB);
	unpacking_lay(&f);
	scripted_hold(&f.source);
	struct cancelling c = {.f = &f};
	cancel_init(&c.cancel);
	c.call = (struct call){.deadline_ns = DEADLINE_NONE, .cancel = &c.cancel};
	pthread_t thread;
	assert_int_equal(pthread_create(&thread, NULL, unpack_on_thread, &c), 0);
	scripted_wait_held(&f.source, 3);
	cancel_fire(&c.cancel);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(c.result, -ECANCELED);
	expect_names(&f, "", 0);
	cancel_finish(&c.cancel);
}

static void a_deadline_ends_it(void **state)
{
	CLEANUP(unpacking_finish) struct unpacking f;
	unpacking_init(&f);
	one_of_everything(&f);
	unpacking_lay(&f);
	scripted_hold(&f.source);
	struct call late = {.deadline_ns = 1};
	assert_int_equal(unpack_archive(f.archive, &f.source.base, &late,
				 scratch_path(&f.dir, "out"), &f.options, &f.e),
		-ETIMEDOUT);
	expect_names(&f, "", 0);
}

static void the_disk_may_be_full(void **state)
{
	CLEANUP(unpacking_finish) struct unpacking f;
	unpacking_init(&f);
	one_of_everything(&f);
	builder_file(f.builder, "large", large(&f, 2 * MIB), 2 * MIB);
	unpacking_lay(&f);
	struct rlimit before, small = {MIB, MIB};
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	small.rlim_max = before.rlim_max;
	void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	int r = unpacking_run(&f, "out");
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	signal(SIGXFSZ, handler);
	assert_int_equal(r, -EFBIG);
	assert_non_null(strstr(f.e.text, "cannot write 'large'"));
	expect_names(&f, "", 0);
}

static void owners_are_given_when_asked(void **state)
{
	if (geteuid() != 0)
		skip();
	for (int preserve = 0; preserve < 2; preserve++) {
		CLEANUP(unpacking_finish) struct unpacking f;
		unpacking_init(&f);
		one_of_everything(&f);
		for (size_t i = 0; i < f.builder->count; i++) {
			f.builder->entries[i].uid = 1234;
			f.builder->entries[i].gid = 5678;
		}
		f.builder->owners = true;
		f.options.preserve_owner = preserve;
		unpacking_lay(&f);
		must_unpack(&f, "out");
		static const char *const names[] = {"out", "out/a", "out/dir",
			"out/dir/link", "out/last", "out/dir/void"};
		for (size_t i = 0; i < 6; i++) {
			struct stat st = unpacking_look(&f, names[i]);
			assert_int_equal(st.st_uid, preserve ? 1234 : geteuid());
			assert_int_equal(st.st_gid, preserve ? 5678 : getegid());
		}
		assert_int_equal(unpacking_look(&f, "out/setuid").st_mode,
			S_IFREG | (preserve ? 06755 : 0755));
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_is_as_it_was),
		cmocka_unit_test(modes_do_not_depend_on_the_umask),
		cmocka_unit_test(a_file_of_many_runs_is_whole),
		cmocka_unit_test(many_files_are_each_themselves),
		cmocka_unit_test(zeros_become_holes),
		cmocka_unit_test(xattrs_are_set_or_warned_of),
		cmocka_unit_test(refused_xattrs_are_counted),
		cmocka_unit_test(paths_may_be_longer_than_the_system_takes),
		cmocka_unit_test(directories_may_be_closed_to_all),
		cmocka_unit_test(an_empty_directory_is_replaced),
		cmocka_unit_test(the_current_directory_keeps_its_inode),
		cmocka_unit_test(what_is_in_the_way_is_left_alone),
		cmocka_unit_test(a_symlink_to_an_empty_directory_is_followed),
		cmocka_unit_test(a_failed_read_leaves_nothing),
		cmocka_unit_test(a_cancelled_unpacking_leaves_nothing),
		cmocka_unit_test(a_deadline_ends_it),
		cmocka_unit_test(the_disk_may_be_full),
		cmocka_unit_test(owners_are_given_when_asked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
