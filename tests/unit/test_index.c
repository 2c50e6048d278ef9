#include "tests/unit/test.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "archive/index.h"
#include "fetch/base/bytes.h"
#include "tests/unit/archive_builder.h"

/* A tree with one of everything. */
static struct archive_builder *sample(void)
{
	struct archive_builder *b = builder_new();
	builder_file(b, "a", "hello", 5);
	builder_dir(b, "dir");
	builder_file(b, "dir/deep", "deep content", 12)->nanoseconds = 123456789;
	builder_dir(b, "dir/empty")->mode = S_IFDIR | 02700;
	builder_symlink(b, "dir/link", "../a");
	builder_link(b, "dir/other", "dir/deep");
	builder_file(b, "dir/void", "", 0);
	builder_link(b, "last", "dir/deep");
	builder_file(b, "setuid", "x", 1)->mode = S_IFREG | 06755;
	builder_link(b, "symlink-too", "dir/link");
	builder_xattr(b, "a", "user.colour", "blue");
	builder_xattr(b, "a", "user.shape", "");
	return b;
}

static struct archive_builder *laid_sample(void)
{
	struct archive_builder *b = sample();
	builder_lay(b);
	return b;
}

static int parse(const struct archive_builder *b, struct index **ret, struct error *e)
{
	size_t len;
	void *raw = builder_index(b, &len);
	return index_parse(raw, len, ret, e);
}

static struct index *parsed(const struct archive_builder *b)
{
	struct index *ix = NULL;
	struct error e = {0};
	if (parse(b, &ix, &e) < 0)
		fail_msg("%s", e.text);
	return ix;
}

static struct index *sample_index(void)
{
	CLEANUP(cleanup_builder) struct archive_builder *b = laid_sample();
	return parsed(b);
}

static uint32_t entry_at(const struct index *ix, const char *path)
{
	uint32_t entry = UINT32_MAX;
	assert_int_equal(index_find(ix, path, &entry), 0);
	return entry;
}

static void the_tree_is_walked_by_name(void **state)
{
	CLEANUP(cleanup_index) struct index *ix = sample_index();
	assert_int_equal(index_count(ix), 11);
	uint32_t entry, count;
	assert_int_equal(index_lookup(ix, 0, "dir", 3, &entry), 0);
	uint32_t dir = entry;
	assert_int_equal(index_lookup(ix, dir, "deep", 4, &entry), 0);
	assert_int_equal(index_parent(ix, entry), dir);
	assert_int_equal(index_lookup(ix, dir, "dee", 3, &entry), -ENOENT);
	assert_int_equal(index_lookup(ix, dir, "deeps", 5, &entry), -ENOENT);
	assert_int_equal(index_lookup(ix, dir, "", 0, &entry), -ENOENT);
	assert_int_equal(index_lookup(ix, entry, "x", 1, &entry), -ENOTDIR);
	uint32_t first = index_children(ix, 0, &count);
	assert_int_equal(first, 1);
	assert_int_equal(count, 5);
	index_children(ix, entry_at(ix, "dir/empty"), &count);
	assert_int_equal(count, 0);
	index_children(ix, entry_at(ix, "a"), &count);
	assert_int_equal(count, 0);
}

static void every_child_of_a_wide_directory_is_found(void **state)
{
	for (int n = 1; n < 40; n++) {
		CLEANUP(cleanup_builder) struct archive_builder *b = builder_new();
		char name[16];
		for (int i = 0; i < n; i++) {
			snprintf(name, sizeof(name), "f%02d", i);
			builder_file(b, name, "", 0);
		}
		builder_lay(b);
		CLEANUP(cleanup_index) struct index *ix = parsed(b);
		uint32_t entry;
		for (int i = 0; i < n; i++) {
			snprintf(name, sizeof(name), "f%02d", i);
			assert_int_equal(index_lookup(ix, 0, name, 3, &entry), 0);
			assert_int_equal(entry, i + 1);
		}
		assert_int_equal(index_lookup(ix, 0, "e", 1, &entry), -ENOENT);
		assert_int_equal(index_lookup(ix, 0, "g", 1, &entry), -ENOENT);
	}
}

static void the_order_of_the_tar_is_depth_first(void **state)
{
	CLEANUP(cleanup_index) struct index *ix = sample_index();
	static const char *const order[] = {"", "a", "dir", "dir/deep", "dir/empty",
		"dir/link", "dir/other", "dir/void", "last", "setuid", "symlink-too"};
	uint32_t entry = 0;
	for (size_t i = 0; i < 11; i++, entry = index_next(ix, entry))
		assert_int_equal(entry, entry_at(ix, order[i]));
	assert_int_equal(entry, 0);
}

