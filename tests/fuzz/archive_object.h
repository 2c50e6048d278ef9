/*
 * An object around a raw index that a fuzzer made up, with everything put right that a
 * fuzzer could never guess: the frames' sizes in the seek table, the compressed index,
 * the digest and place of the content digests. What the index says itself stays.
 */
#ifndef LARDER_TESTS_FUZZ_ARCHIVE_OBJECT_H
#define LARDER_TESTS_FUZZ_ARCHIVE_OBJECT_H

#include <zstd.h>

#include "archive/format.h"
#include "archive/seek_table.h"
#include "fetch/base/buf.h"
#include "fetch/base/bytes.h"
#include "fetch/base/digest.h"
#include "tests/fuzz/fuzz.h"

#define OBJECT_MOST ((size_t)4 << 20)

/* Where a section lies in the raw index; NULL: nowhere. */
static inline uint8_t *object_section(
	uint8_t *raw, size_t len, uint32_t id, size_t *ret_len)
{
	if (len < INDEX_HEADER_SIZE)
		return NULL;
	uint32_t sections = load_le32(raw + 12);
	for (uint32_t i = 0; i < sections; i++) {
		size_t at = INDEX_HEADER_SIZE + (size_t)i * SECTION_ENTRY_SIZE;
		if (at + SECTION_ENTRY_SIZE > len)
			return NULL;
		uint64_t offset = load_le64(raw + at + 8),
			 length = load_le64(raw + at + 16);
		if (load_le32(raw + at) != id || !range_within(offset, length, len))
			continue;
		*ret_len = (size_t)length;
		return raw + offset;
	}
	return NULL;
}

/* Frames as section 13 has them, filled from `filler` and then with zeros. */
static inline void object_frames(struct buf *object, struct seek_entry_vec *table,
	uint8_t *raw, size_t len, const uint8_t *filler, size_t filler_len)
{
	size_t sizes_len = 0;
	const uint8_t *sizes = object_section(raw, len, SECTION_FRAME_SIZES, &sizes_len);
	for (size_t at = 0; sizes && at + 8 <= sizes_len; at += 8) {
		struct seek_entry s = {load_le32(sizes + at), load_le32(sizes + at + 4)};
		if (buf_reserve(object, s.stored) < 0)
			return;
		size_t take = s.stored < filler_len ? s.stored : filler_len;
		if (take) {
			memcpy(object->data + object->len, filler, take);
			filler += take;
			filler_len -= take;
		}
		memset(object->data + object->len + take, 0, s.stored - take);
		object->len += s.stored;
		if (seek_entry_vec_push(table, s) < 0)
			abort();
	}
}

static inline void object_skippable(struct buf *object, struct seek_entry_vec *table,
	uint32_t magic, const void *raw, size_t len)
{
	size_t bound = ZSTD_compressBound(len);
	if (buf_reserve(object, bound + SKIPPABLE_HEADER_SIZE) < 0)
		return;
	char *p = object->data + object->len;
	size_t stored = ZSTD_compress(p + SKIPPABLE_HEADER_SIZE, bound, raw, len, 1);
	assert(!ZSTD_isError(stored));
	store_le32(p, magic);
	store_le32(p + 4, (uint32_t)stored);
	object->len += stored + SKIPPABLE_HEADER_SIZE;
	struct seek_entry s = {(uint32_t)(stored + SKIPPABLE_HEADER_SIZE), 0};
	if (seek_entry_vec_push(table, s) < 0)
		abort();
}

/* Appends content digests, and tells section 15 of the raw index where and what. */
static inline void object_digests(
	struct buf *object, struct seek_entry_vec *table, uint8_t *raw, size_t len)
{
	size_t outer_len = 0;
	uint8_t *outer = object_section(raw, len, SECTION_OUTER, &outer_len);
	uint64_t entries = len >= INDEX_HEADER_SIZE ? load_le64(raw + 16) : 0;
	if (!outer || outer_len < 64 || entries > 65536)
		return;
	static const uint8_t zeros[65536 * 16];
	size_t begin = object->len + SKIPPABLE_HEADER_SIZE;
	object_skippable(
		object, table, SKIPPABLE_MAGIC_DIGESTS, zeros, (size_t)entries * 16);
	if (object->len < begin)
		return;
	struct digest d;
	if (digest_of(object->data + begin, object->len - begin, &d) < 0)
		abort();
	store_le64(outer + 8, begin);
	store_le64(outer + 16, object->len - begin);
	store_le64(outer + 24, entries * 16);
	memcpy(outer + 32, d.bytes, DIGEST_SIZE);
}

/* raw is changed. */
static inline void object_make(struct buf *object, uint8_t *raw, size_t len,
	const uint8_t *filler, size_t filler_len)
{
	struct seek_entry_vec table = {0};
	object_frames(object, &table, raw, len, filler, filler_len);
	object_digests(object, &table, raw, len);
	object_skippable(object, &table, SKIPPABLE_MAGIC_INDEX, raw, len);
	if (seek_table_write(table.data, table.len, object) < 0)
		buf_clear(object);
	seek_entry_vec_finish(&table);
}

#endif
