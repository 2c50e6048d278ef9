#include "tests/unit/test.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "archive/format.h"
#include "archive/index.h"
#include "archive/index_writer.h"
#include "fetch/base/bytes.h"

static uint32_t append(
	struct tree *t, uint32_t parent, const char *name, mode_t mode, uint64_t place)
{
	struct tree_entry *entry;
	assert_int_equal(tree_append(t, name, &entry), 0);
	uint32_t i = tree_count(t) - 1;
	entry->parent = parent;
	entry->mode = (uint16_t)mode;
	entry->place = place;
	entry->mtime_s = 1000 + i;
	entry->mtime_ns = i;
	entry->uid = 10 + i;
	entry->gid = 20 + i;
	if (S_ISREG(mode))
		memset(entry->digest, (int)i, sizeof(entry->digest));
	return i;
}

/* As the tar goes; in the index the order is  (root) b d z  b/a b/s  d/l d/t. */
static struct tree *sample_tree(void)
{
	struct tree *t = tree_new();
	append(t, 0, "", S_IFDIR | 0755, 0);
	uint32_t b = append(t, 0, "b", S_IFDIR | 0700, 512);
	uint32_t file = append(t, b, "a", S_IFREG | 0644, 1536);
	tree_entry(t, file)->size = 5;
	uint32_t s = append(t, b, "s", S_IFLNK | 0777, 2560);
	tree_entry(t, s)->target = "to";
	tree_entry(t, s)->size = 2;
	uint32_t d = append(t, 0, "d", S_IFDIR | 0755, 3072);
	uint32_t l = append(t, d, "l", S_IFREG | 0600, 3584);
	tree_entry(t, l)->primary = file;
	uint32_t m = append(t, d, "t", S_IFLNK | 0777, 4096);
	tree_entry(t, m)->primary = s;
	append(t, 0, "z", S_IFREG | 0600, 5120);
	return t;
}

static const struct index_frame frames[] = {
	{100, 5120, {"first frame's digest"}},
	{50, 1024, {"second"}},
};
static const struct index_outer outer = {
	.id = OUTER_CONTENT_DIGESTS,
	.offset = 158,
	.stored_len = 77,
	.raw_len = 128,
	.digest = {"outer"},
};

static struct index_writer *writer_of(const struct tree *t, bool owners)
{
	struct index_writer *w = NULL;
	struct index_facts facts = {
		.tree = t,
		.owners = owners,
		.tar_size = 6144,
		.frame_count = 2,
		.outer_count = 1,
	};
	assert_int_equal(index_writer_new(&facts, &w), 0);
	return w;
}

static struct index *parsed(const struct tree *t, bool owners)
{
	CLEANUP(cleanup_index_writer) struct index_writer *w = NULL;
	size_t len, settled;
	struct index *ix = NULL;
	struct error e = {0};
	w = writer_of(t, owners);
	index_writer_finish(w, frames, &outer);
	const uint8_t *raw = index_writer_raw(w, &len, &settled);
	uint8_t *copy = malloc(len);
	memcpy(copy, raw, len);
	if (index_parse(copy, len, &ix, &e) < 0)
		fail_msg("%s", e.text);
	return ix;
}

static void assert_entry(const struct index *ix, const char *path, uint32_t number,
	uint32_t tree_number, mode_t mode, uint64_t size, uint32_t nlink)
{
	uint32_t entry;
	struct entry_info info;
	assert_int_equal(index_find(ix, path, &entry), 0);
	assert_int_equal(entry, number);
	index_info(ix, entry, &info);
	assert_int_equal(info.mode, mode);
	assert_int_equal(info.size, size);
	assert_int_equal(info.nlink, nlink);
	assert_int_equal(info.mtime.tv_sec, 1000 + tree_number);
	assert_int_equal(info.mtime.tv_nsec, tree_number);
}

