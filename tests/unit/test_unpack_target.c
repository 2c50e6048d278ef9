/* Unpacking within the target, while somebody else is at work there. */
#include "tests/unit/unpacking.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* What the file system answers to RENAME_NOREPLACE; 0: it does it. */
static int refusal;

/* Called after something was moved into the target. */
static void (*after_move)(const char *name);

int __real_renameat2(int, const char *, int, const char *, unsigned);
int __wrap_renameat2(int, const char *, int, const char *, unsigned);

int __wrap_renameat2(int from, const char *old, int to, const char *new, unsigned flags)
{
	if (refusal) {
		errno = refusal;
		return -1;
	}
	int r = __real_renameat2(from, old, to, new, flags);
	if (r == 0 && after_move)
		after_move(new);
	return r;
}

/* Unpacks to the current directory, the scratch's "out", on a thread of its own. */
struct target {
	struct unpacking base;
	int before; /* the directory to return to */
	struct cancel cancel;
	struct call call;
	pthread_t thread;
	int result;
};

/* The archive: a, b/1, b/2, c, d/deep/1. */
static void target_init(struct target *t)
{
	unpacking_init(&t->base);
	t->base.options = (struct unpack_options){.threads = 1};
	t->call = (struct call){.deadline_ns = DEADLINE_NONE, .cancel = &t->cancel};
	cancel_init(&t->cancel);
	struct archive_builder *b = t->base.builder;
	builder_file(b, "a", "ours", 4);
	builder_dir(b, "b")->mode = S_IFDIR | 0555;
	builder_file(b, "b/1", "ours", 4);
	builder_file(b, "b/2", "ours", 4);
	builder_symlink(b, "c", "a");
	builder_dir(b, "d");
	builder_dir(b, "d/deep");
	builder_file(b, "d/deep/1", "ours", 4);
	unpacking_lay(&t->base);
	t->before = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	scratch_mkdir(&t->base.dir, "out");
	assert_int_equal(chdir(scratch_path(&t->base.dir, "out")), 0);
}

static void target_finish(struct target *t)
{
	refusal = 0;
	after_move = NULL;
	assert_int_equal(fchdir(t->before), 0);
	close(t->before);
	cancel_finish(&t->cancel);
	unpacking_finish(&t->base);
}

static void *run(void *arg)
{
	struct target *t = arg;
	struct unpacking *u = &t->base;
	t->result = unpack_archive(
		u->archive, &u->source.base, &t->call, ".", &u->options, &u->e);
	return NULL;
}

/* Returns when the target was found empty and nothing is moved up yet. */
static void begin(struct target *t)
{
	scripted_hold(&t->base.source);
	assert_int_equal(pthread_create(&t->thread, NULL, run, t), 0);
	scripted_wait_held(&t->base.source, 1);
}

static int await_end(struct target *t)
{
	assert_int_equal(pthread_join(t->thread, NULL), 0);
	return t->result;
}

static int end(struct target *t)
{
	scripted_release(&t->base.source);
	await_end(t);
	assert_int_equal(t->base.e.code, t->result);
	return t->result;
}

static void expect(const char *path, const char *want)
{
	char got[16] = "";
	CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		fail_msg("%s: %s", path, strerror(errno));
	assert_true(read(fd, got, sizeof(got) - 1) >= 0);
	assert_string_equal(got, want);
}

static void expect_names(const char *path, int want)
{
	DIR *d = opendir(path);
	assert_non_null(d);
	int count = -2;
	while (readdir(d))
		count++;
	closedir(d);
	assert_int_equal(count, want);
}

static void expect_whole(void)
{
	expect("a", "ours");
	expect("b/1", "ours");
	expect("b/2", "ours");
	expect("c", "ours");
	expect("d/deep/1", "ours");
	expect_names(".", 4);
}

static void an_ended_unpacking_removes_nobody_else_s_files(void **state)
{
	CLEANUP(target_finish) struct target t;
	target_init(&t);
	begin(&t);
	scratch_write(&t.base.dir, "out/a", "theirs");
	scratch_write(&t.base.dir, "out/b/1", "theirs");
	scratch_mkdir(&t.base.dir, "out/d");
	cancel_fire(&t.cancel);
	assert_int_equal(await_end(&t), -ECANCELED);
	expect("a", "theirs");
	expect("b/1", "theirs");
	expect_names("d", 0);
	expect_names(".", 3);
}

