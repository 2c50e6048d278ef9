#include "archive/index_writer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "archive/format.h"
#include "archive/xattrs.h"
#include "fetch/base/bytes.h"

#define NONE UINT32_MAX

#define XATTR_HEADER_SIZE 16
#define LINK_SIZE         8
#define OUTER_SIZE        64

struct index_writer {
	struct index_facts facts;
	uint32_t count;   /* entries */
	uint32_t *order;  /* owned: number in the index -> in the tree */
	uint32_t *number; /* owned: in the tree -> in the index */
	uint64_t length[SECTION_OUTER + 1]; /* bytes of each section */
	bool present[SECTION_OUTER + 1];
	uint8_t *raw; /* owned */
	size_t raw_len;
	uint8_t *at[SECTION_OUTER + 1]; /* borrowed from raw: where each section begins */
};

void index_writer_free(struct index_writer *w)
{
	if (!w)
		return;
	free(w->order);
	free(w->number);
	free(w->raw);
	free(w);
}

/* Threads the children of each directory to a list; those of one directory are met from
 * the last to the first, so that each list comes out sorted. */
static void list_children(const struct tree *t, uint32_t *first, uint32_t *next)
{
	uint32_t count = tree_count(t);
	for (uint32_t i = 0; i < count; i++)
		first[i] = NONE;
	for (uint32_t i = count - 1; i > 0; i--) {
		uint32_t parent = tree_entry(t, i)->parent;
		next[i] = first[parent];
		first[parent] = i;
	}
}

/* first[] is replaced, entry by entry as its list was used up, by the entry's number. */
static void number_breadth_first(
	uint32_t count, uint32_t *first, const uint32_t *next, uint32_t *order)
{
	uint32_t end = 1;
	order[0] = 0;
	for (uint32_t i = 0; i < count; i++) {
		uint32_t entry = order[i];
		for (uint32_t child = first[entry]; child != NONE; child = next[child])
			order[end++] = child;
		first[entry] = i;
	}
}

static int number_entries(struct index_writer *w)
{
	CLEANUP(cleanup_free) uint32_t *next = calloc(w->count, sizeof(*next));
	w->order = calloc(w->count, sizeof(w->order[0]));
	w->number = calloc(w->count, sizeof(w->number[0]));
	if (!next || !w->order || !w->number)
		return -ENOMEM;
	list_children(w->facts.tree, w->number, next);
	number_breadth_first(w->count, w->number, next, w->order);
	return 0;
}

static const struct tree_entry *entry_at(const struct index_writer *w, uint32_t i)
{
	return tree_entry(w->facts.tree, w->order[i]);
}

static bool is_link(const struct tree_entry *entry)
{
	return entry->primary != TREE_NO_LINK;
}

int index_writer_digests(const struct index_writer *w, uint8_t **ret, size_t *ret_len)
{
	uint8_t *digests = calloc(w->count, TREE_DIGEST);
	if (!digests)
		return -ENOMEM;
	for (uint32_t i = 0; i < w->count; i++) {
		const struct tree_entry *entry = entry_at(w, i);
		if (is_link(entry))
			entry = tree_entry(w->facts.tree, entry->primary);
		memcpy(digests + (size_t)i * TREE_DIGEST, entry->digest, TREE_DIGEST);
	}
	*ret = digests;
	*ret_len = (size_t)w->count * TREE_DIGEST;
	return 0;
}

/* Whether the entry's own extended attributes are in the index. */
static const struct xattrs *xattrs_of(const struct tree_entry *entry)
{
	return is_link(entry) || S_ISLNK(entry->mode) ? NULL : entry->xattrs;
}

static size_t xattr_record_size(const struct xattr *x)
{
	return (XATTR_HEADER_SIZE + x->name_len + x->value_len + 7) & ~(size_t)7;
}

static void measure_entry(struct index_writer *w, const struct tree_entry *entry)
{
	w->length[SECTION_NAMES] += entry->name_len;
	if (is_link(entry))
		w->length[SECTION_LINKS] += LINK_SIZE;
	else if (S_ISLNK(entry->mode))
		w->length[SECTION_TARGETS] += entry->size;
	struct xattr x;
	for (size_t cursor = 0; xattrs_next(xattrs_of(entry), &cursor, &x);)
		w->length[SECTION_XATTRS] += xattr_record_size(&x);
}