static void names_are_sorted_as_unsigned_bytes(void **state)
{
	CLEANUP(cleanup_builder) struct archive_builder *b = builder_new();
	builder_file(b, "z", "", 0);
	builder_file(b, "\xff\xfe", "", 0);
	builder_file(b, "\x01", "", 0);
	builder_lay(b);
	CLEANUP(cleanup_index) struct index *ix = parsed(b);
	assert_int_equal(entry_at(ix, "\x01"), 1);
	assert_int_equal(entry_at(ix, "z"), 2);
	assert_int_equal(entry_at(ix, "\xff\xfe"), 3);
}

static void paths_are_found_from_the_root(void **state)
{
	CLEANUP(cleanup_index) struct index *ix = sample_index();
	uint32_t entry;
	assert_int_equal(entry_at(ix, ""), 0);
	assert_int_equal(entry_at(ix, "dir/"), entry_at(ix, "dir"));
	assert_int_equal(index_find(ix, "dir/none", &entry), -ENOENT);
	assert_int_equal(index_find(ix, "a/b", &entry), -ENOTDIR);
	assert_int_equal(index_find(ix, "a/", &entry), -ENOTDIR);
	assert_int_equal(index_find(ix, "dir/..", &entry), -ENOENT);
}

static void attributes_are_what_was_written(void **state)
{
	CLEANUP(cleanup_index) struct index *ix = sample_index();
	struct entry_info info;
	index_info(ix, entry_at(ix, "dir/deep"), &info);
	assert_int_equal(info.mode, S_IFREG | 0644);
	assert_int_equal(info.size, 12);
	assert_int_equal(info.mtime.tv_sec, 1700000000);
	assert_int_equal(info.mtime.tv_nsec, 123456789);
	assert_false(info.has_owner);
	index_info(ix, entry_at(ix, "dir"), &info);
	assert_int_equal(info.size, 5);
	assert_int_equal(info.nlink, 1);
	size_t len;
	const char *target = index_target(ix, entry_at(ix, "dir/link"), &len);
	assert_int_equal(len, 4);
	assert_memory_equal(target, "../a", 4);
	index_target(ix, entry_at(ix, "a"), &len);
	assert_int_equal(len, 0);
}

static void hard_links_share_an_inode(void **state)
{
	CLEANUP(cleanup_index) struct index *ix = sample_index();
	uint32_t primary = entry_at(ix, "dir/deep");
	struct entry_info info;
	static const char *const names[] = {"dir/deep", "dir/other", "last"};
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(index_primary(ix, entry_at(ix, names[i])), primary);
		index_info(ix, entry_at(ix, names[i]), &info);
		assert_int_equal(info.nlink, 3);
		assert_int_equal(info.size, 12);
	}
	index_info(ix, entry_at(ix, "a"), &info);
	assert_int_equal(info.nlink, 1);
	index_info(ix, entry_at(ix, "symlink-too"), &info);
	assert_int_equal(info.nlink, 2);
	assert_true(S_ISLNK(info.mode));
}

static void set_id_bits_need_owners(void **state)
{
	CLEANUP(cleanup_builder) struct archive_builder *b = sample();
	builder_file(b, "owned", "", 0)->uid = 1000;
	b->owners = true;
	builder_lay(b);
	CLEANUP(cleanup_index) struct index *with = parsed(b);
	struct entry_info info;
	assert_int_equal(index_mode(with, entry_at(with, "setuid")), S_IFREG | 06755);
	index_info(with, entry_at(with, "owned"), &info);
	assert_true(info.has_owner);
	assert_int_equal(info.uid, 1000);
	assert_int_equal(info.gid, 0);

	CLEANUP(cleanup_index) struct index *without = sample_index();
	assert_int_equal(
		index_mode(without, entry_at(without, "setuid")), S_IFREG | 0755);
	assert_int_equal(
		index_mode(without, entry_at(without, "dir/empty")), S_IFDIR | 02700);
}

