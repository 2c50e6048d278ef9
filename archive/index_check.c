#include <inttypes.h>
#include <sys/stat.h>

#include "archive/index_private.h"

#define TAR_BLOCK 512 /* bytes: what a member's header takes at least */
#define TAR_END   (2 * TAR_BLOCK)

/* The type alone: before the tree is proved, paths cannot be built for messages. */
static bool is_type(const struct index *ix, uint32_t entry, mode_t type)
{
	return (index_u16(ix, SECTION_MODES, entry) & S_IFMT) == type;
}

static int refuse(struct error *e, uint32_t entry, const char *what)
{
	return error_set(e, -EBADMSG, "entry %" PRIu32 " of the index %s", entry, what);
}

static int check_modes(const struct index *ix, struct error *e)
{
	if (!is_type(ix, 0, S_IFDIR))
		return refuse(e, 0, "is the root, and no directory");
	for (uint32_t i = 0; i < ix->count; i++)
		if (!is_type(ix, i, S_IFREG) && !is_type(ix, i, S_IFDIR) &&
			!is_type(ix, i, S_IFLNK))
			return refuse(e, i, "is no file, directory or symbolic link");
	return 0;
}

static int check_times(const struct index *ix, struct error *e)
{
	for (uint32_t i = 0; i < ix->count; i++)
		if (index_u32(ix, SECTION_MTIME_NANOSECONDS, i) >= 1000000000)
			return refuse(e, i, "has more than a second of nanoseconds");
	return 0;
}

/* -1 means "leave it as it is" to chown(2). */
static int check_owners(const struct index *ix, struct error *e)
{
	if (!ix->columns[SECTION_OWNERS].data)
		return 0;
	for (uint32_t i = 0; i < ix->count; i++)
		if (index_u32(ix, SECTION_OWNERS, (size_t)i * 2) == UINT32_MAX ||
			index_u32(ix, SECTION_OWNERS, (size_t)i * 2 + 1) == UINT32_MAX)
			return refuse(e, i, "has an owner that nobody can be");
	return 0;
}

static int check_name_lengths(const struct index *ix, struct error *e)
{
	const unsigned char *lengths = ix->columns[SECTION_NAME_LENGTHS].data;
	if (lengths[0])
		return refuse(e, 0, "is the root, and has a name");
	for (uint32_t i = 1; i < ix->count; i++)
		if (!lengths[i])
			return refuse(e, i, "has an empty name");
	return 0;
}

static bool is_dots(const char *name, size_t len)
{
	return name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.'));
}

/* One search of all names at once is fast; which entry it was does not matter. */
static int check_names(const struct index *ix, struct error *e)
{
	const struct column *names = &ix->columns[SECTION_NAMES];
	if (names->len && (memchr(names->data, '/', names->len) ||
				  memchr(names->data, '\0', names->len)))
		return error_set(
			e, -EBADMSG, "the index has a name with a '/' or NUL in it");
	for (uint32_t i = 1; i < ix->count; i++) {
		size_t len;
		const char *name = index_name(ix, i, &len);
		if (is_dots(name, len))
			return refuse(e, i, "is named '.' or '..'");
	}
	return 0;
}

static int check_child(const struct index *ix, uint32_t dir, uint32_t first,
	uint32_t child, struct error *e)
{
	if (index_u32(ix, SECTION_PARENTS, child) != dir)
		return refuse(
			e, child, "names another parent than the one that lists it");
	if (child == first)
		return 0;
	size_t before_len, len;
	const char *before = index_name(ix, child - 1, &before_len);
	const char *name = index_name(ix, child, &len);
	if (index_compare_names(before, before_len, name, len) >= 0)
		return refuse(
			e, child, "is a duplicate or out of order among its siblings");
	return 0;
}