static void measure(struct index_writer *w)
{
	uint64_t n = w->count;
	w->length[SECTION_MODES] = 2 * n;
	w->length[SECTION_PARENTS] = 4 * n;
	w->length[SECTION_NAME_LENGTHS] = n;
	w->length[SECTION_MTIME_SECONDS] = 8 * n;
	w->length[SECTION_MTIME_NANOSECONDS] = 4 * n;
	w->length[SECTION_SIZES] = 8 * n;
	w->length[SECTION_PLACES] = 8 * n;
	w->length[SECTION_OWNERS] = w->facts.owners ? 8 * n : 0;
	w->length[SECTION_FRAME_SIZES] = 8 * w->facts.frame_count;
	if (!(w->facts.flags & INDEX_FLAG_PLAIN))
		w->length[SECTION_FRAME_DIGESTS] = DIGEST_SIZE * w->facts.frame_count;
	w->length[SECTION_OUTER] = OUTER_SIZE * w->facts.outer_count;
	for (uint32_t i = 0; i < w->count; i++)
		measure_entry(w, tree_entry(w->facts.tree, i));
	for (int id = SECTION_MODES; id <= SECTION_OUTER; id++)
		w->present[id] = w->length[id] > 0 || id == SECTION_NAMES;
}

static uint64_t align(uint64_t offset)
{
	return (offset + 7) & ~UINT64_C(7);
}

static uint32_t count_sections(const struct index_writer *w)
{
	uint32_t sections = 0;
	for (int id = SECTION_MODES; id <= SECTION_OUTER; id++)
		sections += w->present[id];
	return sections;
}

static uint64_t raw_size(const struct index_writer *w)
{
	uint64_t size =
		INDEX_HEADER_SIZE + (uint64_t)count_sections(w) * SECTION_ENTRY_SIZE;
	for (int id = SECTION_MODES; id <= SECTION_OUTER; id++)
		size = w->present[id] ? align(size) + w->length[id] : size;
	return size;
}

static void put_header(const struct index_writer *w)
{
	uint8_t *raw = w->raw;
	memcpy(raw, INDEX_MAGIC, 8);
	store_le32(raw + 8, FORMAT_VERSION);
	store_le32(raw + 12, count_sections(w));
	store_le64(raw + 16, w->count);
	store_le64(raw + 24, w->facts.frame_count);
	store_le64(raw + 32, w->facts.tar_size);
	store_le64(raw + 40, w->facts.flags);
}

/* Every section that this version knows must be understood. */
static void put_section_table(struct index_writer *w)
{
	uint8_t *p = w->raw + INDEX_HEADER_SIZE;
	uint64_t offset =
		INDEX_HEADER_SIZE + (uint64_t)count_sections(w) * SECTION_ENTRY_SIZE;
	for (uint32_t id = SECTION_MODES; id <= SECTION_OUTER; id++) {
		if (!w->present[id])
			continue;
		offset = align(offset);
		store_le32(p, id);
		store_le32(p + 4, SECTION_FLAG_REQUIRED);
		store_le64(p + 8, offset);
		store_le64(p + 16, w->length[id]);
		w->at[id] = w->raw + offset;
		offset += w->length[id];
		p += SECTION_ENTRY_SIZE;
	}
}

static void put_names(const struct index_writer *w)
{
	uint64_t offset = 0;
	for (uint32_t i = 0; i < w->count; i++) {
		const struct tree_entry *entry = entry_at(w, i);
		uint32_t parent = w->number[entry->parent];
		store_le32(w->at[SECTION_PARENTS] + 4 * (size_t)i, parent);
		memcpy(w->at[SECTION_NAMES] + offset, entry->name, entry->name_len);
		offset += entry->name_len;
		w->at[SECTION_NAME_LENGTHS][i] = entry->name_len;
	}
}

static void put_facts(
	const struct index_writer *w, uint32_t i, const struct tree_entry *entry)
{
	store_le16(w->at[SECTION_MODES] + 2 * (size_t)i, entry->mode);
	store_le64(
		w->at[SECTION_MTIME_SECONDS] + 8 * (size_t)i, (uint64_t)entry->mtime_s);
	store_le32(w->at[SECTION_MTIME_NANOSECONDS] + 4 * (size_t)i, entry->mtime_ns);
	if (!w->present[SECTION_OWNERS])
		return;
	store_le32(w->at[SECTION_OWNERS] + 8 * (size_t)i, entry->uid);
	store_le32(w->at[SECTION_OWNERS] + 8 * (size_t)i + 4, entry->gid);
}

static void put_extent(
	const struct index_writer *w, uint32_t i, uint64_t size, uint64_t place)
{
	store_le64(w->at[SECTION_SIZES] + 8 * (size_t)i, size);
	store_le64(w->at[SECTION_PLACES] + 8 * (size_t)i, place);
}

/* The children of directory i are those that follow from `first` on. */
static uint32_t count_children(const struct index_writer *w, uint32_t i, uint32_t first)
{
	uint32_t end = first;
	while (end < w->count && entry_at(w, end)->parent == w->order[i])
		end++;
	return end - first;
}