static void xattrs_are_iterated(void **state)
{
	CLEANUP(cleanup_builder) struct archive_builder *b = sample();
	builder_xattr(b, "dir/deep", "user.x", "shared");
	builder_lay(b);
	CLEANUP(cleanup_index) struct index *ix = parsed(b);
	size_t cursor = 0, name_len, value_len;
	const char *name;
	const void *value;
	uint32_t a = entry_at(ix, "a");
	assert_true(
		index_xattr_next(ix, a, &cursor, &name, &name_len, &value, &value_len));
	assert_int_equal(name_len, 11);
	assert_memory_equal(name, "user.colour", 11);
	assert_int_equal(value_len, 4);
	assert_memory_equal(value, "blue", 4);
	assert_true(
		index_xattr_next(ix, a, &cursor, &name, &name_len, &value, &value_len));
	assert_memory_equal(name, "user.shape", 10);
	assert_int_equal(value_len, 0);
	assert_false(
		index_xattr_next(ix, a, &cursor, &name, &name_len, &value, &value_len));
	cursor = 0;
	assert_true(index_xattr_next(
		ix, entry_at(ix, "last"), &cursor, &name, &name_len, &value, &value_len));
	assert_memory_equal(value, "shared", 6);
	assert_false(index_xattr_next(
		ix, entry_at(ix, "last"), &cursor, &name, &name_len, &value, &value_len));
	cursor = 0;
	assert_false(
		index_xattr_next(ix, 0, &cursor, &name, &name_len, &value, &value_len));
}

static void paths_are_built_and_cut_from_the_left(void **state)
{
	CLEANUP(cleanup_index) struct index *ix = sample_index();
	char path[32];
	index_path(ix, entry_at(ix, "dir/deep"), path, sizeof(path));
	assert_string_equal(path, "dir/deep");
	index_path(ix, 0, path, sizeof(path));
	assert_string_equal(path, "");
	index_path(ix, entry_at(ix, "dir/deep"), path, 7);
	assert_string_equal(path, "r/deep");
	index_path(ix, entry_at(ix, "dir/deep"), path, 5);
	assert_string_equal(path, "deep");
	index_path(ix, entry_at(ix, "dir/deep"), path, 1);
	assert_string_equal(path, "");
}

static void frames_are_found_by_place(void **state)
{
	CLEANUP(cleanup_builder) struct archive_builder *b = sample();
	b->cut = 1000;
	builder_lay(b);
	CLEANUP(cleanup_index) struct index *ix = parsed(b);
	uint32_t frames = index_frame_count(ix);
	assert_int_equal(frames, (index_tar_size(ix) + 999) / 1000);
	uint64_t begin;
	assert_int_equal(index_frame_at(ix, 0, &begin), 0);
	assert_int_equal(begin, 0);
	assert_int_equal(index_frame_at(ix, 999, &begin), 0);
	assert_int_equal(index_frame_at(ix, 1000, &begin), 1);
	assert_int_equal(begin, 1000);
	assert_int_equal(index_frame_at(ix, index_tar_size(ix) - 1, &begin), frames - 1);
	const uint64_t *offsets = index_frame_offsets(ix);
	assert_int_equal(offsets[0], 0);
	assert_int_equal(offsets[frames], b->frames.len);
	struct digest d;
	assert_int_equal(
		digest_of(b->frames.data + offsets[1], offsets[2] - offsets[1], &d), 0);
	assert_true(digest_equal(&d, &index_frame_digests(ix)[1]));
}

static void outer_sections_are_listed(void **state)
{
	CLEANUP(cleanup_builder) struct archive_builder *b = laid_sample();
	CLEANUP(cleanup_index) struct index *ix = parsed(b);
	struct outer_section outer;
	assert_int_equal(index_outer(ix, OUTER_CONTENT_DIGESTS, &outer), 0);
	assert_int_equal(outer.offset, b->frames.len + 8);
	assert_int_equal(outer.raw_len, 11 * 16);
	assert_int_equal(index_outer(ix, 2, &outer), -ENOENT);
}

static void unknown_sections_are_skipped_unless_required(void **state)
{
	CLEANUP(cleanup_builder) struct archive_builder *b = laid_sample();
	assert_int_equal(buf_append(&b->columns[SECTION_OUTER + 1], "future", 6), 0);
	CLEANUP(cleanup_index) struct index *ix = parsed(b);
	assert_int_equal(index_count(ix), 11);
	b->section_flags[SECTION_OUTER + 1] = SECTION_FLAG_REQUIRED;
	struct index *none = NULL;
	struct error e = {0};
	assert_int_equal(parse(b, &none, &e), -EBADMSG);
	assert_non_null(strstr(e.text, "newer reader"));
	assert_null(none);
}

