#include "archive/foreign_tree.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/test.h"

static int put(struct foreign_tree *t, const char *path, uint16_t mode, uint64_t place)
{
	const struct foreign_inode inode = {
		.mode = mode,
		.place = place,
		.target = S_ISLNK(mode) ? "somewhere" : NULL,
	};
	uint32_t number;
	return foreign_tree_put(t, path, &inode, &number);
}

/* The tree in words: each entry's path, type, permissions, place and link. */
static void expect(struct foreign_tree *t, const char *wanted)
{
	CLEANUP(cleanup_tree) struct tree *tree = NULL;
	CLEANUP(buf_finish) struct buf got = BUF_INIT(1 << 20);
	CLEANUP(buf_finish) struct buf path = BUF_INIT(1 << 20);
	assert_int_equal(foreign_tree_finish(t, &tree), 0);
	for (uint32_t i = 0; i < tree_count(tree); i++) {
		const struct tree_entry *e = tree_entry(tree, i);
		assert_int_equal(tree_path(tree, i, &path), 0);
		const char *kind = S_ISDIR(e->mode) ? "d" : S_ISLNK(e->mode) ? "l" : "f";
		assert_int_equal(buf_printf(&got, "%s %s%o", buf_str(&path), kind,
					 e->mode & 07777),
			0);
		if (S_ISREG(e->mode))
			assert_int_equal(buf_printf(&got, " %u", (unsigned)e->place), 0);
		if (e->primary != TREE_NO_LINK)
			assert_int_equal(buf_printf(&got, " =%u", e->primary), 0);
		assert_int_equal(buf_append_str(&got, "; "), 0);
	}
	assert_string_equal(buf_str(&got), wanted);
}

static void entries_come_out_sorted(void **state)
{
	(void)state;
	CLEANUP(cleanup_foreign_tree) struct foreign_tree *t = foreign_tree_new();
	assert_int_equal(put(t, "b/z", S_IFREG | 0644, 1), 0);
	assert_int_equal(put(t, "a", S_IFREG | 0600, 2), 0);
	assert_int_equal(put(t, "b/y/x", S_IFLNK | 0777, 0), 0);
	assert_int_equal(put(t, "b.", S_IFREG | 0644, 3), 0);
	expect(t, " d755; a f600 2; b d755; b/y d755; b/y/x l777; b/z f644 1; "
		  "b. f644 3; ");
}

static void the_later_member_wins(void **state)
{
	(void)state;
	CLEANUP(cleanup_foreign_tree) struct foreign_tree *t = foreign_tree_new();
	assert_int_equal(put(t, "a", S_IFREG | 0600, 1), 0);
	assert_int_equal(put(t, "a", S_IFREG | 0644, 2), 0);
	assert_int_equal(put(t, "b", S_IFREG | 0600, 3), 0);
	assert_int_equal(put(t, "b", S_IFDIR | 0700, 0), 0);
	assert_int_equal(put(t, "c", S_IFDIR | 0700, 0), 0);
	assert_int_equal(put(t, "c", S_IFREG | 0644, 4), 0);
	expect(t, " d755; a f644 2; b d700; c f644 4; ");
}

static void directories_merge(void **state)
{
	(void)state;
	CLEANUP(cleanup_foreign_tree) struct foreign_tree *t = foreign_tree_new();
	assert_int_equal(put(t, "d/one", S_IFREG | 0600, 1), 0);
	assert_int_equal(put(t, "d", S_IFDIR | 0711, 0), 0);
	assert_int_equal(put(t, "d/two", S_IFREG | 0600, 2), 0);
	assert_int_equal(put(t, "d", S_IFREG | 0600, 3), -ENOTEMPTY);
	assert_int_equal(put(t, "", S_IFDIR | 0750, 0), 0);
	assert_int_equal(put(t, "", S_IFREG | 0750, 0), -ENOTDIR);
	expect(t, " d750; d d711; d/one f600 1; d/two f600 2; ");
}