/* Whatever the kind of what is in the way, and of what it is in the way of. */
static void what_took_a_name_is_not_replaced(void **state)
{
	static const int refusals[] = {0, EINVAL, ENOSYS};
	static const char *const files[] = {"out/a", "out/b", "out/c", "out/d/deep/1"};
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++)
		for (size_t k = 0; k < sizeof(files) / sizeof(files[0]); k++) {
			CLEANUP(target_finish) struct target t;
			target_init(&t);
			refusal = refusals[i];
			begin(&t);
			scratch_write(&t.base.dir, files[k], "theirs");
			assert_int_equal(end(&t), -EIO);
			char want[64];
			snprintf(want, sizeof(want),
				"cannot move '%.1s' into '.': File exists", files[k] + 4);
			assert_string_equal(t.base.e.text, want);
			expect(files[k] + 4, "theirs");
			expect_names(".", 1);
		}
}

static void an_empty_directory_is_not_replaced_either(void **state)
{
	for (int answer = 0; answer <= EINVAL; answer += EINVAL) {
		CLEANUP(target_finish) struct target t;
		target_init(&t);
		refusal = answer;
		begin(&t);
		scratch_mkdir(&t.base.dir, "out/b");
		assert_int_equal(end(&t), -EIO);
		expect_names("b", 0);
		expect_names(".", 1);
	}
}

/* NFS, for one. */
static void a_file_system_may_know_no_noreplace(void **state)
{
	CLEANUP(target_finish) struct target t;
	target_init(&t);
	refusal = EINVAL;
	begin(&t);
	scratch_write(&t.base.dir, "out/elsewhere", "theirs");
	assert_int_equal(end(&t), 0);
	expect("elsewhere", "theirs");
	assert_int_equal(unlink("elsewhere"), 0);
	expect_whole();
}

/* The code of "already published", which is no failure to some. */
static void a_file_in_the_unfinished_tree_is_a_failure(void **state)
{
	CLEANUP(target_finish) struct target t;
	target_init(&t);
	begin(&t);
	DIR *d = opendir(".");
	char path[NAME_MAX + 16] = "";
	for (const struct dirent *entry; (entry = readdir(d));)
		if (!strncmp(entry->d_name, ".larder-", 8))
			snprintf(path, sizeof(path), "out/%s/a", entry->d_name);
	closedir(d);
	scratch_write(&t.base.dir, path, "theirs");
	assert_int_equal(end(&t), -EIO);
	assert_string_equal(t.base.e.text, "cannot make 'a': File exists");
}

/* b, which has just come up, becomes a link to a directory that is none of ours. */
static void swap_in_a_link(const char *name)
{
	if (strcmp(name, "b") != 0)
		return;
	assert_int_equal(rename("b", "../b"), 0);
	assert_int_equal(symlink("../victim", "b"), 0);
}

static void a_link_that_took_a_directory_s_place_is_not_followed(void **state)
{
	CLEANUP(target_finish) struct target t;
	target_init(&t);
	scratch_mkdir(&t.base.dir, "victim");
	assert_int_equal(chmod("../victim", 0500), 0);
	struct timespec long_ago[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
	assert_int_equal(utimensat(AT_FDCWD, "../victim", long_ago, 0), 0);
	after_move = swap_in_a_link;
	begin(&t);
	assert_int_equal(end(&t), -EIO);
	assert_non_null(strstr(t.base.e.text, "cannot open 'b'"));
	struct stat st;
	assert_int_equal(stat("../victim", &st), 0);
	assert_int_equal(st.st_mode, S_IFDIR | 0500);
	assert_int_equal(st.st_mtim.tv_sec, 1000);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_ended_unpacking_removes_nobody_else_s_files),
		cmocka_unit_test(what_took_a_name_is_not_replaced),
		cmocka_unit_test(an_empty_directory_is_not_replaced_either),
		cmocka_unit_test(a_file_system_may_know_no_noreplace),
		cmocka_unit_test(a_file_in_the_unfinished_tree_is_a_failure),
		cmocka_unit_test(a_link_that_took_a_directory_s_place_is_not_followed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