static void what_was_written_is_read(void **state)
{
	CLEANUP(cleanup_tree) struct tree *t = sample_tree();
	CLEANUP(cleanup_index) struct index *ix = parsed(t, false);
	assert_int_equal(index_count(ix), 8);
	assert_int_equal(index_tar_size(ix), 6144);
	assert_entry(ix, "", 0, 0, S_IFDIR | 0755, 3, 1);
	assert_entry(ix, "b", 1, 1, S_IFDIR | 0700, 2, 1);
	assert_entry(ix, "d", 2, 4, S_IFDIR | 0755, 2, 1);
	assert_entry(ix, "z", 3, 7, S_IFREG | 0600, 0, 1);
	assert_entry(ix, "b/a", 4, 2, S_IFREG | 0644, 5, 2);
	assert_entry(ix, "b/s", 5, 3, S_IFLNK | 0777, 2, 2);
	/* other names: the rows repeat the first one's */
	assert_entry(ix, "d/l", 6, 2, S_IFREG | 0644, 5, 2);
	assert_entry(ix, "d/t", 7, 3, S_IFLNK | 0777, 2, 2);
	assert_int_equal(index_primary(ix, 6), 4);
	assert_int_equal(index_primary(ix, 7), 5);
	assert_int_equal(index_place(ix, 4), 1536);
	assert_int_equal(index_place(ix, 6), 1536);
	size_t len;
	assert_memory_equal(index_target(ix, 7, &len), "to", 2);
	assert_int_equal(len, 2);
}

static void owners_are_there_only_when_asked_for(void **state)
{
	CLEANUP(cleanup_tree) struct tree *t = sample_tree();
	CLEANUP(cleanup_index) struct index *without = parsed(t, false);
	CLEANUP(cleanup_index) struct index *with = parsed(t, true);
	struct entry_info info;
	index_info(without, 4, &info);
	assert_false(info.has_owner);
	index_info(with, 6, &info);
	assert_true(info.has_owner);
	assert_int_equal(info.uid, 12);
	assert_int_equal(info.gid, 22);
}

static void frames_and_outer_sections_are_listed(void **state)
{
	CLEANUP(cleanup_tree) struct tree *t = sample_tree();
	CLEANUP(cleanup_index) struct index *ix = parsed(t, false);
	assert_int_equal(index_frame_count(ix), 2);
	uint32_t stored, raw;
	index_frame_sizes(ix, 1, &stored, &raw);
	assert_int_equal(stored, 50);
	assert_int_equal(raw, 1024);
	for (int i = 0; i < 2; i++)
		assert_memory_equal(
			&index_frame_digests(ix)[i], &frames[i].digest, DIGEST_SIZE);
	struct outer_section o;
	assert_int_equal(index_outer(ix, OUTER_CONTENT_DIGESTS, &o), 0);
	assert_int_equal(o.offset, outer.offset);
	assert_int_equal(o.stored_len, outer.stored_len);
	assert_int_equal(o.raw_len, outer.raw_len);
	assert_memory_equal(&o.digest, &outer.digest, DIGEST_SIZE);
}

static void xattrs_are_the_first_name_s(void **state)
{
	CLEANUP(cleanup_tree) struct tree *t = sample_tree();
	struct xattr list[] = {{"user.b", 6, "12345678", 8}, {"user.a", 6, "", 0}};
	struct xattrs *x;
	assert_int_equal(xattrs_build(list, 2, &x), 0);
	tree_entry(t, 2)->xattrs = x;
	assert_int_equal(tree_own(t, x), 0);
	CLEANUP(cleanup_index) struct index *ix = parsed(t, false);
	const char *name;
	const void *value;
	size_t cursor = 0, name_len, value_len;
	assert_true(
		index_xattr_next(ix, 4, &cursor, &name, &name_len, &value, &value_len));
	assert_memory_equal(name, "user.a", 6);
	assert_int_equal(value_len, 0);
	assert_true(
		index_xattr_next(ix, 4, &cursor, &name, &name_len, &value, &value_len));
	assert_memory_equal(name, "user.b", 6);
	assert_memory_equal(value, "12345678", 8);
	assert_false(
		index_xattr_next(ix, 4, &cursor, &name, &name_len, &value, &value_len));
}

