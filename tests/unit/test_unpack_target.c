/* Unpacking within the target, while somebody else is at work there. */
#include "tests/unit/scratch.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "archive/unpack.h"
#include "tests/unit/archive_builder.h"
#include "tests/unit/scripted_source.h"

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
struct unpacking {
	struct archive_builder *builder;
	struct buf object;
	struct scripted_source source;
	struct archive *archive;
	struct scratch dir;
	int before; /* the directory to return to */
	struct cancel cancel;
	struct call call;
	pthread_t thread;
	int result;
	struct error e;
};

/* The archive: a, b/1, b/2, c, d/deep/1. */
static void unpacking_init(struct unpacking *u)
{
	*u = (struct unpacking){
		.builder = builder_new(),
		.object = BUF_INIT((size_t)1 << 20),
		.dir = scratch_new(),
		.before = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC),
		.call = {.deadline_ns = DEADLINE_NONE, .cancel = &u->cancel},
	};
	builder_file(u->builder, "a", "ours", 4);
	builder_dir(u->builder, "b")->mode = S_IFDIR | 0555;
	builder_file(u->builder, "b/1", "ours", 4);
	builder_file(u->builder, "b/2", "ours", 4);
	builder_symlink(u->builder, "c", "a");
	builder_dir(u->builder, "d");
	builder_dir(u->builder, "d/deep");
	builder_file(u->builder, "d/deep/1", "ours", 4);
	builder_lay(u->builder);
	builder_object(u->builder, &u->object);
	scripted_init(&u->source, u->object.data, u->object.len);
	assert_int_equal(archive_load(&u->source.base, CALL_PATIENT, u->object.data,
				 u->object.len, "key", &u->archive, NULL, NULL),
		0);
	cancel_init(&u->cancel);
	scratch_mkdir(&u->dir, "out");
	assert_int_equal(chdir(scratch_path(&u->dir, "out")), 0);
}

static void unpacking_finish(struct unpacking *u)
{
	refusal = 0;
	after_move = NULL;
	assert_int_equal(fchdir(u->before), 0);
	close(u->before);
	cancel_finish(&u->cancel);
	archive_free(u->archive);
	scripted_finish(&u->source);
	buf_finish(&u->object);
	builder_free(u->builder);
	scratch_finish(&u->dir);
}

static void *run(void *arg)
{
	struct unpacking *u = arg;
	const struct unpack_options options = {.threads = 1};
	u->result = unpack_archive(
		u->archive, &u->source.base, &u->call, ".", &options, &u->e);
	return NULL;
}

/* Returns when the target was found empty and nothing is moved up yet. */
static void begin(struct unpacking *u)
{
	scripted_hold(&u->source);
	assert_int_equal(pthread_create(&u->thread, NULL, run, u), 0);
	scripted_wait_held(&u->source, 1);
}

static int await_end(struct unpacking *u)
{
	assert_int_equal(pthread_join(u->thread, NULL), 0);
	return u->result;
}

static int end(struct unpacking *u)
{
	scripted_release(&u->source);
	await_end(u);
	assert_int_equal(u->e.code, u->result);
	return u->result;
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
	CLEANUP(unpacking_finish) struct unpacking u;
	unpacking_init(&u);
	begin(&u);
	scratch_write(&u.dir, "out/a", "theirs");
	scratch_write(&u.dir, "out/b/1", "theirs");
	scratch_mkdir(&u.dir, "out/d");
	cancel_fire(&u.cancel);
	assert_int_equal(await_end(&u), -ECANCELED);
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
			CLEANUP(unpacking_finish) struct unpacking u;
			unpacking_init(&u);
			refusal = refusals[i];
			begin(&u);
			scratch_write(&u.dir, files[k], "theirs");
			assert_int_equal(end(&u), -EIO);
			char want[64];
			snprintf(want, sizeof(want),
				"cannot move '%.1s' into '.': File exists", files[k] + 4);
			assert_string_equal(u.e.text, want);
			expect(files[k] + 4, "theirs");
			expect_names(".", 1);
		}
}

static void an_empty_directory_is_not_replaced_either(void **state)
{
	for (int answer = 0; answer <= EINVAL; answer += EINVAL) {
		CLEANUP(unpacking_finish) struct unpacking u;
		unpacking_init(&u);
		refusal = answer;
		begin(&u);
		scratch_mkdir(&u.dir, "out/b");
		assert_int_equal(end(&u), -EIO);
		expect_names("b", 0);
		expect_names(".", 1);
	}
}

/* NFS, for one. */
static void a_file_system_may_know_no_noreplace(void **state)
{
	CLEANUP(unpacking_finish) struct unpacking u;
	unpacking_init(&u);
	refusal = EINVAL;
	begin(&u);
	scratch_write(&u.dir, "out/elsewhere", "theirs");
	assert_int_equal(end(&u), 0);
	expect("elsewhere", "theirs");
	assert_int_equal(unlink("elsewhere"), 0);
	expect_whole();
}

/* The code of "already published", which is no failure to some. */
static void a_file_in_the_unfinished_tree_is_a_failure(void **state)
{
	CLEANUP(unpacking_finish) struct unpacking u;
	unpacking_init(&u);
	begin(&u);
	DIR *d = opendir(".");
	char path[NAME_MAX + 16] = "";
	for (const struct dirent *entry; (entry = readdir(d));)
		if (!strncmp(entry->d_name, ".larder-", 8))
			snprintf(path, sizeof(path), "out/%s/a", entry->d_name);
	closedir(d);
	scratch_write(&u.dir, path, "theirs");
	assert_int_equal(end(&u), -EIO);
	assert_string_equal(u.e.text, "cannot make 'a': File exists");
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
	CLEANUP(unpacking_finish) struct unpacking u;
	unpacking_init(&u);
	scratch_mkdir(&u.dir, "victim");
	assert_int_equal(chmod("../victim", 0500), 0);
	struct timespec long_ago[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
	assert_int_equal(utimensat(AT_FDCWD, "../victim", long_ago, 0), 0);
	after_move = swap_in_a_link;
	begin(&u);
	assert_int_equal(end(&u), -EIO);
	assert_non_null(strstr(u.e.text, "cannot open 'b'"));
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
