/*
 * What index_parse.c builds, index_check.c proves and index.c looks things up in.
 *
 * The columns point into the raw index and are read in place. Nothing here is changed
 * once index_parse() has returned.
 */
#ifndef LARDER_ARCHIVE_INDEX_PRIVATE_H
#define LARDER_ARCHIVE_INDEX_PRIVATE_H

#include "archive/format.h"
#include "archive/index.h"
#include "fetch/base/bytes.h"

#define LINK_SIZE          8  /* bytes of one pair in SECTION_LINKS */
#define XATTR_HEADER_SIZE  16 /* bytes of one record before its name */
#define FRAME_SIZES_SIZE   8  /* bytes of one pair in SECTION_FRAME_SIZES */
#define OUTER_SECTION_SIZE 64 /* bytes of one record in SECTION_OUTER */

struct column {
	const unsigned char *data; /* borrowed from raw; NULL: the section is left out */
	size_t len;                /* bytes */
};

struct index {
	unsigned char *raw; /* owned */
	size_t raw_len;     /* bytes */
	uint32_t count;     /* entries */
	uint32_t frames;
	uint64_t flags;                           /* INDEX_FLAG_... */
	uint64_t tar_size;                        /* bytes */
	struct column columns[SECTION_OUTER + 1]; /* by enum section_id */
	uint32_t *name_offsets;   /* owned; count + 1: into SECTION_NAMES */
	mode_t mode_mask;         /* permission bits that non-directories may have */
	uint64_t *stored_offsets; /* owned; frames + 1: where each begins in the object */
	uint64_t *tar_offsets;    /* owned; frames + 1: where each begins in the tar */
	size_t link_count;
	uint32_t *link_primaries; /* owned; ascending, link_count; NULL without links */
	size_t xattr_count;
	uint64_t *xattr_offsets; /* owned; of each record in SECTION_XATTRS */
};

/* Everything docs/format.md demands of the tree. Run once the columns have their sizes;
 * 0, -EBADMSG, -ENOMEM. */
int index_check(const struct index *ix, struct error *e);

static inline uint16_t index_u16(const struct index *ix, enum section_id id, size_t i)
{
	return load_le16(ix->columns[id].data + i * sizeof(uint16_t));
}

static inline uint32_t index_u32(const struct index *ix, enum section_id id, size_t i)
{
	return load_le32(ix->columns[id].data + i * sizeof(uint32_t));
}

static inline uint64_t index_u64(const struct index *ix, enum section_id id, size_t i)
{
	return load_le64(ix->columns[id].data + i * sizeof(uint64_t));
}

/* Pair i of SECTION_LINKS. */
static inline uint32_t index_link_entry(const struct index *ix, size_t i)
{
	return load_le32(ix->columns[SECTION_LINKS].data + i * LINK_SIZE);
}

static inline uint32_t index_link_primary(const struct index *ix, size_t i)
{
	return load_le32(ix->columns[SECTION_LINKS].data + i * LINK_SIZE + 4);
}

/* One record of SECTION_XATTRS, borrowed. */
struct xattr_record {
	uint32_t entry;
	size_t name_len;
	size_t value_len;
	const char *name;
	const void *value;
};

static inline struct xattr_record index_xattr_at(const struct index *ix, uint64_t offset)
{
	const unsigned char *p = ix->columns[SECTION_XATTRS].data + offset;
	struct xattr_record x = {
		.entry = load_le32(p),
		.name_len = load_le32(p + 4),
		.value_len = load_le32(p + 8),
		.name = (const char *)p + XATTR_HEADER_SIZE,
	};
	x.value = x.name + x.name_len;
	return x;
}

/* Orders byte strings as names are sorted: unsigned bytes, the shorter first. */
static inline int index_compare_names(
	const char *a, size_t a_len, const char *b, size_t b_len)
{
	int r = memcmp(a, b, a_len < b_len ? a_len : b_len);
	return r ? r : (a_len > b_len) - (a_len < b_len);
}

#endif
