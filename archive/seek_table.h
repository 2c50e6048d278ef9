/*
 * The seek table: the standard zstd seekable format's, at an object's end.
 *
 *     0x184D2A5E, length | { stored u32, raw u32 } x count | count, descriptor,
 * 0x8F92EAB1
 *
 * (docs/format.md; contrib/seekable_format/zstd_seekable_compression_format.md of zstd.)
 * Reading takes two steps, because the table's length stands in its last bytes: measure
 * by the footer, then parse the whole. Pure: no I/O. A table that was parsed keeps these
 * promises: every entry's stored size is at least 8 bytes, those before `frames` have 1
 * to FRAME_SIZE_LIMIT raw bytes, those from there on have none (skippable frames), and
 * the stored sizes and the table's own add up to the object's size.
 */
#ifndef LARDER_ARCHIVE_SEEK_TABLE_H
#define LARDER_ARCHIVE_SEEK_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "fetch/base/buf.h"
#include "fetch/base/bytes.h"
#include "fetch/base/error.h"
#include "fetch/base/vec.h"

#define SEEK_ENTRY_SIZE 8 /* bytes, without checksums */

struct seek_entry {
	uint32_t stored; /* bytes in the object; a skippable frame's header included */
	uint32_t raw;    /* bytes decompressed; 0: a skippable frame */
};

DEFINE_VEC(seek_entry_vec, struct seek_entry);

struct seek_table {
	const uint8_t *entries; /* borrowed from the bytes parsed */
	uint32_t count;         /* entries */
	uint32_t frames;        /* the first of them: the tar; the others are skippable */
	uint64_t size;          /* bytes of the table itself, headers included */
	uint64_t frames_stored; /* bytes: where the first skippable frame begins */
	uint64_t frames_raw;    /* bytes of tar */
};

/* The bytes of a table of count entries, headers included. */
uint64_t seek_table_size(uint32_t count);

/* Appends the table to out. 0, -E2BIG past FRAME_COUNT_LIMIT, and buf_append()'s. */
int seek_table_write(const struct seek_entry *entries, size_t count, struct buf *out);

/* The length of the table that ends an object of object_size bytes whose last
 * SEEK_TABLE_FOOTER_SIZE bytes are footer. 0; -ENOMSG: there is none, or one with
 * checksums, which Larder never writes; -EBADMSG: it cannot be that long. */
int seek_table_measure(const void *footer, uint64_t object_size, uint64_t *ret_size);

/* data: the object's last len bytes, of which the table needs as many as
 * seek_table_measure() said; borrowed as long as the table is used. 0; -ENOMSG as above;
 * -EBADMSG when a promise above does not hold; -EINVAL when data is too short. */
int seek_table_parse(const void *data, size_t len, uint64_t object_size,
	struct seek_table *ret, struct error *e);

/* Entry i < count. */
static inline struct seek_entry seek_table_entry(const struct seek_table *t, uint32_t i)
{
	const uint8_t *p = t->entries + (size_t)i * SEEK_ENTRY_SIZE;
	return (struct seek_entry){.stored = load_le32(p), .raw = load_le32(p + 4)};
}

#endif
