#include "tests/unit/test.h"

#include <errno.h>

#include "archive/content.h"
#include "tests/unit/scratch.h"

/* A tree of what a scratch directory holds: filled in by hand, as the walk would. */
static uint32_t meet(const struct scratch *dir, struct tree *t, uint32_t parent,
	const char *name, const char *path)
{
	struct stat st;
	struct tree_entry *entry;
	assert_int_equal(lstat(scratch_path(dir, path), &st), 0);
	assert_int_equal(tree_append(t, name, &entry), 0);
	entry->parent = parent;
	entry->mode = (uint16_t)st.st_mode;
	entry->size = (uint64_t)st.st_size;
	entry->inode = st.st_ino;
	entry->stamp = tree_stamp(&st);
	return tree_count(t) - 1;
}

struct fixture {
	struct scratch dir;
	struct tree *tree;
	struct dir_cache *dirs;
	int rootfd;
	uint32_t file; /* "a/b/file" */
};

static int set_up(void **state)
{
	static struct fixture f;
	f.dir = scratch_new();
	scratch_write(&f.dir, "a/b/file", "0123456789");
	f.tree = tree_new();
	meet(&f.dir, f.tree, 0, "", "");
	uint32_t a = meet(&f.dir, f.tree, 0, "a", "a");
	uint32_t b = meet(&f.dir, f.tree, a, "b", "a/b");
	f.file = meet(&f.dir, f.tree, b, "file", "a/b/file");
	f.rootfd = open(f.dir.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f.dirs = dir_cache_new(f.rootfd, f.tree, DIR_CACHE_SIZE);
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	dir_cache_free(f->dirs);
	tree_free(f->tree);
	close(f->rootfd);
	scratch_finish(&f->dir);
	return 0;
}

static void a_file_is_read_by_pieces(void **state)
{
	struct fixture *f = *state;
	CLEANUP(cleanup_close) int fd = -1;
	assert_int_equal(content_open(f->dirs, f->tree, f->file, &fd), 0);
	char buf[8] = "xxxxxxx";
	assert_int_equal(content_read(fd, 3, 4, false, buf), 0);
	assert_string_equal(buf, "3456xxx");
	assert_int_equal(content_read(fd, 8, 2, true, buf), 0);
	assert_string_equal(buf, "8956xxx");
	assert_int_equal(content_read(fd, 8, 3, false, buf), -EBUSY);
	assert_int_equal(content_verify(fd, tree_entry(f->tree, f->file)), 0);
}

static void a_change_is_seen_after_reading(void **state)
{
	struct fixture *f = *state;
	CLEANUP(cleanup_close) int fd = -1;
	assert_int_equal(content_open(f->dirs, f->tree, f->file, &fd), 0);
	struct timespec times[2] = {{1, 0}, {1, 0}};
	assert_int_equal(futimens(fd, times), 0);
	assert_int_equal(content_verify(fd, tree_entry(f->tree, f->file)), -EBUSY);
}

static void another_inode_is_a_change(void **state)
{
	struct fixture *f = *state;
	tree_entry(f->tree, f->file)->inode++;
	CLEANUP(cleanup_close) int fd = -1;
	assert_int_equal(content_open(f->dirs, f->tree, f->file, &fd), 0);
	assert_int_equal(content_verify(fd, tree_entry(f->tree, f->file)), -EBUSY);
}

static void what_took_the_file_s_place_is_a_change(void **state)
{
	struct fixture *f = *state;
	int fd = -1;
	const char *path = scratch_path(&f->dir, "a/b/file");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(content_open(f->dirs, f->tree, f->file, &fd), -EBUSY);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	assert_int_equal(content_open(f->dirs, f->tree, f->file, &fd), -EBUSY);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0); /* and nobody waits for its writer */
	assert_int_equal(content_open(f->dirs, f->tree, f->file, &fd), 0);
	assert_int_equal(content_verify(fd, tree_entry(f->tree, f->file)), -EBUSY);
	close(fd);
}

static void a_directory_swapped_for_a_symlink_is_not_followed(void **state)
{
	struct fixture *f = *state;
	int fd = -1;
	assert_int_equal(
		rename(scratch_path(&f->dir, "a/b"), scratch_path(&f->dir, "a/c")), 0);
	assert_int_equal(symlink("c", scratch_path(&f->dir, "a/b")), 0);
	assert_int_equal(content_open(f->dirs, f->tree, f->file, &fd), -EBUSY);
}

static void holes_are_zeros(void **state)
{
	struct fixture *f = *state;
	CLEANUP(cleanup_close)
	int fd =
		open(scratch_path(&f->dir, "sparse"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	enum { MIB = 1 << 20 };
	assert_int_equal(ftruncate(fd, 3 * MIB), 0);
	assert_int_equal(pwrite(fd, "abc", 3, MIB + 5), 3);
	char *buf = malloc(MIB), *zeros = calloc(1, MIB);
	memset(buf, 'x', MIB);
	assert_int_equal(content_read(fd, MIB - 100, MIB, true, buf), 0);
	assert_memory_equal(buf, zeros, 105);
	assert_memory_equal(buf + 105, "abc", 3);
	assert_memory_equal(buf + 108, zeros, MIB - 108);
	memset(buf, 'x', MIB);
	assert_int_equal(content_read(fd, 2 * MIB, MIB, true, buf), 0);
	assert_memory_equal(buf, zeros, MIB);
	free(buf);
	free(zeros);
}

/* More directories than the cache keeps, deeper than it keeps, there and back. */
static void any_directory_is_reached(void **state)
{
	struct fixture *f = *state;
	enum { COUNT = 3 * DIR_CACHE_SIZE };
	CLEANUP(buf_finish) struct buf path = BUF_INIT(PATH_MAX);
	uint32_t deep[COUNT], wide[COUNT];
	for (int i = 0; i < COUNT; i++) {
		char name[16];
		snprintf(name, sizeof(name), "w%d", i);
		scratch_mkdir(&f->dir, name);
		wide[i] = meet(&f->dir, f->tree, 0, name, name);
		assert_int_equal(buf_append_str(&path, i ? "/d" : "d"), 0);
		scratch_mkdir(&f->dir, buf_str(&path));
		uint32_t parent = i ? deep[i - 1] : 0;
		deep[i] = meet(&f->dir, f->tree, parent, "d", buf_str(&path));
	}
	CLEANUP(cleanup_dir_cache)
	struct dir_cache *least = dir_cache_new(f->rootfd, f->tree, DIR_CACHE_LEAST);
	for (int i = 0; i < 8 * COUNT; i++) {
		struct dir_cache *dirs = i < 4 * COUNT ? f->dirs : least;
		uint32_t dir = i % 2 ? deep[i * 7 % COUNT] : wide[i * 5 % COUNT];
		int fd;
		struct stat st;
		assert_int_equal(dir_cache_open(dirs, dir, &fd), 0);
		assert_int_equal(fstat(fd, &st), 0);
		assert_true(st.st_ino == tree_entry(f->tree, dir)->inode);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_file_is_read_by_pieces, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_change_is_seen_after_reading, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			another_inode_is_a_change, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			what_took_the_file_s_place_is_a_change, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_directory_swapped_for_a_symlink_is_not_followed, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(holes_are_zeros, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			any_directory_is_reached, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
