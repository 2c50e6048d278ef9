#include "archive/index.h"

#include <sys/stat.h>

#include "archive/index_private.h"

void index_free(struct index *ix)
{
	if (!ix)
		return;
	free(ix->raw);
	free(ix->name_offsets);
	free(ix->stored_offsets);
	free(ix->tar_offsets);
	free(ix->link_primaries);
	free(ix->xattr_offsets);
	free(ix);
}

uint32_t index_count(const struct index *ix)
{
	return ix->count;
}

uint64_t index_tar_size(const struct index *ix)
{
	return ix->tar_size;
}

size_t index_memory(const struct index *ix)
{
	return sizeof(*ix) + ix->raw_len + ((size_t)ix->count + 1) * sizeof(uint32_t) +
	       ((size_t)ix->frames + 1) * 2 * sizeof(uint64_t) +
	       ix->link_count * sizeof(uint32_t) + ix->xattr_count * sizeof(uint64_t);
}

mode_t index_mode(const struct index *ix, uint32_t entry)
{
	mode_t mode = index_u16(ix, SECTION_MODES, entry);
	return S_ISDIR(mode) ? mode : mode & (S_IFMT | ix->mode_mask);
}

/* The first of the sorted values that is not below x. */
static size_t lower_bound(const uint32_t *values, size_t count, uint64_t x)
{
	size_t low = 0;
	while (count) {
		size_t half = count / 2;
		if (values[low + half] < x) {
			low += half + 1;
			count -= half + 1;
		} else {
			count = half;
		}
	}
	return low;
}

static uint32_t count_names(const struct index *ix, uint32_t entry)
{
	if (!ix->link_count)
		return 1;
	uint64_t primary = index_primary(ix, entry);
	return (uint32_t)(1 +
			  lower_bound(ix->link_primaries, ix->link_count, primary + 1) -
			  lower_bound(ix->link_primaries, ix->link_count, primary));
}

void index_info(const struct index *ix, uint32_t entry, struct entry_info *ret)
{
	const unsigned char *owner = ix->columns[SECTION_OWNERS].data;
	mode_t mode = index_mode(ix, entry);
	*ret = (struct entry_info){
		.mode = mode,
		.size = index_u64(ix, SECTION_SIZES, entry),
		.mtime.tv_sec = (int64_t)index_u64(ix, SECTION_MTIME_SECONDS, entry),
		.mtime.tv_nsec = index_u32(ix, SECTION_MTIME_NANOSECONDS, entry),
		.nlink = S_ISDIR(mode) ? 1 : count_names(ix, entry),
		.has_owner = owner != NULL,
	};
	if (!owner)
		return;
	ret->uid = load_le32(owner + (size_t)entry * 8);
	ret->gid = load_le32(owner + (size_t)entry * 8 + 4);
}

uint32_t index_parent(const struct index *ix, uint32_t entry)
{
	return index_u32(ix, SECTION_PARENTS, entry);
}

const char *index_name(const struct index *ix, uint32_t entry, size_t *ret_len)
{
	uint32_t begin = ix->name_offsets[entry];
	*ret_len = ix->name_offsets[entry + 1] - begin;
	return (const char *)ix->columns[SECTION_NAMES].data + begin;
}

const char *index_target(const struct index *ix, uint32_t entry, size_t *ret_len)
{
	if (!S_ISLNK(index_mode(ix, entry))) {
		*ret_len = 0;
		return "";
	}
	*ret_len = (size_t)index_u64(ix, SECTION_SIZES, entry);
	return (const char *)ix->columns[SECTION_TARGETS].data +
	       index_u64(ix, SECTION_PLACES, entry);
}

uint32_t index_children(const struct index *ix, uint32_t dir, uint32_t *ret_count)
{
	if (!S_ISDIR(index_mode(ix, dir))) {
		*ret_count = 0;
		return 0;
	}
	*ret_count = (uint32_t)index_u64(ix, SECTION_SIZES, dir);
	return (uint32_t)index_u64(ix, SECTION_PLACES, dir);
}

static bool is_last_child(const struct index *ix, uint32_t entry, uint32_t parent)
{
	uint32_t count, first = index_children(ix, parent, &count);
	return entry == first + count - 1;
}

uint32_t index_next(const struct index *ix, uint32_t entry)
{
	uint32_t children, first = index_children(ix, entry, &children);
	if (children)
		return first;
	while (entry) {
		uint32_t parent = index_parent(ix, entry);
		if (!is_last_child(ix, entry, parent))
			return entry + 1;
		entry = parent;
	}
	return 0;
}

int index_lookup(
	const struct index *ix, uint32_t dir, const char *name, size_t len, uint32_t *ret)
{
	if (!S_ISDIR(index_mode(ix, dir)))
		return -ENOTDIR;
	uint32_t count, low = index_children(ix, dir, &count);
	while (count) {
		uint32_t middle = low + count / 2;
		size_t middle_len;
		const char *middle_name = index_name(ix, middle, &middle_len);
		int order = index_compare_names(middle_name, middle_len, name, len);
		if (order == 0) {
			*ret = middle;
			return 0;
		}
		if (order < 0) {
			count -= middle + 1 - low;
			low = middle + 1;
		} else {
			count = middle - low;
		}
	}
	return -ENOENT;
}

int index_find(const struct index *ix, const char *path, uint32_t *ret)
{
	uint32_t entry = 0;
	while (*path) {
		size_t len = strcspn(path, "/");
		int r = len ? index_lookup(ix, entry, path, len, &entry) : 0;
		if (r < 0)
			return r;
		path += len;
		if (*path == '/' && !S_ISDIR(index_mode(ix, entry)))
			return -ENOTDIR;
		path += *path == '/';
	}
	*ret = entry;
	return 0;
}