static void optional_sections_may_be_left_out(void **state)
{
	CLEANUP(cleanup_builder) struct archive_builder *b = builder_new();
	b->content_digests = false;
	builder_lay(b);
	buf_finish(&b->columns[SECTION_TARGETS]);
	CLEANUP(cleanup_index) struct index *ix = parsed(b);
	assert_int_equal(index_count(ix), 1);
	struct outer_section outer;
	assert_int_equal(index_outer(ix, OUTER_CONTENT_DIGESTS, &outer), -ENOENT);
}

static void memory_is_near_the_raw_index(void **state)
{
	CLEANUP(cleanup_builder) struct archive_builder *b = laid_sample();
	size_t len;
	free(builder_index(b, &len));
	CLEANUP(cleanup_index) struct index *ix = parsed(b);
	assert_in_range(index_memory(ix), len, len + 1024);
}

/* Numbers of the sample's entries. */
enum {
	E_ROOT,
	E_A,
	E_DIR,
	E_LAST,
	E_SETUID,
	E_SYMLINK_TOO,
	E_DEEP,
	E_EMPTY,
	E_LINK,
	E_OTHER,
	E_VOID
};

static void set_name(struct archive_builder *b, uint32_t entry, const char *name)
{
	uint32_t at = 0;
	for (uint32_t i = 0; i < entry; i++)
		at += (uint8_t)b->columns[SECTION_NAME_LENGTHS].data[i];
	memcpy(b->columns[SECTION_NAMES].data + at, name, strlen(name));
}

static void drop(struct archive_builder *b, uint32_t section, size_t bytes)
{
	b->columns[section].len -= bytes;
}

static void append(struct archive_builder *b, uint32_t section, const void *p, size_t len)
{
	assert_int_equal(buf_append(&b->columns[section], p, len), 0);
}

#define DAMAGE(name, statement)                                                          \
	static void name(struct archive_builder *b)                                      \
	{                                                                                \
		statement;                                                               \
	}

