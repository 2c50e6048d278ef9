/* Packing files that have hard links elsewhere, as a package manager's store has. */
#include "tests/unit/test.h"

#include <errno.h>
#include <sys/xattr.h>

#include "archive/pack.h"
#include "fetch/base/buf.h"
#include "fetch/base/cleanup.h"
#include "tests/unit/pseudo_random.h"
#include "tests/unit/scratch.h"

#define MIB (1u << 20)

/* "a", small; "large", of many frames; and "z". Links to them are made in `elsewhere`. */
struct tree_case {
	struct scratch dir;
	struct scratch elsewhere;
	void (*meanwhile)(const struct tree_case *); /* NULL: nothing happens */
	unsigned frames;
	struct buf bytes;
};

static const char *inside(const struct tree_case *c, const char *name)
{
	return scratch_path(&c->dir, name);
}

static const char *outside(const struct tree_case *c, const char *name)
{
	return scratch_path(&c->elsewhere, name);
}

/* The first two frames hold "a" and the beginning of "large", and were made by then. */
static int receive(void *arg, const void *data, size_t len, struct error *e)
{
	struct tree_case *c = arg;
	if (++c->frames == 3 && c->meanwhile)
		c->meanwhile(c);
	return buf_append(&c->bytes, data, len);
}

static void write_large(const struct tree_case *c)
{
	CLEANUP(cleanup_free) char *noise = malloc(9 * MIB + 1);
	pseudo_random_bytes(noise, 9 * MIB, 1);
	for (size_t i = 0; i < 9 * MIB; i++)
		noise[i] |= 1;
	noise[9 * MIB] = '\0';
	scratch_write(&c->dir, "large", noise);
}

/* Until what happens to an inode from here on gives it another ctime. */
static void await_another_ctime(const struct tree_case *c)
{
	struct stat last, probe;
	assert_int_equal(stat(inside(c, "z"), &last), 0);
	scratch_write(&c->elsewhere, "probe", "");
	do {
		assert_int_equal(chmod(outside(c, "probe"), 0600), 0);
		assert_int_equal(stat(outside(c, "probe"), &probe), 0);
	} while (probe.st_ctim.tv_sec == last.st_ctim.tv_sec &&
		 probe.st_ctim.tv_nsec == last.st_ctim.tv_nsec);
}

static int set_up(void **state)
{
	struct tree_case *c = calloc(1, sizeof(*c));
	c->dir = scratch_new();
	c->elsewhere = scratch_new();
	buf_init(&c->bytes, 256 * (size_t)MIB);
	scratch_write(&c->dir, "a", "1");
	write_large(c);
	scratch_write(&c->dir, "z", "54321");
	assert_int_equal(link(inside(c, "large"), outside(c, "large")), 0);
	assert_int_equal(link(inside(c, "z"), outside(c, "z")), 0);
	await_another_ctime(c);
	*state = c;
	return 0;
}

static int tear_down(void **state)
{
	struct tree_case *c = *state;
	scratch_finish(&c->dir);
	scratch_finish(&c->elsewhere);
	buf_finish(&c->bytes);
	free(c);
	return 0;
}

static int pack(struct tree_case *c, struct error *e)
{
	static const struct pack_options options = {
		.level = PACK_LEVEL_DEFAULT, .threads = 2};
	CLEANUP(cleanup_close)
	int fd = open(c->dir.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct pack_result result;
	c->frames = 0;
	buf_clear(&c->bytes);
	return pack_directory(fd, "top", &options, CALL_PATIENT, receive, c, &result, e);
}

/* Of one that was packed, one that was in part, and one that may not have been yet. */
static void relink(const struct tree_case *c)
{
	assert_int_equal(link(inside(c, "a"), outside(c, "a")), 0);
	assert_int_equal(unlink(outside(c, "large")), 0);
	assert_int_equal(link(inside(c, "large"), outside(c, "large")), 0);
	assert_int_equal(unlink(outside(c, "z")), 0);
}

static void links_may_come_and_go_elsewhere(void **state)
{
	struct tree_case *c = *state;
	struct error e = {0};
	assert_int_equal(pack(c, &e), 0);
	CLEANUP(buf_finish) struct buf before = BUF_INIT(256 * (size_t)MIB);
	assert_int_equal(buf_append(&before, c->bytes.data, c->bytes.len), 0);
	c->meanwhile = relink;
	if (pack(c, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(c->bytes.len, before.len);
	assert_memory_equal(c->bytes.data, before.data, before.len);
}

static void assert_changed(struct tree_case *c,
	void (*meanwhile)(const struct tree_case *), const char *name)
{
	char want[128];
	struct error e = {0};
	c->meanwhile = meanwhile;
	assert_int_equal(pack(c, &e), -EBUSY);
	snprintf(want, sizeof(want), "'top/%s' changed while it was being packed", name);
	assert_string_equal(e.text, want);
}

/* Another first byte, under the mtime of before. */
static void change_secretly(const struct tree_case *c, const char *name)
{
	struct stat st;
	CLEANUP(cleanup_close) int fd = open(inside(c, name), O_RDWR | O_CLOEXEC);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(pwrite(fd, "?", 1, 0), 1);
	const struct timespec times[] = {st.st_atim, st.st_mtim};
	assert_int_equal(futimens(fd, times), 0);
}

static void relink_and_change_a(const struct tree_case *c)
{
	relink(c);
	change_secretly(c, "a");
}

static void relink_and_change_large(const struct tree_case *c)
{
	relink(c);
	change_secretly(c, "large");
}

static void links_hide_no_other_content(void **state)
{
	assert_changed(*state, relink_and_change_a, "a");
}

static void links_hide_no_other_content_of_a_large_file(void **state)
{
	assert_changed(*state, relink_and_change_large, "large");
}

static void relink_and_change_mode(const struct tree_case *c)
{
	relink(c);
	assert_int_equal(chmod(inside(c, "a"), 0700), 0);
}

static void links_hide_no_other_mode(void **state)
{
	assert_changed(*state, relink_and_change_mode, "a");
}

static void relink_and_mark(const struct tree_case *c)
{
	relink(c);
	assert_int_equal(setxattr(inside(c, "a"), "user.mark", "1", 1, 0), 0);
}

static void links_hide_no_other_xattr(void **state)
{
	const struct tree_case *c = *state;
	if (setxattr(outside(c, "probe"), "user.probe", "", 0, 0) < 0)
		skip(); /* the file system has none */
	assert_changed(*state, relink_and_mark, "a");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			links_may_come_and_go_elsewhere, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			links_hide_no_other_content, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			links_hide_no_other_content_of_a_large_file, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			links_hide_no_other_mode, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			links_hide_no_other_xattr, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