/* *next is the first entry that no directory has listed so far. */
static int check_directory(
	const struct index *ix, uint32_t dir, uint32_t *next, struct error *e)
{
	uint64_t count = index_u64(ix, SECTION_SIZES, dir);
	uint32_t first = *next;
	if (index_u64(ix, SECTION_PLACES, dir) != (count ? first : 0) ||
		count > ix->count - first)
		return refuse(e, dir, "lists children that are not its own");
	*next += (uint32_t)count;
	for (uint32_t child = first; child < *next; child++) {
		int r = check_child(ix, dir, first, child, e);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Directories list 1..n-1 in order; an entry that is reached before it was listed would
 * have itself or a later one as its parent. A level ends where the entries end that were
 * listed when it began. */
static int check_tree(const struct index *ix, struct error *e)
{
	uint32_t next = 1, level = 0, level_end = 1;
	if (index_u32(ix, SECTION_PARENTS, 0) != 0)
		return refuse(e, 0, "is the root, and has a parent");
	for (uint32_t i = 0; i < ix->count; i++) {
		if (i >= next)
			return refuse(e, i, "is in no directory before it");
		if (i == level_end) {
			level_end = next;
			if (++level > DEPTH_LIMIT)
				return refuse(e, i, "is below too many directories");
		}
		if (!is_type(ix, i, S_IFDIR))
			continue;
		int r = check_directory(ix, i, &next, e);
		if (r < 0)
			return r;
	}
	return 0;
}

static int check_targets(const struct index *ix, struct error *e)
{
	const struct column *targets = &ix->columns[SECTION_TARGETS];
	if (targets->len && memchr(targets->data, '\0', targets->len))
		return error_set(
			e, -EBADMSG, "the index has a link target with a NUL in it");
	for (uint32_t i = 0; i < ix->count; i++) {
		if (!is_type(ix, i, S_IFLNK))
			continue;
		uint64_t len = index_u64(ix, SECTION_SIZES, i);
		if (!len || len > TARGET_LIMIT ||
			!range_within(
				index_u64(ix, SECTION_PLACES, i), len, targets->len))
			return refuse(
				e, i, "has an empty, overlong or misplaced link target");
	}
	return 0;
}

/* Columns of `width` bytes: are rows a and b the same? */
static bool same_row(
	const struct index *ix, enum section_id id, size_t width, uint32_t a, uint32_t b)
{
	const unsigned char *data = ix->columns[id].data;
	return !data || memcmp(data + a * width, data + b * width, width) == 0;
}

static bool same_inode(const struct index *ix, uint32_t a, uint32_t b)
{
	return same_row(ix, SECTION_MODES, 2, a, b) &&
	       same_row(ix, SECTION_MTIME_SECONDS, 8, a, b) &&
	       same_row(ix, SECTION_MTIME_NANOSECONDS, 4, a, b) &&
	       same_row(ix, SECTION_SIZES, 8, a, b) &&
	       same_row(ix, SECTION_PLACES, 8, a, b) &&
	       same_row(ix, SECTION_OWNERS, 8, a, b);
}

static int check_links(const struct index *ix, struct error *e)
{
	for (size_t i = 0; i < ix->link_count; i++) {
		uint32_t entry = index_link_entry(ix, i),
			 primary = index_link_primary(ix, i);
		if (entry >= ix->count || primary >= ix->count ||
			(i && entry <= index_link_entry(ix, i - 1)))
			return error_set(e, -EBADMSG,
				"hard link %zu of the index is out of order or range", i);
		if (is_type(ix, entry, S_IFDIR) ||
			index_primary(ix, primary) != primary || entry == primary ||
			!same_inode(ix, entry, primary))
			return refuse(
				e, entry, "is a hard link to something it cannot be");
	}
	return 0;
}

static int check_xattr(const struct index *ix, size_t i, struct error *e)
{
	struct xattr_record x = index_xattr_at(ix, ix->xattr_offsets[i]);
	if (x.entry >= ix->count || index_primary(ix, x.entry) != x.entry)
		return error_set(
			e, -EBADMSG, "xattr %zu of the index belongs to nothing", i);
	if (x.name_len <= 5 || x.name_len > XATTR_NAME_LIMIT ||
		memcmp(x.name, "user.", 5) != 0 || memchr(x.name, '\0', x.name_len))
		return refuse(e, x.entry, "has an xattr whose name is not a 'user.' one");
	if (x.value_len > XATTR_VALUE_LIMIT)
		return refuse(e, x.entry, "has an xattr of more than 64 KiB");
	if (!i)
		return 0;
	struct xattr_record before = index_xattr_at(ix, ix->xattr_offsets[i - 1]);
	if (before.entry > x.entry ||
		(before.entry == x.entry &&
			index_compare_names(
				before.name, before.name_len, x.name, x.name_len) >= 0))
		return refuse(
			e, x.entry, "has xattrs that are duplicate or out of order");
	return 0;
}

static int check_xattrs(const struct index *ix, struct error *e)
{
	for (size_t i = 0; i < ix->xattr_count; i++) {
		int r = check_xattr(ix, i, e);
		if (r < 0)
			return r;
	}
	return 0;
}

/*
 * A walk over the members in the order of the tar: depth first, children by name. Each
 * takes a header, and a file its content, so that no two contents can overlap and a
 * million names cannot stand for one small tar.
 */
struct tar_walk {
	const struct index *ix;
	uint64_t at; /* bytes of tar the members so far take at least */
	unsigned char
		*link; /* owned; bit: is a hard link, not a primary; NULL: no links */
	unsigned char *seen; /* owned; bit: was walked over */
};

static void tar_walk_finish(struct tar_walk *w)
{
	free(w->link);
	free(w->seen);
}

static void bit_set(unsigned char *bits, uint32_t i)
{
	bits[i / 8] |= (unsigned char)(1u << i % 8);
}

static bool bit_test(const unsigned char *bits, uint32_t i)
{
	return bits[i / 8] >> i % 8 & 1;
}

static int tar_walk_init(struct tar_walk *w, const struct index *ix)
{
	*w = (struct tar_walk){.ix = ix};
	if (!ix->link_count)
		return 0;
	w->link = calloc(1, ix->count / 8 + 1);
	w->seen = calloc(1, ix->count / 8 + 1);
	if (!w->link || !w->seen)
		return -ENOMEM;
	for (size_t i = 0; i < ix->link_count; i++)
		bit_set(w->link, index_link_entry(ix, i));
	return 0;
}

/* Overflow is ruled out: place and size are within the tar, which is below 2^50. */
static int walk_content(struct tar_walk *w, uint32_t entry, struct error *e)
{
	uint64_t size = index_u64(w->ix, SECTION_SIZES, entry);
	uint64_t place = index_u64(w->ix, SECTION_PLACES, entry);
	if (!range_within(place, size, w->ix->tar_size))
		return refuse(e, entry, "has content outside the tar");
	if (place % TAR_BLOCK || place < w->at)
		return refuse(e, entry, "has content where no tar would have it");
	w->at = place + ((size + TAR_BLOCK - 1) & ~(uint64_t)(TAR_BLOCK - 1));
	return 0;
}

static int walk_member(struct tar_walk *w, uint32_t entry, struct error *e)
{
	w->at += TAR_BLOCK;
	if (w->seen)
		bit_set(w->seen, entry);
	if (w->link && bit_test(w->link, entry))
		return bit_test(w->seen, index_primary(w->ix, entry))
			       ? 0
			       : refuse(e, entry, "is a hard link to a later member");
	return is_type(w->ix, entry, S_IFREG) ? walk_content(w, entry, e) : 0;
}

static int check_tar(const struct index *ix, struct error *e)
{
	CLEANUP(tar_walk_finish) struct tar_walk w;
	int r = tar_walk_init(&w, ix);
	uint32_t entry = 0;
	while (r == 0) {
		r = walk_member(&w, entry, e);
		entry = index_next(ix, entry);
		if (!entry)
			break;
	}
	if (r == 0 && !range_within(w.at, TAR_END, ix->tar_size))
		return error_set(e, -EBADMSG, "the index has more members than the tar");
	return r;
}

/* Of a foreign archive: contents lie anywhere, and take together no more than there is, so
 * that a million names cannot stand for one large content. Sums cannot overflow: what
 * there is, is below 2^50. */
static int check_loose(const struct index *ix, struct error *e)
{
	uint64_t left = ix->tar_size;
	for (uint32_t i = 0; i < ix->count; i++) {
		if (!is_type(ix, i, S_IFREG) || index_primary(ix, i) != i)
			continue;
		uint64_t size = index_u64(ix, SECTION_SIZES, i);
		if (!range_within(
			    index_u64(ix, SECTION_PLACES, i), size, ix->tar_size))
			return refuse(e, i, "has content outside the archive");
		if (size > left)
			return refuse(e, i, "shares content with another file");
		left -= size;
	}
	return 0;
}

static int check_contents(const struct index *ix, struct error *e)
{
	return index_in_tar_order(ix) ? check_tar(ix, e) : check_loose(ix, e);
}

static int check_outer(const struct index *ix, struct error *e)
{
	const struct column *c = &ix->columns[SECTION_OUTER];
	uint32_t last = 0;
	for (size_t at = 0; at < c->len; at += OUTER_SECTION_SIZE) {
		uint32_t id = load_le32(c->data + at);
		if (id <= last)
			return error_set(e, -EBADMSG,
				"the index's outer sections are out of order");
		if (id > OUTER_CONTENT_DIGESTS &&
			load_le32(c->data + at + 4) & SECTION_FLAG_REQUIRED)
			return error_set(e, -EBADMSG,
				"the index needs a newer reader: it has outer section "
				"%" PRIu32,
				id);
		last = id;
	}
	return 0;
}

int index_check(const struct index *ix, struct error *e)
{
	static int (*const checks[])(const struct index *ix, struct error *e) = {
		check_modes,
		check_times,
		check_owners,
		check_name_lengths,
		check_names,
		check_tree,
		check_targets,
		check_links,
		check_xattrs,
		check_contents,
		check_outer,
	};
	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
		int r = checks[i](ix, e);
		if (r < 0)
			return r;
	}
	return 0;
}
