#include "tests/unit/test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive/format.h"
#include "archive/link_map.h"
#include "archive/tree.h"

static uint32_t append(struct tree *t, uint32_t parent, const char *name, mode_t mode)
{
	struct tree_entry *entry;
	assert_int_equal(tree_append(t, name, &entry), 0);
	entry->parent = parent;
	entry->mode = (uint16_t)mode;
	return tree_count(t) - 1;
}

static void paths_go_up_to_the_root(void **state)
{
	CLEANUP(cleanup_tree) struct tree *t = tree_new();
	CLEANUP(buf_finish) struct buf path = BUF_INIT(TREE_PATH_LIMIT);
	append(t, 0, "", S_IFDIR);
	uint32_t dir = append(t, 0, "dir", S_IFDIR);
	uint32_t sub = append(t, dir, "sub", S_IFDIR);
	uint32_t file = append(t, sub, "file", S_IFREG);
	static const char *const want[] = {"", "dir", "dir/sub", "dir/sub/file"};
	static const char *const want_tar[] = {"./", "dir/", "dir/sub/", "dir/sub/file"};
	for (uint32_t i = 0; i <= file; i++) {
		assert_int_equal(tree_path(t, i, &path), 0);
		assert_string_equal(buf_str(&path), want[i]);
		assert_int_equal(tree_tar_path(t, i, &path), 0);
		assert_string_equal(buf_str(&path), want_tar[i]);
	}
}

static void a_path_past_the_cap_is_refused(void **state)
{
	CLEANUP(cleanup_tree) struct tree *t = tree_new();
	CLEANUP(buf_finish) struct buf path = BUF_INIT(8);
	append(t, 0, "", S_IFDIR);
	uint32_t dir = append(t, 0, "12345678", S_IFDIR);
	uint32_t file = append(t, dir, "1", S_IFREG);
	assert_int_equal(tree_path(t, dir, &path), 0);
	assert_int_equal(tree_tar_path(t, dir, &path), -ENAMETOOLONG);
	assert_int_equal(tree_path(t, file, &path), -ENAMETOOLONG);
}

static void many_entries_stay_where_they_are(void **state)
{
	CLEANUP(cleanup_tree) struct tree *t = tree_new();
	append(t, 0, "", S_IFDIR);
	const struct tree_entry *first = tree_entry(t, 0);
	for (int i = 1; i < 20000; i++) {
		char name[200];
		snprintf(name, sizeof(name), "%0150d", i);
		append(t, 0, name, S_IFREG);
	}
	assert_ptr_equal(tree_entry(t, 0), first);
	assert_int_equal(tree_count(t), 20000);
	for (int i = 1; i < 20000; i++) {
		assert_int_equal(atoi(tree_entry(t, (uint32_t)i)->name), i);
		assert_int_equal(tree_entry(t, (uint32_t)i)->name_len, 150);
		assert_int_equal(tree_entry(t, (uint32_t)i)->primary, TREE_NO_LINK);
	}
}

static void a_name_has_at_most_255_bytes(void **state)
{
	CLEANUP(cleanup_tree) struct tree *t = tree_new();
	struct tree_entry *entry;
	char name[257];
	memset(name, 'n', sizeof(name));
	name[256] = '\0';
	assert_int_equal(tree_append(t, name, &entry), -ENAMETOOLONG);
	name[255] = '\0';
	assert_int_equal(tree_append(t, name, &entry), 0);
	assert_int_equal(tree_count(t), 1);
}

static void long_strings_are_kept_too(void **state)
{
	CLEANUP(cleanup_tree) struct tree *t = tree_new();
	static char text[600000];
	memset(text, 't', sizeof(text));
	char *kept = tree_keep(t, text, sizeof(text));
	assert_memory_equal(kept, text, sizeof(text));
	assert_int_equal(kept[sizeof(text)], 0);
	assert_string_equal(tree_keep(t, "abc", 2), "ab");
}

static void a_label_is_cut_from_the_left(void **state)
{
	CLEANUP(cleanup_tree) struct tree *t = tree_new();
	append(t, 0, "", S_IFDIR);
	uint32_t dir = append(t, 0, "dir", S_IFDIR);
	char label[16];
	tree_label(t, "top", 0, NULL, label, sizeof(label));
	assert_string_equal(label, "top");
	tree_label(t, "top", dir, "file", label, sizeof(label));
	assert_string_equal(label, "top/dir/file");
	tree_label(t, "top", 0, "x", label, sizeof(label));
	assert_string_equal(label, "top/x");
	tree_label(t, "the-top", dir, "file", label, sizeof(label));
	assert_string_equal(label, "...top/dir/file");
}

static void a_stamp_tells_every_change(void **state)
{
	struct stat st = {0};
	uint64_t stamps[6] = {tree_stamp(&st)};
	st.st_size = 1;
	stamps[1] = tree_stamp(&st);
	st.st_mtim.tv_sec = 1;
	stamps[2] = tree_stamp(&st);
	st.st_mtim.tv_nsec = 1;
	stamps[3] = tree_stamp(&st);
	st.st_ctim.tv_sec = 1;
	stamps[4] = tree_stamp(&st);
	st.st_ctim.tv_nsec = 1;
	stamps[5] = tree_stamp(&st);
	for (int i = 0; i < 6; i++)
		for (int j = 0; j < i; j++)
			assert_true(stamps[i] != stamps[j]);
	assert_true(tree_stamp(&st) == stamps[5]);
}

static void an_inode_is_known_by_its_first_entry(void **state)
{
	struct link_map m = {0};
	uint32_t first;
	for (uint32_t i = 0; i < 1000; i++) {
		assert_int_equal(link_map_meet(&m, 1 + i % 2, i / 2, i, &first), 0);
		assert_int_equal(first, i);
	}
	for (uint32_t i = 0; i < 1000; i++) {
		assert_int_equal(link_map_meet(&m, 1 + i % 2, i / 2, 5000, &first), 0);
		assert_int_equal(first, i);
	}
	link_map_finish(&m);
	assert_int_equal(m.size, 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths_go_up_to_the_root),
		cmocka_unit_test(a_path_past_the_cap_is_refused),
		cmocka_unit_test(many_entries_stay_where_they_are),
		cmocka_unit_test(a_name_has_at_most_255_bytes),
		cmocka_unit_test(long_strings_are_kept_too),
		cmocka_unit_test(a_label_is_cut_from_the_left),
		cmocka_unit_test(a_stamp_tells_every_change),
		cmocka_unit_test(an_inode_is_known_by_its_first_entry),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