DAMAGE(version, b->version = 2)
DAMAGE(flags, b->header_flags = 1)
DAMAGE(no_entries, b->header_entries = 0)
DAMAGE(entries_past_limit, b->header_entries = (UINT64_C(1) << 28) + 1)
DAMAGE(entries_2_63, b->header_entries = UINT64_C(1) << 63)
DAMAGE(entry_too_many, b->header_entries++)
DAMAGE(frames_past_limit, b->header_frames = (UINT64_C(1) << 27) + 1)
DAMAGE(frame_too_few, b->header_frames--)
DAMAGE(tar_size_wrong, b->header_tar++)
DAMAGE(tar_size_2_63, b->header_tar = UINT64_C(1) << 63)
DAMAGE(sections_past_end, b->section_count_extra = 1u << 30)
DAMAGE(no_modes, buf_finish(&b->columns[SECTION_MODES]))
DAMAGE(no_names, buf_finish(&b->columns[SECTION_NAMES]))
DAMAGE(no_frame_digests, buf_finish(&b->columns[SECTION_FRAME_DIGESTS]))
DAMAGE(short_sizes, drop(b, SECTION_SIZES, 8))
DAMAGE(short_owners, append(b, SECTION_OWNERS, "12345678", 8))
DAMAGE(short_links, drop(b, SECTION_LINKS, 4))
DAMAGE(short_outer, drop(b, SECTION_OUTER, 1))
DAMAGE(root_is_file, builder_set16(b, SECTION_MODES, E_ROOT, S_IFREG | 0644))
DAMAGE(device, builder_set16(b, SECTION_MODES, E_A, S_IFBLK | 0644))
DAMAGE(char_device, builder_set16(b, SECTION_MODES, E_A, S_IFCHR | 0644))
DAMAGE(fifo, builder_set16(b, SECTION_MODES, E_A, S_IFIFO | 0644))
DAMAGE(socket_file, builder_set16(b, SECTION_MODES, E_A, S_IFSOCK | 0644))
DAMAGE(no_type, builder_set16(b, SECTION_MODES, E_A, 0644))
DAMAGE(nanoseconds, builder_set32(b, SECTION_MTIME_NANOSECONDS, E_A, 1000000000))
DAMAGE(name_length_huge, builder_set8(b, SECTION_NAME_LENGTHS, E_DIR, 255))
DAMAGE(short_lengths, drop(b, SECTION_NAME_LENGTHS, 1))
DAMAGE(names_too_long, append(b, SECTION_NAMES, "x", 1))
DAMAGE(names_too_short, drop(b, SECTION_NAMES, 1))
DAMAGE(slash, set_name(b, E_LAST, "l/st"))
DAMAGE(absolute, set_name(b, E_LAST, "/ast"))
DAMAGE(nul_in_name, memcpy(b->columns[SECTION_NAMES].data, "\0", 1))
DAMAGE(dot, set_name(b, E_A, "."))
DAMAGE(unsorted, set_name(b, E_DEEP, "zeep"))
DAMAGE(parent_wrong, builder_set32(b, SECTION_PARENTS, E_DEEP, E_ROOT))
DAMAGE(parent_huge, builder_set32(b, SECTION_PARENTS, E_DEEP, UINT32_MAX))
DAMAGE(parent_is_itself, builder_set32(b, SECTION_PARENTS, E_DEEP, E_DEEP))
DAMAGE(root_has_parent, builder_set32(b, SECTION_PARENTS, E_ROOT, E_DIR))
DAMAGE(children_past_end, builder_set64(b, SECTION_SIZES, E_DIR, 100))
DAMAGE(children_2_63, builder_set64(b, SECTION_SIZES, E_DIR, UINT64_C(1) << 63))
DAMAGE(child_missing, builder_set64(b, SECTION_SIZES, E_DIR, 4))
DAMAGE(children_elsewhere, builder_set64(b, SECTION_PLACES, E_DIR, 1))
DAMAGE(empty_has_place, builder_set64(b, SECTION_PLACES, E_EMPTY, 5))
DAMAGE(target_empty, builder_set64(b, SECTION_SIZES, E_LINK, 0))
DAMAGE(target_too_long, builder_set64(b, SECTION_SIZES, E_LINK, 4096))
DAMAGE(target_outside, builder_set64(b, SECTION_PLACES, E_LINK, UINT64_MAX))
DAMAGE(target_past_end, builder_set64(b, SECTION_PLACES, E_LINK, 1))
DAMAGE(target_nul, memcpy(b->columns[SECTION_TARGETS].data + 1, "\0", 1))
DAMAGE(link_outside, builder_set32(b, SECTION_LINKS, 0, 500))
DAMAGE(link_primary_outside, builder_set32(b, SECTION_LINKS, 1, UINT32_MAX))
DAMAGE(link_to_itself, builder_set32(b, SECTION_LINKS, 1, E_LAST))
DAMAGE(link_to_directory, builder_set32(b, SECTION_LINKS, 1, E_DIR))
DAMAGE(link_to_other_file, builder_set32(b, SECTION_LINKS, 1, E_A))
DAMAGE(link_to_link, builder_set32(b, SECTION_LINKS, 1, E_OTHER))
DAMAGE(link_twice, builder_set32(b, SECTION_LINKS, 2, E_LAST))
DAMAGE(link_has_other_mode, builder_set16(b, SECTION_MODES, E_OTHER, S_IFREG | 0600))
DAMAGE(link_has_other_size, builder_set64(b, SECTION_SIZES, E_OTHER, 11))
DAMAGE(link_has_other_time, builder_set64(b, SECTION_MTIME_SECONDS, E_OTHER, 1))
DAMAGE(link_before_primary, builder_set32(b, SECTION_LINKS, 4, E_DEEP);
	builder_set32(b, SECTION_LINKS, 5, E_OTHER);
	builder_set32(b, SECTION_LINKS, 1, E_OTHER))
DAMAGE(content_outside, builder_set64(b, SECTION_SIZES, E_A, b->tar.len))
DAMAGE(content_2_63, builder_set64(b, SECTION_SIZES, E_A, UINT64_C(1) << 63))
DAMAGE(content_wraps, builder_set64(b, SECTION_SIZES, E_A, UINT64_MAX - 100))
DAMAGE(place_2_63, builder_set64(b, SECTION_PLACES, E_A, UINT64_C(1) << 63))
DAMAGE(place_unaligned, builder_set64(b, SECTION_PLACES, E_SETUID, b->tar.len - 2047))
DAMAGE(overlap, builder_set64(b, SECTION_PLACES, E_SETUID, 1024))
DAMAGE(header_overlapped, builder_set64(b, SECTION_SIZES, E_A, 513))
DAMAGE(end_missing, builder_set64(b, SECTION_PLACES, E_SETUID, b->tar.len - 1024))
DAMAGE(frame_raw_zero, builder_set32(b, SECTION_FRAME_SIZES, 1, 0))
DAMAGE(frame_raw_huge, builder_set32(b, SECTION_FRAME_SIZES, 1, (8u << 20) + 1))
DAMAGE(frame_stored_zero, builder_set32(b, SECTION_FRAME_SIZES, 0, 0))
DAMAGE(frame_stored_huge, builder_set32(b, SECTION_FRAME_SIZES, 0, UINT32_MAX))
DAMAGE(xattr_cut, drop(b, SECTION_XATTRS, 8))
DAMAGE(xattr_huge_name, builder_set32(b, SECTION_XATTRS, 1, UINT32_MAX))
DAMAGE(xattr_huge_value, builder_set32(b, SECTION_XATTRS, 2, UINT32_MAX))
DAMAGE(xattr_of_nothing, builder_set32(b, SECTION_XATTRS, 8, 500))
DAMAGE(xattr_unsorted_entry, builder_set32(b, SECTION_XATTRS, 0, E_DIR))
DAMAGE(xattr_of_link, builder_set32(b, SECTION_XATTRS, 8, E_OTHER))
DAMAGE(xattr_not_user, memcpy(b->columns[SECTION_XATTRS].data + 16, "root.", 5))
DAMAGE(xattr_unsorted_name, memcpy(b->columns[SECTION_XATTRS].data + 16, "user.z", 6))
DAMAGE(outer_unsorted, builder_set32(b, SECTION_OUTER, 0, 0))