uint32_t index_primary(const struct index *ix, uint32_t entry)
{
	size_t low = 0, count = ix->link_count;
	while (count) {
		size_t middle = low + count / 2;
		uint32_t at = index_link_entry(ix, middle);
		if (at == entry)
			return index_link_primary(ix, middle);
		if (at < entry) {
			count -= middle + 1 - low;
			low = middle + 1;
		} else {
			count = middle - low;
		}
	}
	return entry;
}

size_t index_link_count(const struct index *ix)
{
	return ix->link_count;
}

void index_link(
	const struct index *ix, size_t i, uint32_t *ret_entry, uint32_t *ret_primary)
{
	*ret_entry = index_link_entry(ix, i);
	*ret_primary = index_link_primary(ix, i);
}

uint64_t index_place(const struct index *ix, uint32_t entry)
{
	return index_u64(ix, SECTION_PLACES, entry);
}

/* Puts len bytes before *at, as many as fit behind begin; false when not all did. */
static bool put_before(char *begin, char **at, const char *bytes, size_t len)
{
	size_t room = (size_t)(*at - begin);
	size_t fits = len < room ? len : room;
	*at -= fits;
	memcpy(*at, bytes + len - fits, fits);
	return fits == len;
}

void index_path(const struct index *ix, uint32_t entry, char *ret, size_t size)
{
	if (!size)
		return;
	char *end = ret + size - 1, *at = end;
	while (entry) {
		size_t len;
		const char *name = index_name(ix, entry, &len);
		if (at != end && !put_before(ret, &at, "/", 1))
			break;
		if (!put_before(ret, &at, name, len))
			break;
		entry = index_parent(ix, entry);
	}
	memmove(ret, at, (size_t)(end - at));
	ret[end - at] = '\0';
}

/* The first record that belongs to entry or a later one. */
static size_t first_xattr(const struct index *ix, uint32_t entry)
{
	size_t low = 0, count = ix->xattr_count;
	while (count) {
		size_t half = count / 2;
		uint64_t offset = ix->xattr_offsets[low + half];
		if (index_xattr_at(ix, offset).entry < entry) {
			low += half + 1;
			count -= half + 1;
		} else {
			count = half;
		}
	}
	return low;
}

/* A cursor past 0 is one more than the number of the record that comes next. */
bool index_xattr_next(const struct index *ix, uint32_t entry, size_t *cursor,
	const char **ret_name, size_t *ret_name_len, const void **ret_value,
	size_t *ret_value_len)
{
	if (!ix->xattr_count)
		return false;
	uint32_t primary = index_primary(ix, entry);
	size_t at = *cursor ? *cursor - 1 : first_xattr(ix, primary);
	if (at >= ix->xattr_count)
		return false;
	struct xattr_record x = index_xattr_at(ix, ix->xattr_offsets[at]);
	if (x.entry != primary)
		return false;
	*cursor = at + 2;
	*ret_name = x.name;
	*ret_name_len = x.name_len;
	*ret_value = x.value;
	*ret_value_len = x.value_len;
	return true;
}

uint32_t index_frame_count(const struct index *ix)
{
	return ix->frames;
}

const uint64_t *index_frame_offsets(const struct index *ix)
{
	return ix->stored_offsets;
}

const struct digest *index_frame_digests(const struct index *ix)
{
	return (const struct digest *)ix->columns[SECTION_FRAME_DIGESTS].data;
}

bool index_in_tar_order(const struct index *ix)
{
	return !(ix->flags & INDEX_FLAG_LOOSE);
}

bool index_is_plain(const struct index *ix)
{
	return ix->flags & INDEX_FLAG_PLAIN;
}

void index_frame_sizes(
	const struct index *ix, uint32_t frame, uint32_t *ret_stored, uint32_t *ret_raw)
{
	const unsigned char *p =
		ix->columns[SECTION_FRAME_SIZES].data + (size_t)frame * FRAME_SIZES_SIZE;
	*ret_stored = load_le32(p);
	*ret_raw = load_le32(p + 4);
}

const uint64_t *index_frame_places(const struct index *ix)
{
	return ix->tar_offsets;
}

uint64_t index_frame_begin(const struct index *ix, uint32_t frame)
{
	return ix->tar_offsets[frame];
}

uint32_t index_frame_at(const struct index *ix, uint64_t place, uint64_t *ret_begin)
{
	uint32_t low = 0, high = ix->frames;
	while (high - low > 1) {
		uint32_t middle = low + (high - low) / 2;
		if (ix->tar_offsets[middle] <= place)
			low = middle;
		else
			high = middle;
	}
	*ret_begin = ix->tar_offsets[low];
	return low;
}

int index_outer(const struct index *ix, uint32_t id, struct outer_section *ret)
{
	const struct column *c = &ix->columns[SECTION_OUTER];
	for (size_t at = 0; at < c->len; at += OUTER_SECTION_SIZE) {
		const unsigned char *p = c->data + at;
		if (load_le32(p) != id)
			continue;
		*ret = (struct outer_section){
			.id = id,
			.offset = load_le64(p + 8),
			.stored_len = load_le64(p + 16),
			.raw_len = load_le64(p + 24),
		};
		memcpy(ret->digest.bytes, p + 32, DIGEST_SIZE);
		return 0;
	}
	return -ENOENT;
}
