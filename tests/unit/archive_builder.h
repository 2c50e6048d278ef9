/*
 * Makes small archives in memory, for tests of what reads them.
 *
 * Entries are added by path (a directory before what it holds is not needed, but every
 * parent must be there in the end; the root is). builder_lay() then lays out tar, frames
 * and the columns of the index as docs/format.md says, except that the tar is cut every
 * `cut` bytes: readers must not care. After that a test may damage any column, header
 * field or frame; builder_index() and builder_object() write down what is there. Only
 * paths up to 100 bytes stand in full in the tar's headers, which no reader looks at.
 *
 * Mistakes of the test abort.
 */
#ifndef LARDER_TESTS_UNIT_ARCHIVE_BUILDER_H
#define LARDER_TESTS_UNIT_ARCHIVE_BUILDER_H

#include <sys/types.h>

#include "archive/format.h"
#include "fetch/base/buf.h"
#include "fetch/base/cleanup.h"
#include "fetch/base/digest.h"

struct builder_entry {
	char *path;   /* owned; "" is the root */
	size_t depth; /* names in it */
	mode_t mode;
	const void *content; /* borrowed; file: content, symlink: target */
	size_t size;
	int64_t seconds;
	uint32_t nanoseconds;
	uint32_t uid, gid;
	char *link_to; /* owned; the primary's path, or NULL */
	uint32_t number;
	uint64_t place;
};

struct builder_xattr {
	const char *path; /* borrowed, as are name and value */
	const char *name;
	const void *value;
	size_t value_len;
};

struct builder_frame {
	uint32_t stored;
	uint32_t raw;
};

struct archive_builder {
	struct builder_entry *entries; /* owned */
	size_t count, size;
	struct builder_xattr xattrs[16];
	size_t xattr_count;
	size_t cut; /* bytes of tar in a frame */
	bool owners;
	bool content_digests;
	bool unproved; /* without a frame for the identity */

	/* After builder_lay(). */
	struct buf tar;
	struct buf frames;                     /* stored, joined */
	struct buf columns[SECTION_OUTER + 4]; /* by section id; data NULL: left out */
	struct buf digests;                    /* stored outer section 1, with header */
	uint32_t version, section_count_extra;
	uint64_t header_entries, header_frames, header_tar, header_flags;
	uint32_t section_flags[SECTION_OUTER + 4];
	struct buf raw_index; /* when not empty: taken instead of what columns give */
};

struct archive_builder *builder_new(void);
void builder_free(struct archive_builder *b);
DEFINE_CLEANUP(cleanup_builder, struct archive_builder, builder_free);

/* The entry stays valid until the next is added. content is borrowed until the end. */
struct builder_entry *builder_dir(struct archive_builder *b, const char *path);
struct builder_entry *builder_file(
	struct archive_builder *b, const char *path, const void *content, size_t size);
struct builder_entry *builder_symlink(
	struct archive_builder *b, const char *path, const char *target);
struct builder_entry *builder_link(
	struct archive_builder *b, const char *path, const char *primary);
void builder_xattr(
	struct archive_builder *b, const char *path, const char *name, const char *value);

void builder_lay(struct archive_builder *b);

/* The number that a path has in the index. */
uint32_t builder_number(const struct archive_builder *b, const char *path);

/* The raw index, malloc()ed. */
void *builder_index(const struct archive_builder *b, size_t *ret_len);

/* The whole object. */
void builder_object(const struct archive_builder *b, struct buf *ret);

/* Overwrites row i of a column of u16, u32 or u64. */
void builder_set8(struct archive_builder *b, uint32_t section, size_t i, uint8_t v);
void builder_set16(struct archive_builder *b, uint32_t section, size_t i, uint16_t v);
void builder_set32(struct archive_builder *b, uint32_t section, size_t i, uint32_t v);
void builder_set64(struct archive_builder *b, uint32_t section, size_t i, uint64_t v);

#endif