static void owner_nobody(struct archive_builder *b)
{
	for (uint32_t i = 0; i < 11; i++)
		append(b, SECTION_OWNERS,
			i == E_A ? "\xff\xff\xff\xff\0\0\0" : "\0\0\0\0\0\0\0", 8);
}

/* Moves the border between two neighbouring names by a byte. */
static void take_byte(struct archive_builder *b, uint32_t from, uint32_t to)
{
	char *lengths = b->columns[SECTION_NAME_LENGTHS].data;
	lengths[from]--;
	lengths[to]++;
}

static void root_has_name(struct archive_builder *b)
{
	take_byte(b, E_DIR, E_ROOT);
}

static void name_empty(struct archive_builder *b)
{
	take_byte(b, E_A, E_DIR);
}

/* Two neighbours of four bytes: one gives its last byte to the next name. */
static void duplicate(struct archive_builder *b)
{
	take_byte(b, E_EMPTY, E_LINK);
	set_name(b, E_EMPTY, "deep");
}

/* ".." needs a name of two bytes, first in its directory. */
static void dot_dot(struct archive_builder *b)
{
	take_byte(b, E_DIR, E_A);
	set_name(b, E_A, "..");
}

/* E_A cycle would need a directory to list itself or what is above it. */
static void cycle(struct archive_builder *b)
{
	builder_set64(b, SECTION_SIZES, E_ROOT, 0);
	builder_set64(b, SECTION_PLACES, E_ROOT, 0);
	builder_set64(b, SECTION_SIZES, E_DIR, 10);
	builder_set64(b, SECTION_PLACES, E_DIR, 1);
}

