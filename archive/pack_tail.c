#include "archive/pack_tail.h"

#include <errno.h>
#include <stdlib.h>
#include <zstd.h>

#include "archive/format.h"
#include "archive/seek_table.h"

/* zstd: docs/format.md, "Same input, same bytes". */
#define SECTION_LEVEL     9
#define SECTION_MIN_MATCH 4
#define LOCAL_LEVEL       1

/* The sum of all three, each below 4 GiB. */
#define TAIL_LIMIT (UINT64_C(3) << 32)

void pack_tail_init(struct pack_tail *t)
{
	*t = (struct pack_tail){.bytes = BUF_INIT(TAIL_LIMIT)};
}

void pack_tail_finish(struct pack_tail *t)
{
	buf_finish(&t->bytes);
}

/* What stays on this machine (flags) is made fast, with a checksum. 0: no memory. */
static size_t compress(
	uint64_t flags, void *out, size_t size, const uint8_t *raw, size_t len)
{
	ZSTD_CCtx *zstd = ZSTD_createCCtx();
	if (!zstd)
		return 0;
	ZSTD_CCtx_setParameter(
		zstd, ZSTD_c_compressionLevel, flags ? LOCAL_LEVEL : SECTION_LEVEL);
	ZSTD_CCtx_setParameter(zstd, ZSTD_c_minMatch, SECTION_MIN_MATCH);
	ZSTD_CCtx_setParameter(zstd, ZSTD_c_checksumFlag, flags != 0);
	size_t stored = ZSTD_compress2(zstd, out, size, raw, len);
	ZSTD_freeCCtx(zstd);
	return ZSTD_isError(stored) ? 0 : stored;
}

/* Appends a skippable frame whose content is raw as one zstd frame. *ret_at: where in the
 * tail the content begins. */
static int put_section(struct pack_tail *t, uint32_t magic, const uint8_t *raw,
	size_t len, size_t *ret_at, size_t *ret_len)
{
	size_t bound = ZSTD_compressBound(len);
	int r = buf_reserve(&t->bytes, SKIPPABLE_HEADER_SIZE + bound);
	if (r < 0)
		return r == -EMSGSIZE ? -EFBIG : r;
	uint8_t *header = (uint8_t *)t->bytes.data + t->bytes.len;
	size_t stored =
		compress(t->flags, header + SKIPPABLE_HEADER_SIZE, bound, raw, len);
	if (!stored)
		return -ENOMEM;
	if (stored > UINT32_MAX - SKIPPABLE_HEADER_SIZE)
		return -EFBIG;
	store_le32(header, magic);
	store_le32(header + 4, (uint32_t)stored);
	*ret_at = t->bytes.len + SKIPPABLE_HEADER_SIZE;
	*ret_len = stored;
	t->bytes.len += SKIPPABLE_HEADER_SIZE + stored;
	return 0;
}

static int put_digests(struct pack_tail *t, const struct index_writer *w, uint64_t offset,
	struct index_outer *ret)
{
	CLEANUP(cleanup_free) uint8_t *raw = NULL;
	size_t raw_len = 0, at = 0, len = 0;
	int r = index_writer_digests(w, &raw, &raw_len);
	if (r == 0)
		r = put_section(t, SKIPPABLE_MAGIC_DIGESTS, raw, raw_len, &at, &len);
	if (r < 0)
		return r;
	*ret = (struct index_outer){
		.id = OUTER_CONTENT_DIGESTS,
		.offset = offset + at,
		.stored_len = len,
		.raw_len = raw_len,
	};
	return digest_of(t->bytes.data + at, len, &ret->digest);
}

static int put_index(struct pack_tail *t, const struct index_writer *w, bool owners,
	const struct index_frame *frames, size_t frame_count,
	const struct index_outer *outer, size_t *ret_len)
{
	CLEANUP(cleanup_free) uint8_t *raw = NULL;
	size_t raw_len = 0, at = 0;
	int r = index_writer_index(
		w, owners, t->flags, frames, frame_count, outer, 1, &raw, &raw_len);
	if (r == 0)
		r = put_section(t, SKIPPABLE_MAGIC_INDEX, raw, raw_len, &at, ret_len);
	return r < 0 ? r : digest_of(t->bytes.data + at, *ret_len, &t->identity);
}

static int put_seek_table(struct pack_tail *t, const struct index_frame *frames,
	size_t frame_count, size_t digests_len, size_t index_len)
{
	CLEANUP(seek_entry_vec_finish) struct seek_entry_vec entries = {0};
	int r = seek_entry_vec_reserve(&entries, frame_count + 2);
	if (r < 0)
		return r;
	for (size_t i = 0; i < frame_count; i++)
		entries.data[i] = (struct seek_entry){frames[i].stored, frames[i].raw};
	entries.data[frame_count] =
		(struct seek_entry){(uint32_t)digests_len + SKIPPABLE_HEADER_SIZE, 0};
	entries.data[frame_count + 1] =
		(struct seek_entry){(uint32_t)index_len + SKIPPABLE_HEADER_SIZE, 0};
	r = seek_table_write(entries.data, frame_count + 2, &t->bytes);
	return r == -E2BIG || r == -EMSGSIZE ? -EFBIG : r;
}

int pack_tail_make(struct pack_tail *t, const struct tree *tree, bool owners,
	const struct index_frame *frames, size_t frame_count, uint64_t offset)
{
	CLEANUP(cleanup_index_writer) struct index_writer *w = NULL;
	struct index_outer digests;
	size_t index_len = 0;
	int r = index_writer_new(tree, &w);
	if (r == 0)
		r = put_digests(t, w, offset, &digests);
	if (r == 0)
		r = put_index(t, w, owners, frames, frame_count, &digests, &index_len);
	if (r == 0)
		r = put_seek_table(t, frames, frame_count, digests.stored_len, index_len);
	return r;
}

int pack_tail_make_local(struct pack_tail *t, const struct tree *tree,
	const struct index_frame *frames, size_t frame_count, uint64_t offset)
{
	t->flags = INDEX_FLAG_LOOSE;
	return pack_tail_make(t, tree, false, frames, frame_count, offset);
}

int pack_plain_index(const struct tree *tree, const struct index_frame *frames,
	size_t frame_count, struct buf *out)
{
	CLEANUP(cleanup_index_writer) struct index_writer *w = NULL;
	CLEANUP(cleanup_free) uint8_t *raw = NULL;
	const uint64_t flags = INDEX_FLAG_LOOSE | INDEX_FLAG_PLAIN;
	size_t raw_len;
	int r = index_writer_new(tree, &w);
	if (r == 0)
		r = index_writer_index(w, false, flags, frames, frame_count, NULL, 0,
			&raw, &raw_len);
	if (r == 0)
		r = buf_reserve(out, ZSTD_compressBound(raw_len));
	if (r < 0)
		return r == -EMSGSIZE ? -EFBIG : r;
	size_t stored = compress(flags, out->data + out->len,
		ZSTD_compressBound(raw_len), raw, raw_len);
	out->len += stored;
	return stored ? 0 : -ENOMEM;
}
