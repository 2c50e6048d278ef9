#include "tests/unit/test.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/xattr.h>

#include "archive/format.h"
#include "archive/walk.h"
#include "tests/unit/scratch.h"

/* What a walk said aloud. */
struct said {
	unsigned warnings;
	char last[768];
};

static void note(void *arg, const char *sentence)
{
	struct said *said = arg;
	said->warnings++;
	snprintf(said->last, sizeof(said->last), "%s", sentence);
}

static int open_scratch(const struct scratch *dir)
{
	int fd = open(dir->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

/* Walks it all; *ret_paths are the tar's paths, a line each. */
static int walk_all(const struct scratch *dir, const struct walk_options *options,
	struct tree *t, struct buf *ret_paths, struct error *e)
{
	CLEANUP(cleanup_close) int fd = open_scratch(dir);
	CLEANUP(cleanup_walk) struct walk *w = NULL;
	int r = walk_new(fd, "top", t, options, &w, e);
	for (bool more = true; r == 0 && more;)
		r = walk_next(w, &more, e);
	CLEANUP(buf_finish) struct buf path = BUF_INIT(TREE_PATH_LIMIT);
	for (uint32_t i = 0; ret_paths && i < tree_count(t); i++) {
		assert_int_equal(tree_tar_path(t, i, &path), 0);
		assert_int_equal(buf_printf(ret_paths, "%s\n", buf_str(&path)), 0);
	}
	return r;
}

static void assert_walk(
	const struct scratch *dir, const struct walk_options *options, const char *want)
{
	CLEANUP(cleanup_tree) struct tree *t = tree_new();
	CLEANUP(buf_finish) struct buf paths = BUF_INIT(1 << 20);
	struct error e = {0};
	assert_int_equal(walk_all(dir, options, t, &paths, &e), 0);
	assert_string_equal(buf_str(&paths), want);
}

static const struct walk_options plain = {0};

static void entries_come_depth_first_and_sorted(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	scratch_write(&dir, "b/z", "1");
	scratch_write(&dir, "b/a/deep", "2");
	scratch_write(&dir, "b.c", "3"); /* '.' is before '/' */
	scratch_write(&dir, "\xff", "4");
	scratch_mkdir(&dir, "B");
	assert_walk(&dir, &plain, "./\nB/\nb/\nb/a/\nb/a/deep\nb/z\nb.c\n\xff\n");
}

static void an_empty_directory_is_its_root(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	assert_walk(&dir, &plain, "./\n");
}

static const struct tree_entry *find(const struct tree *t, const char *name)
{
	for (uint32_t i = 0; i < tree_count(t); i++)
		if (!strcmp(tree_entry(t, i)->name, name))
			return tree_entry(t, i);
	fail_msg("there is no '%s'", name);
	return NULL;
}

static void facts_are_those_of_the_inode(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	scratch_write(&dir, "file", "12345");
	assert_int_equal(symlink("some/where", scratch_path(&dir, "link")), 0);
	assert_int_equal(chmod(scratch_path(&dir, "file"), 06751), 0);
	struct timespec times[2] = {{1, 2}, {-3, 4}};
	assert_int_equal(utimensat(AT_FDCWD, scratch_path(&dir, "file"), times, 0), 0);
	CLEANUP(cleanup_tree) struct tree *t = tree_new();
	assert_int_equal(walk_all(&dir, &plain, t, NULL, NULL), 0);
	const struct tree_entry *file = find(t, "file"), *link = find(t, "link");
	assert_int_equal(file->mode, S_IFREG | 0751);
	assert_int_equal(file->size, 5);
	assert_int_equal(file->mtime_s, -3);
	assert_int_equal(file->mtime_ns, 4);
	assert_int_equal(file->uid, geteuid());
	assert_int_equal(link->mode, S_IFLNK | 0777);
	assert_string_equal(link->target, "some/where");
	assert_int_equal(link->size, 10);
	struct stat st;
	assert_int_equal(stat(scratch_path(&dir, "file"), &st), 0);
	assert_true(file->stamp == tree_stamp(&st));
	assert_true(file->inode == st.st_ino);
}

static void options_change_modes_and_times(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	scratch_write(&dir, "file", "1");
	assert_int_equal(chmod(scratch_path(&dir, "file"), 04755), 0);
	CLEANUP(cleanup_tree) struct tree *t = tree_new();
	struct walk_options options = {
		.keep_set_id = true,
		.fixed_mtime = true,
		.mtime_s = 99,
	};
	assert_int_equal(walk_all(&dir, &options, t, NULL, NULL), 0);
	for (uint32_t i = 0; i < tree_count(t); i++) {
		assert_int_equal(tree_entry(t, i)->mtime_s, 99);
		assert_int_equal(tree_entry(t, i)->mtime_ns, 0);
	}
	assert_int_equal(find(t, "file")->mode, S_IFREG | 04755);
}

static void other_names_of_an_inode_are_links(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	scratch_write(&dir, "m/first", "1");
	scratch_mkdir(&dir, "a");
	assert_int_equal(symlink("t", scratch_path(&dir, "s1")), 0);
	const char *first = scratch_path(&dir, "m/first");
	assert_int_equal(link(first, scratch_path(&dir, "z")), 0);
	assert_int_equal(link(first, scratch_path(&dir, "a/early")), 0);
	assert_int_equal(link(scratch_path(&dir, "s1"), scratch_path(&dir, "s2")), 0);
	CLEANUP(cleanup_tree) struct tree *t = tree_new();
	assert_int_equal(walk_all(&dir, &plain, t, NULL, NULL), 0);
	const struct tree_entry *early = find(t, "early");
	assert_int_equal(early->primary, TREE_NO_LINK);
	assert_ptr_equal(tree_entry(t, find(t, "first")->primary), early);
	assert_ptr_equal(tree_entry(t, find(t, "z")->primary), early);
	assert_ptr_equal(tree_entry(t, find(t, "s2")->primary), find(t, "s1"));
	assert_int_equal(find(t, "m")->primary, TREE_NO_LINK);
}

static void a_link_that_is_alone_here_is_a_file(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(scratch_finish) struct scratch other = scratch_new();
	scratch_write(&dir, "file", "1");
	assert_int_equal(
		link(scratch_path(&dir, "file"), scratch_path(&other, "file")), 0);
	CLEANUP(cleanup_tree) struct tree *t = tree_new();
	assert_int_equal(walk_all(&dir, &plain, t, NULL, NULL), 0);
	assert_int_equal(find(t, "file")->primary, TREE_NO_LINK);
}

static void make_socket(const char *path)
{
	CLEANUP(cleanup_close) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
}

static void what_is_no_file_is_left_out_aloud(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	scratch_write(&dir, "a", "1");
	make_socket(scratch_path(&dir, "socket"));
	scratch_mkdir(&dir, "d");
	assert_int_equal(mkfifo(scratch_path(&dir, "d/fifo"), 0600), 0);
	struct said said = {0};
	struct walk_options options = {.warn = note, .arg = &said};
	assert_walk(&dir, &options, "./\na\nd/\n");
	assert_int_equal(said.warnings, 2);
	assert_string_equal(said.last, "'top/socket' is a socket and is left out");
	CLEANUP(cleanup_close) int fd = open_scratch(&dir);
	CLEANUP(cleanup_tree) struct tree *t = tree_new();
	CLEANUP(cleanup_walk) struct walk *w = NULL;
	assert_int_equal(walk_new(fd, "top", t, &plain, &w, NULL), 0);
	for (bool more = true; more;)
		assert_int_equal(walk_next(w, &more, NULL), 0);
	assert_int_equal(walk_left_out(w), 2);
}

static void the_cache_folder_is_left_out_aloud(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	struct stat cache;
	struct said said = {0};
	scratch_write(&dir, "larder/chunks/00/x", "1");
	scratch_write(&dir, "pip/larder/x", "1");
	assert_int_equal(stat(scratch_path(&dir, "larder"), &cache), 0);
	struct walk_options options = {.cache = &cache, .warn = note, .arg = &said};
	assert_walk(&dir, &options, "./\npip/\npip/larder/\npip/larder/x\n");
	assert_int_equal(said.warnings, 1);
	assert_string_equal(
		said.last, "'top/larder' is Larder's cache folder and is left out");
	assert_int_equal(stat(dir.path, &cache), 0);
	assert_walk(&dir, &options,
		"./\nlarder/\nlarder/chunks/\nlarder/chunks/00/\nlarder/chunks/00/x\n"
		"pip/\npip/larder/\npip/larder/x\n");
}

static void what_matches_is_excluded(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	scratch_write(&dir, "keep/x.o.c", "1");
	scratch_write(&dir, "keep/x.o", "1");
	scratch_write(&dir, "drop/keep", "1");
	scratch_write(&dir, "keep/drop", "1");
	const char *patterns[] = {"*.o", "drop/", "/keep/y", NULL};
	CLEANUP(cleanup_glob_set) struct glob_set *set = NULL;
	assert_int_equal(glob_set_new(patterns, &set), 0);
	struct walk_options options = {.excludes = set};
	assert_walk(&dir, &options, "./\nkeep/\nkeep/drop\nkeep/x.o.c\n");
}

static void only_user_xattrs_are_kept(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	scratch_write(&dir, "file", "1");
	if (setxattr(scratch_path(&dir, "file"), "user.b", "2", 1, 0) < 0)
		skip();
	char large[1500];
	memset(large, 'v', sizeof(large));
	for (int i = 0; i < 30; i++) {
		char name[200];
		snprintf(name, sizeof(name), "user.a-long-name-of-an-attribute-%03d", i);
		assert_int_equal(setxattr(scratch_path(&dir, "file"), name, large,
					 i ? 5 : sizeof(large), 0),
			0);
	}
	assert_int_equal(setxattr(dir.path, "user.root", "", 0, 0), 0);
	CLEANUP(cleanup_tree) struct tree *t = tree_new();
	assert_int_equal(walk_all(&dir, &plain, t, NULL, NULL), 0);
	const struct xattrs *x = find(t, "file")->xattrs;
	assert_int_equal(x->count, 31);
	struct xattr a;
	size_t cursor = 0;
	assert_true(xattrs_next(x, &cursor, &a));
	assert_int_equal(a.value_len, sizeof(large));
	assert_memory_equal(a.value, large, sizeof(large));
	for (int i = 1; i < 31; i++)
		assert_true(xattrs_next(x, &cursor, &a));
	assert_memory_equal(a.name, "user.b", 6);
	assert_int_equal(a.value_len, 1);
	assert_false(xattrs_next(x, &cursor, &a));
	assert_int_equal(tree_entry(t, 0)->xattrs->count, 1);
}

/* Deeper than may be open at a time, with something behind it on every level. */
static void a_deep_tree_is_walked_up_again(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(buf_finish)
	struct buf want = BUF_INIT(1 << 20), path = BUF_INIT(PATH_MAX);
	enum { DEPTH = WALK_OPEN_MAX * 3 };
	assert_int_equal(buf_append_str(&want, "./\n"), 0);
	for (int i = 0; i < DEPTH; i++) {
		assert_int_equal(buf_append_str(&path, i ? "/d" : "d"), 0);
		assert_int_equal(buf_printf(&want, "%s/\n", buf_str(&path)), 0);
	}
	scratch_mkdir(&dir, buf_str(&path));
	for (int i = DEPTH - 1; i >= 0; i--) {
		CLEANUP(cleanup_free) char *file = NULL;
		assert_true(asprintf(&file, "%.*sz", 2 * i, buf_str(&path)) > 0);
		scratch_write(&dir, file, "");
		assert_int_equal(buf_printf(&want, "%s\n", file), 0);
	}
	assert_walk(&dir, &plain, buf_str(&want));
}

static int walk_to_the_end(const struct scratch *dir, struct error *e)
{
	CLEANUP(cleanup_close) int fd = open_scratch(dir);
	CLEANUP(cleanup_tree) struct tree *t = tree_new();
	CLEANUP(cleanup_walk) struct walk *w = NULL;
	assert_int_equal(walk_new(fd, "top", t, &plain, &w, NULL), 0);
	int r = 0;
	for (bool more = true; r == 0 && more;)
		r = walk_next(w, &more, e);
	return r;
}

static int step_to(int at, const char *name)
{
	int next = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(next >= 0);
	close(at);
	return next;
}

/* Such paths are longer than the system takes, so it goes down and up by steps. */
static void a_tree_too_deep_for_the_format_is_refused(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	int at = open_scratch(&dir);
	for (int i = 0; i < DEPTH_LIMIT; i++) {
		assert_int_equal(mkdirat(at, "d", 0755), 0);
		at = step_to(at, "d");
	}
	struct error e = {0};
	assert_int_equal(walk_to_the_end(&dir, &e), -EFBIG);
	assert_non_null(strstr(e.text, "past what an archive can hold"));
	for (int i = 0; i < DEPTH_LIMIT; i++) {
		at = step_to(at, "..");
		assert_int_equal(unlinkat(at, "d", AT_REMOVEDIR), 0);
	}
	close(at);
}

static void a_directory_moved_away_below_us_is_found_out(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(buf_finish) struct buf path = BUF_INIT(PATH_MAX);
	for (int i = 0; i < WALK_OPEN_MAX + 5; i++)
		assert_int_equal(buf_append_str(&path, i ? "/d" : "d"), 0);
	scratch_mkdir(&dir, buf_str(&path));
	CLEANUP(cleanup_close) int fd = open_scratch(&dir);
	CLEANUP(cleanup_tree) struct tree *t = tree_new();
	CLEANUP(cleanup_walk) struct walk *w = NULL;
	assert_int_equal(walk_new(fd, "top", t, &plain, &w, NULL), 0);
	bool more = true;
	for (int i = 0; i < WALK_OPEN_MAX + 5; i++)
		assert_int_equal(walk_next(w, &more, NULL), 0);
	assert_int_equal(
		rename(scratch_path(&dir, "d/d/d"), scratch_path(&dir, "other")), 0);
	struct error e = {0};
	assert_int_equal(walk_next(w, &more, &e), -EBUSY);
	assert_string_equal(e.text, "'top/d/d' changed while it was being packed");
}

static void what_vanishes_is_a_change(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	scratch_write(&dir, "a", "1");
	scratch_write(&dir, "b", "1");
	CLEANUP(cleanup_close) int fd = open_scratch(&dir);
	CLEANUP(cleanup_tree) struct tree *t = tree_new();
	CLEANUP(cleanup_walk) struct walk *w = NULL;
	assert_int_equal(walk_new(fd, "top", t, &plain, &w, NULL), 0);
	assert_int_equal(unlink(scratch_path(&dir, "b")), 0);
	bool more;
	assert_int_equal(walk_next(w, &more, NULL), 0);
	struct error e = {0};
	assert_int_equal(walk_next(w, &more, &e), -EBUSY);
	assert_string_equal(e.text, "'top/b' changed while it was being packed");
}

static void an_unreadable_directory_is_named(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	scratch_write(&dir, "open/secret/file", "1");
	assert_int_equal(chmod(dir.path, 0755), 0);
	assert_int_equal(chmod(scratch_path(&dir, "open/secret"), 0), 0);
	CLEANUP(cleanup_tree) struct tree *t = tree_new();
	struct error e = {0};
	uid_t before = geteuid();
	if (before == 0)
		assert_int_equal(seteuid(65534), 0);
	int r = walk_all(&dir, &plain, t, NULL, &e);
	assert_int_equal(seteuid(before), 0);
	assert_int_equal(r, -EACCES);
	assert_string_equal(e.text, "cannot read 'top/open/secret': Permission denied");
}

static void only_directories_are_walked(void **state)
{
	CLEANUP(cleanup_close) int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	CLEANUP(cleanup_tree) struct tree *t = tree_new();
	CLEANUP(cleanup_walk) struct walk *w = NULL;
	struct error e = {0};
	assert_int_equal(walk_new(fd, "top", t, &plain, &w, &e), -ENOTDIR);
	assert_null(w);
	assert_string_equal(e.text, "cannot open 'top': Not a directory");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(entries_come_depth_first_and_sorted),
		cmocka_unit_test(an_empty_directory_is_its_root),
		cmocka_unit_test(facts_are_those_of_the_inode),
		cmocka_unit_test(options_change_modes_and_times),
		cmocka_unit_test(other_names_of_an_inode_are_links),
		cmocka_unit_test(a_link_that_is_alone_here_is_a_file),
		cmocka_unit_test(what_is_no_file_is_left_out_aloud),
		cmocka_unit_test(the_cache_folder_is_left_out_aloud),
		cmocka_unit_test(what_matches_is_excluded),
		cmocka_unit_test(only_user_xattrs_are_kept),
		cmocka_unit_test(a_deep_tree_is_walked_up_again),
		cmocka_unit_test(a_tree_too_deep_for_the_format_is_refused),
		cmocka_unit_test(a_directory_moved_away_below_us_is_found_out),
		cmocka_unit_test(what_vanishes_is_a_change),
		cmocka_unit_test(an_unreadable_directory_is_named),
		cmocka_unit_test(only_directories_are_walked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