static const struct {
	const char *name;
	void (*damage)(struct archive_builder *b);
	const char *says;
} damages[] = {
#define CASE(f, s)                                                                       \
	{                                                                                \
#f, f, s                                                                 \
	}
	CASE(version, "version"),
	CASE(flags, "flags"),
	CASE(no_entries, "number of entries"),
	CASE(entries_past_limit, "number of entries"),
	CASE(entries_2_63, "number of entries"),
	CASE(entry_too_many, "are due"),
	CASE(frames_past_limit, "number of frames"),
	CASE(frame_too_few, "are due"),
	CASE(tar_size_wrong, "bytes of tar"),
	CASE(tar_size_2_63, "bytes of tar"),
	CASE(sections_past_end, "too short"),
	CASE(no_modes, "no modes"),
	CASE(no_names, "no names"),
	CASE(no_frame_digests, "no frame digests"),
	CASE(short_sizes, "sizes"),
	CASE(short_owners, "owners"),
	CASE(short_links, "cut short"),
	CASE(short_outer, "cut short"),
	CASE(root_is_file, "root"),
	CASE(device, "no file"),
	CASE(char_device, "no file"),
	CASE(fifo, "no file"),
	CASE(socket_file, "no file"),
	CASE(no_type, "no file"),
	CASE(nanoseconds, "nanoseconds"),
	CASE(owner_nobody, "owner"),
	CASE(root_has_name, "root"),
	CASE(name_empty, "empty name"),
	CASE(name_length_huge, "names do not end"),
	CASE(short_lengths, "name lengths"),
	CASE(names_too_long, "names do not end"),
	CASE(names_too_short, "names do not end"),
	CASE(slash, "'/'"),
	CASE(absolute, "'/'"),
	CASE(nul_in_name, "NUL"),
	CASE(dot, "'..'"),
	CASE(dot_dot, "'..'"),
	CASE(duplicate, "out of order"),
	CASE(unsorted, "out of order"),
	CASE(parent_wrong, "parent"),
	CASE(parent_huge, "parent"),
	CASE(parent_is_itself, "parent"),
	CASE(root_has_parent, "parent"),
	CASE(cycle, "in no directory"),
	CASE(children_past_end, "children"),
	CASE(children_2_63, "children"),
	CASE(child_missing, "in no directory"),
	CASE(children_elsewhere, "children"),
	CASE(empty_has_place, "children"),
	CASE(target_empty, "link target"),
	CASE(target_too_long, "link target"),
	CASE(target_outside, "link target"),
	CASE(target_past_end, "link target"),
	CASE(target_nul, "NUL"),
	CASE(link_outside, "out of order or range"),
	CASE(link_primary_outside, "out of order or range"),
	CASE(link_to_itself, "cannot be"),
	CASE(link_to_directory, "cannot be"),
	CASE(link_to_other_file, "cannot be"),
	CASE(link_to_link, "cannot be"),
	CASE(link_twice, "out of order"),
	CASE(link_has_other_mode, "cannot be"),
	CASE(link_has_other_size, "cannot be"),
	CASE(link_has_other_time, "cannot be"),
	CASE(link_before_primary, "later member"),
	CASE(content_outside, "outside the tar"),
	CASE(content_2_63, "outside the tar"),
	CASE(content_wraps, "outside the tar"),
	CASE(place_2_63, "outside the tar"),
	CASE(place_unaligned, "no tar would"),
	CASE(overlap, "no tar would"),
	CASE(header_overlapped, "no tar would"),
	CASE(end_missing, "more members"),
	CASE(frame_raw_zero, "decompress to"),
	CASE(frame_raw_huge, "decompress to"),
	CASE(frame_stored_zero, "impossible size"),
	CASE(frame_stored_huge, "impossible size"),
	CASE(xattr_cut, "xattrs are cut"),
	CASE(xattr_huge_name, "xattrs are cut"),
	CASE(xattr_huge_value, "xattrs are cut"),
	CASE(xattr_of_nothing, "belongs to nothing"),
	CASE(xattr_unsorted_entry, "out of order"),
	CASE(xattr_of_link, "belongs to nothing"),
	CASE(xattr_not_user, "user."),
	CASE(xattr_unsorted_name, "out of order"),
	CASE(outer_unsorted, "outer sections"),
#undef CASE
};

static void what_the_format_forbids_is_refused(void **state)
{
	for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
		CLEANUP(cleanup_builder) struct archive_builder *b = laid_sample();
		damages[i].damage(b);
		struct index *ix = NULL;
		struct error e = {0};
		int r = parse(b, &ix, &e);
		if (r != -EBADMSG || !strstr(e.text, damages[i].says))
			fail_msg("%s: %d, '%s'", damages[i].name, r, e.text);
		assert_null(ix);
	}
}

static void a_long_xattr_is_refused(void **state)
{
	static char value[(64 << 10) + 2];
	memset(value, 'v', sizeof(value) - 1);
	for (size_t over = 0; over < 2; over++) {
		CLEANUP(cleanup_builder) struct archive_builder *b = builder_new();
		value[(64 << 10) + over] = '\0';
		builder_xattr(b, "", "user.x", value);
		value[64 << 10] = 'v';
		builder_lay(b);
		struct index *ix = NULL;
		assert_int_equal(parse(b, &ix, NULL), over ? -EBADMSG : 0);
		index_free(ix);
	}
}

static void a_tree_may_be_deep_but_not_too_deep(void **state)
{
	for (size_t over = 0; over < 2; over++) {
		CLEANUP(cleanup_builder) struct archive_builder *b = builder_new();
		char path[2 * DEPTH_LIMIT + 4] = "d";
		for (size_t i = 0; i < DEPTH_LIMIT - 1 + over; i++) {
			builder_dir(b, path);
			memcpy(path + 2 * i + 1, "/d", 3);
		}
		builder_file(b, path, "x", 1);
		builder_lay(b);
		CLEANUP(cleanup_index) struct index *ix = NULL;
		struct error e = {0};
		assert_int_equal(parse(b, &ix, &e), over ? -EBADMSG : 0);
		if (over)
			assert_non_null(strstr(e.text, "too many directories"));
		else
			assert_int_equal(entry_at(ix, path), DEPTH_LIMIT);
	}
}