/* All inodes' rows; those of other names of an inode are left for put_links(). */
static void put_inodes(const struct index_writer *w)
{
	uint32_t next = 1; /* child */
	uint64_t targets = 0;
	for (uint32_t i = 0; i < w->count; i++) {
		const struct tree_entry *entry = entry_at(w, i);
		if (is_link(entry))
			continue;
		put_facts(w, i, entry);
		if (S_ISREG(entry->mode)) {
			put_extent(w, i, entry->size, entry->place);
		} else if (S_ISLNK(entry->mode)) {
			put_extent(w, i, entry->size, targets);
			memcpy(w->at[SECTION_TARGETS] + targets, entry->target,
				entry->size);
			targets += entry->size;
		} else {
			uint32_t children = count_children(w, i, next);
			put_extent(w, i, children, children ? next : 0);
			next += children;
		}
	}
}

static void repeat_row(uint8_t *column, size_t width, uint32_t to, uint32_t from)
{
	memcpy(column + to * width, column + from * width, width);
}

static void put_links(const struct index_writer *w)
{
	uint8_t *p = w->at[SECTION_LINKS];
	for (uint32_t i = 0; i < w->count; i++) {
		const struct tree_entry *entry = entry_at(w, i);
		if (!is_link(entry))
			continue;
		uint32_t primary = w->number[entry->primary];
		repeat_row(w->at[SECTION_MODES], 2, i, primary);
		repeat_row(w->at[SECTION_MTIME_SECONDS], 8, i, primary);
		repeat_row(w->at[SECTION_MTIME_NANOSECONDS], 4, i, primary);
		repeat_row(w->at[SECTION_SIZES], 8, i, primary);
		repeat_row(w->at[SECTION_PLACES], 8, i, primary);
		if (w->present[SECTION_OWNERS])
			repeat_row(w->at[SECTION_OWNERS], 8, i, primary);
		store_le32(p, i);
		store_le32(p + 4, primary);
		p += LINK_SIZE;
	}
}

static void put_xattrs(const struct index_writer *w)
{
	uint8_t *p = w->at[SECTION_XATTRS];
	for (uint32_t i = 0; p && i < w->count; i++) {
		const struct xattrs *all = xattrs_of(entry_at(w, i));
		struct xattr x;
		for (size_t cursor = 0; xattrs_next(all, &cursor, &x);) {
			store_le32(p, i);
			store_le32(p + 4, (uint32_t)x.name_len);
			store_le32(p + 8, (uint32_t)x.value_len);
			memcpy(p + XATTR_HEADER_SIZE, x.name, x.name_len);
			memcpy(p + XATTR_HEADER_SIZE + x.name_len, x.value, x.value_len);
			p += xattr_record_size(&x);
		}
	}
}

static void put_frames(const struct index_writer *w, const struct index_frame *frames)
{
	for (size_t i = 0; i < w->facts.frame_count; i++) {
		const struct index_frame *f = &frames[i];
		store_le32(w->at[SECTION_FRAME_SIZES] + 8 * i, f->stored);
		store_le32(w->at[SECTION_FRAME_SIZES] + 8 * i + 4, f->raw);
		if (w->present[SECTION_FRAME_DIGESTS])
			memcpy(w->at[SECTION_FRAME_DIGESTS] + DIGEST_SIZE * i,
				f->digest.bytes, DIGEST_SIZE);
	}
}

static void put_outer(const struct index_writer *w, const struct index_outer *outer)
{
	uint8_t *p = w->at[SECTION_OUTER];
	for (size_t i = 0; i < w->facts.outer_count; i++, p += OUTER_SIZE) {
		const struct index_outer *o = &outer[i];
		store_le32(p, o->id);
		store_le64(p + 8, o->offset);
		store_le64(p + 16, o->stored_len);
		store_le64(p + 24, o->raw_len);
		memcpy(p + 32, o->digest.bytes, DIGEST_SIZE);
	}
}

/* Memory for it all; sections that come later stay zero. */
static int lay_out(struct index_writer *w)
{
	measure(w);
	uint64_t size = raw_size(w);
	if (w->length[SECTION_NAMES] > UINT32_MAX || size > INDEX_RAW_LIMIT)
		return -EFBIG;
	w->raw = calloc(1, size);
	w->raw_len = size;
	return w->raw ? 0 : -ENOMEM;
}

int index_writer_new(const struct index_facts *facts, struct index_writer **ret)
{
	CLEANUP(cleanup_index_writer) struct index_writer *w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->facts = *facts;
	w->count = tree_count(facts->tree);
	int r = number_entries(w);
	if (r == 0)
		r = lay_out(w);
	if (r < 0)
		return r;
	put_header(w);
	put_section_table(w);
	put_names(w);
	put_inodes(w);
	put_links(w);
	put_xattrs(w);
	*ret = steal_pointer(w);
	return 0;
}

const uint8_t *index_writer_raw(
	const struct index_writer *w, size_t *ret_len, size_t *ret_settled)
{
	*ret_len = w->raw_len;
	*ret_settled = (size_t)(w->at[SECTION_FRAME_SIZES] - w->raw);
	return w->raw;
}

void index_writer_finish(struct index_writer *w, const struct index_frame *frames,
	const struct index_outer *outer)
{
	put_frames(w, frames);
	put_outer(w, outer);
}