static void nothing_goes_below_what_is_no_directory(void **state)
{
	(void)state;
	CLEANUP(cleanup_foreign_tree) struct foreign_tree *t = foreign_tree_new();
	assert_int_equal(put(t, "f", S_IFREG | 0600, 1), 0);
	assert_int_equal(put(t, "l", S_IFLNK | 0777, 0), 0);
	assert_int_equal(put(t, "f/x", S_IFREG | 0600, 2), -ENOTDIR);
	assert_int_equal(put(t, "l/x/y", S_IFREG | 0600, 2), -ENOTDIR);
	expect(t, " d755; f f600 1; l l777; ");
}

static void hard_links_outlive_their_first_name(void **state)
{
	(void)state;
	CLEANUP(cleanup_foreign_tree) struct foreign_tree *t = foreign_tree_new();
	assert_int_equal(put(t, "z/first", S_IFREG | 0600, 1), 0);
	assert_int_equal(foreign_tree_link(t, "a", "z/first"), 0);
	assert_int_equal(foreign_tree_link(t, "m/b", "a"), 0);
	assert_int_equal(put(t, "z/first", S_IFREG | 0644, 2), 0);
	assert_int_equal(foreign_tree_link(t, "x", "nothing"), -ENOENT);
	assert_int_equal(foreign_tree_link(t, "x", "z"), -ENOENT);
	assert_int_equal(foreign_tree_link(t, "x", "z/first/below"), -ENOENT);
	assert_int_equal(foreign_tree_link(t, "a/x", "a"), -ENOTDIR);
	expect(t, " d755; a f600 1; m d755; m/b f600 1 =1; z d755; z/first f644 2; ");
}

static void content_is_told_afterwards(void **state)
{
	(void)state;
	CLEANUP(cleanup_foreign_tree) struct foreign_tree *t = foreign_tree_new();
	CLEANUP(cleanup_tree) struct tree *tree = NULL;
	const struct foreign_inode inode = {.mode = S_IFREG | 0600, .place = 9};
	const uint8_t digest[TREE_DIGEST] = {1, 2, 3};
	uint32_t number;
	assert_int_equal(foreign_tree_put(t, "f", &inode, &number), 0);
	foreign_tree_set_content(t, number, 77, digest);
	assert_int_equal(foreign_tree_finish(t, &tree), 0);
	assert_int_equal(tree_entry(tree, 1)->size, 77);
	assert_memory_equal(tree_entry(tree, 1)->digest, digest, TREE_DIGEST);
}

static void many_names_are_found_again(void **state)
{
	(void)state;
	CLEANUP(cleanup_foreign_tree) struct foreign_tree *t = foreign_tree_new();
	CLEANUP(cleanup_tree) struct tree *tree = NULL;
	for (unsigned round = 0; round < 2; round++)
		for (unsigned i = 0; i < 5000; i++) {
			char path[32];
			snprintf(path, sizeof(path), "d%u/f%u", i % 70, i);
			assert_int_equal(put(t, path, S_IFREG | 0600, i), 0);
		}
	assert_int_equal(foreign_tree_finish(t, &tree), 0);
	assert_int_equal(tree_count(tree), 1 + 70 + 5000);
}

/* A member's long name cannot make more directories than all members together may. */
static void parents_that_are_made_are_counted(void **state)
{
	(void)state;
	CLEANUP(cleanup_foreign_tree) struct foreign_tree *t = foreign_tree_new();
	char path[32768 + 16];
	int r = 0;
	for (unsigned i = 0; r == 0 && i < 100; i++) {
		int at = snprintf(path, sizeof(path), "%u", i);
		for (; at < 32766; at += 2)
			memcpy(path + at, "/d", 3);
		r = put(t, path, S_IFREG | 0600, 0);
	}
	assert_int_equal(r, -E2BIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(entries_come_out_sorted),
		cmocka_unit_test(the_later_member_wins),
		cmocka_unit_test(directories_merge),
		cmocka_unit_test(nothing_goes_below_what_is_no_directory),
		cmocka_unit_test(hard_links_outlive_their_first_name),
		cmocka_unit_test(content_is_told_afterwards),
		cmocka_unit_test(many_names_are_found_again),
		cmocka_unit_test(parents_that_are_made_are_counted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