/* The section table: overlaps, gaps with bytes in them, disorder. */
static void check_section_field(size_t field, uint64_t value, const char *says)
{
	CLEANUP(cleanup_builder) struct archive_builder *b = laid_sample();
	size_t len;
	unsigned char *raw = builder_index(b, &len);
	unsigned char *second = raw + INDEX_HEADER_SIZE + SECTION_ENTRY_SIZE;
	if (field == 0)
		store_le32(second, (uint32_t)value);
	else
		store_le64(second + field, value);
	struct index *ix = NULL;
	struct error e = {0};
	assert_int_equal(index_parse(raw, len, &ix, &e), -EBADMSG);
	if (!strstr(e.text, says))
		fail_msg("'%s'", e.text);
}

static void sections_that_overlap_are_refused(void **state)
{
	check_section_field(0, 1, "table of sections");
	check_section_field(24, 1, "table of sections");
	check_section_field(8, 0, "overlaps");
	check_section_field(8, 12, "outside");
	check_section_field(8, UINT64_MAX - 7, "outside");
	check_section_field(16, UINT64_MAX, "outside");
	check_section_field(16, 200, "overlaps");
}

static void every_truncation_is_refused(void **state)
{
	CLEANUP(cleanup_builder) struct archive_builder *b = laid_sample();
	size_t len;
	CLEANUP(cleanup_free) unsigned char *raw = builder_index(b, &len);
	/* The last bytes may be padding. */
	for (size_t cut = 8; cut <= len; cut++) {
		unsigned char *copy = malloc(len - cut + 1);
		memcpy(copy, raw, len - cut);
		struct index *ix = NULL;
		assert_int_equal(index_parse(copy, len - cut, &ix, NULL), -EBADMSG);
	}
}

/* Any byte changed: refused, or a tree whose every accessor stays in bounds. */
static void look_at_everything(const struct index *ix)
{
	for (uint32_t i = 0; i < index_count(ix); i++) {
		struct entry_info info;
		size_t len, cursor = 0, value_len;
		const char *name;
		const void *value;
		char path[64];
		uint32_t count;
		index_info(ix, i, &info);
		index_name(ix, i, &len);
		index_target(ix, i, &len);
		index_children(ix, i, &count);
		index_path(ix, i, path, sizeof(path));
		while (index_xattr_next(ix, i, &cursor, &name, &len, &value, &value_len))
			assert_true(len > 5);
	}
}

static void any_flipped_byte_is_harmless(void **state)
{
	CLEANUP(cleanup_builder) struct archive_builder *b = laid_sample();
	size_t len;
	CLEANUP(cleanup_free) unsigned char *raw = builder_index(b, &len);
	for (size_t at = 0; at < len; at++) {
		for (unsigned flip = 1; flip < 256; flip = flip * 2 + 1) {
			unsigned char *copy = malloc(len);
			memcpy(copy, raw, len);
			copy[at] ^= (unsigned char)flip;
			struct index *ix = NULL;
			int r = index_parse(copy, len, &ix, NULL);
			assert_true(r == 0 || r == -EBADMSG);
			if (r == 0)
				look_at_everything(ix);
			index_free(ix);
		}
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_tree_is_walked_by_name),
		cmocka_unit_test(every_child_of_a_wide_directory_is_found),
		cmocka_unit_test(the_order_of_the_tar_is_depth_first),
		cmocka_unit_test(names_are_sorted_as_unsigned_bytes),
		cmocka_unit_test(paths_are_found_from_the_root),
		cmocka_unit_test(attributes_are_what_was_written),
		cmocka_unit_test(hard_links_share_an_inode),
		cmocka_unit_test(set_id_bits_need_owners),
		cmocka_unit_test(xattrs_are_iterated),
		cmocka_unit_test(paths_are_built_and_cut_from_the_left),
		cmocka_unit_test(frames_are_found_by_place),
		cmocka_unit_test(outer_sections_are_listed),
		cmocka_unit_test(unknown_sections_are_skipped_unless_required),
		cmocka_unit_test(optional_sections_may_be_left_out),
		cmocka_unit_test(memory_is_near_the_raw_index),
		cmocka_unit_test(what_the_format_forbids_is_refused),
		cmocka_unit_test(a_long_xattr_is_refused),
		cmocka_unit_test(a_tree_may_be_deep_but_not_too_deep),
		cmocka_unit_test(sections_that_overlap_are_refused),
		cmocka_unit_test(every_truncation_is_refused),
		cmocka_unit_test(any_flipped_byte_is_harmless),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