static void content_digests_go_by_the_index_s_numbers(void **state)
{
	CLEANUP(cleanup_tree) struct tree *t = sample_tree();
	CLEANUP(cleanup_index_writer) struct index_writer *w = writer_of(t, false);
	CLEANUP(cleanup_free) uint8_t *digests = NULL;
	size_t len;
	assert_int_equal(index_writer_digests(w, &digests, &len), 0);
	assert_int_equal(len, 8 * TREE_DIGEST);
	static const uint8_t want[] = {0, 0, 0, 7, 2, 0, 2, 0};
	for (int i = 0; i < 8; i++)
		for (int k = 0; k < TREE_DIGEST; k++)
			assert_int_equal(digests[i * TREE_DIGEST + k], want[i]);
}

/* By docs/format.md alone: header, table, alignment, and nothing between the sections. */
static void the_layout_is_that_of_the_page(void **state)
{
	CLEANUP(cleanup_tree) struct tree *t = tree_new();
	append(t, 0, "", S_IFDIR | 0755, 0);
	CLEANUP(cleanup_index_writer) struct index_writer *w = writer_of(t, false);
	size_t len, settled;
	index_writer_finish(w, frames, &outer);
	const uint8_t *raw = index_writer_raw(w, &len, &settled);
	assert_memory_equal(raw, "LARDERIX\1\0\0\0", 12);
	uint32_t sections = load_le32(raw + 12);
	static const uint32_t ids[] = {1, 2, 3, 4, 5, 6, 7, 8, 13, 14, 15};
	static const uint64_t lengths[] = {2, 4, 1, 0, 8, 4, 8, 8, 16, 64, 64};
	assert_int_equal(sections, 11);
	assert_int_equal(load_le64(raw + 16), 1);
	assert_int_equal(load_le64(raw + 24), 2);
	assert_int_equal(load_le64(raw + 32), 6144);
	assert_int_equal(load_le64(raw + 40), 0);
	uint64_t end = 48 + 32 * sections;
	for (uint32_t i = 0; i < sections; i++) {
		const uint8_t *p = raw + 48 + 32 * i;
		assert_int_equal(load_le32(p), ids[i]);
		assert_int_equal(load_le64(p + 8), (end + 7) / 8 * 8);
		assert_int_equal(load_le64(p + 16), lengths[i]);
		assert_int_equal(load_le64(p + 24), 0);
		end = load_le64(p + 8) + lengths[i];
	}
	assert_int_equal(end, len);
}

static void what_is_settled_does_not_change(void **state)
{
	CLEANUP(cleanup_tree) struct tree *t = sample_tree();
	CLEANUP(cleanup_index_writer) struct index_writer *w = writer_of(t, false);
	size_t len, settled;
	const uint8_t *raw = index_writer_raw(w, &len, &settled);
	/* all but two frames of 8 and 32 bytes, and one outer section */
	assert_int_equal(len - settled, 16 + 64 + 64);
	CLEANUP(cleanup_free) uint8_t *before = malloc(len);
	memcpy(before, raw, len);
	index_writer_finish(w, frames, &outer);
	assert_memory_equal(index_writer_raw(w, &len, &settled), before, settled);
	assert_memory_not_equal(raw + settled, before + settled, len - settled);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_written_is_read),
		cmocka_unit_test(owners_are_there_only_when_asked_for),
		cmocka_unit_test(frames_and_outer_sections_are_listed),
		cmocka_unit_test(xattrs_are_the_first_name_s),
		cmocka_unit_test(content_digests_go_by_the_index_s_numbers),
		cmocka_unit_test(the_layout_is_that_of_the_page),
		cmocka_unit_test(what_is_settled_does_not_change),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
