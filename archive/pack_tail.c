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

#define PIECE         (128u << 10) /* bytes compressed at a time: a block of zstd's */
#define SECTION_LIMIT (UINT32_MAX - SKIPPABLE_HEADER_SIZE)

/* A skippable frame whose content is one zstd frame, growing. */
struct section {
	ZSTD_CCtx *zstd;  /* owned */
	struct buf bytes; /* owned: the skippable frame so far, its header included */
};

struct pack_tail {
	struct index_facts facts;
	struct index_writer *writer; /* owned */
	struct section index;
	size_t compressed; /* bytes of the raw index */
	struct buf bytes;  /* owned: the tail */
};

/* raw_len: what will be put in altogether, so that the zstd frame's header tells it. What
 * stays on this machine (flags) is made fast, with a checksum. */
static int section_init(struct section *s, uint64_t flags, size_t raw_len)
{
	*s = (struct section){.bytes = BUF_INIT(SECTION_LIMIT)};
	s->zstd = ZSTD_createCCtx();
	if (!s->zstd)
		return -ENOMEM;
	ZSTD_CCtx_setParameter(
		s->zstd, ZSTD_c_compressionLevel, flags ? LOCAL_LEVEL : SECTION_LEVEL);
	ZSTD_CCtx_setParameter(s->zstd, ZSTD_c_minMatch, SECTION_MIN_MATCH);
	ZSTD_CCtx_setParameter(s->zstd, ZSTD_c_checksumFlag, flags != 0);
	ZSTD_CCtx_setPledgedSrcSize(s->zstd, raw_len);
	static const uint8_t header[SKIPPABLE_HEADER_SIZE];
	return buf_append(&s->bytes, header, sizeof(header));
}

static void section_finish(struct section *s)
{
	ZSTD_freeCCtx(s->zstd);
	buf_finish(&s->bytes);
}

/* Puts bytes in; `last`: there will be no more. */
static int section_put(struct section *s, const uint8_t *data, size_t len, bool last)
{
	ZSTD_inBuffer in = {data, len, 0};
	for (size_t left = 1; in.pos < len || (last && left);) {
		int r = buf_reserve(&s->bytes, PIECE);
		if (r < 0)
			return r == -EMSGSIZE ? -EFBIG : r;
		ZSTD_outBuffer out = {s->bytes.data + s->bytes.len, PIECE, 0};
		left = ZSTD_compressStream2(
			s->zstd, &out, &in, last ? ZSTD_e_end : ZSTD_e_continue);
		if (ZSTD_isError(left))
			return -ENOMEM;
		s->bytes.len += out.pos;
	}
	return 0;
}

/* The zstd frame, without the header that is filled in here. */
static const uint8_t *section_seal(struct section *s, uint32_t magic, size_t *ret_len)
{
	uint8_t *header = (uint8_t *)s->bytes.data;
	*ret_len = s->bytes.len - SKIPPABLE_HEADER_SIZE;
	store_le32(header, magic);
	store_le32(header + 4, (uint32_t)*ret_len);
	return header + SKIPPABLE_HEADER_SIZE;
}

int pack_tail_new(const struct index_facts *facts, struct pack_tail **ret)
{
	CLEANUP(cleanup_pack_tail) struct pack_tail *t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->facts = *facts;
	buf_init(&t->bytes, PACK_TAIL_LIMIT);
	int r = index_writer_new(facts, &t->writer);
	if (r < 0)
		return r;
	size_t len, settled;
	index_writer_raw(t->writer, &len, &settled);
	r = section_init(&t->index, facts->flags, len);
	if (r == 0)
		*ret = steal_pointer(t);
	return r;
}

void pack_tail_free(struct pack_tail *t)
{
	if (!t)
		return;
	section_finish(&t->index);
	index_writer_free(t->writer);
	buf_finish(&t->bytes);
	free(t);
}

bool pack_tail_settled(const struct pack_tail *t)
{
	size_t len, settled;
	index_writer_raw(t->writer, &len, &settled);
	return t->compressed == settled;
}

int pack_tail_advance(struct pack_tail *t)
{
	size_t len, settled;
	const uint8_t *raw = index_writer_raw(t->writer, &len, &settled);
	size_t piece = settled - t->compressed < PIECE ? settled - t->compressed : PIECE;
	int r = section_put(&t->index, raw + t->compressed, piece, false);
	t->compressed += piece;
	return r;
}

static int put_digests(struct pack_tail *t, uint64_t offset, struct index_outer *ret)
{
	CLEANUP(cleanup_free) uint8_t *raw = NULL;
	CLEANUP(section_finish) struct section s = {0};
	size_t raw_len = 0, len;
	int r = index_writer_digests(t->writer, &raw, &raw_len);
	if (r == 0)
		r = section_init(&s, t->facts.flags, raw_len);
	if (r == 0)
		r = section_put(&s, raw, raw_len, true);
	if (r < 0)
		return r;
	const uint8_t *stored = section_seal(&s, SKIPPABLE_MAGIC_DIGESTS, &len);
	*ret = (struct index_outer){
		.id = OUTER_CONTENT_DIGESTS,
		.offset = offset + SKIPPABLE_HEADER_SIZE,
		.stored_len = len,
		.raw_len = raw_len,
	};
	r = digest_of(stored, len, &ret->digest);
	return r < 0 ? r : buf_append(&t->bytes, s.bytes.data, s.bytes.len);
}

static int put_identity(struct pack_tail *t, const struct digest *identity)
{
	uint8_t header[SKIPPABLE_HEADER_SIZE];
	store_le32(header, SKIPPABLE_MAGIC_IDENTITY);
	store_le32(header + 4, DIGEST_SIZE);
	int r = buf_append(&t->bytes, header, sizeof(header));
	return r < 0 ? r : buf_append(&t->bytes, identity->bytes, DIGEST_SIZE);
}

/* Readers would refuse it. What stays on this machine is loaded before it is kept. */
static bool is_too_dense(const struct pack_tail *t, size_t raw_len, size_t len)
{
	return !t->facts.flags &&
	       raw_len > index_raw_most(len, (uint32_t)t->facts.frame_count);
}

static int put_index(struct pack_tail *t, struct digest *ret_identity)
{
	size_t raw_len, settled, len;
	const uint8_t *raw = index_writer_raw(t->writer, &raw_len, &settled);
	int r = section_put(&t->index, raw + t->compressed, raw_len - t->compressed, true);
	if (r < 0)
		return r;
	const uint8_t *stored = section_seal(&t->index, SKIPPABLE_MAGIC_INDEX, &len);
	if (is_too_dense(t, raw_len, len))
		return -EFBIG;
	r = digest_of(stored, len, ret_identity);
	if (r == 0)
		r = put_identity(t, ret_identity);
	return r < 0 ? r : buf_append(&t->bytes, t->index.bytes.data, t->index.bytes.len);
}

static int put_seek_table(
	struct pack_tail *t, const struct index_frame *frames, size_t digests_len)
{
	CLEANUP(seek_entry_vec_finish) struct seek_entry_vec entries = {0};
	size_t count = t->facts.frame_count + 3;
	int r = seek_entry_vec_reserve(&entries, count);
	if (r < 0)
		return r;
	struct seek_entry *last = entries.data + t->facts.frame_count;
	for (size_t i = 0; i < t->facts.frame_count; i++)
		entries.data[i] = (struct seek_entry){frames[i].stored, frames[i].raw};
	last[0] = (struct seek_entry){(uint32_t)digests_len, 0};
	last[1] = (struct seek_entry){IDENTITY_FRAME_SIZE, 0};
	last[2] = (struct seek_entry){(uint32_t)t->index.bytes.len, 0};
	r = seek_table_write(entries.data, count, &t->bytes);
	return r == -E2BIG || r == -EMSGSIZE ? -EFBIG : r;
}

int pack_tail_finish(struct pack_tail *t, const struct index_frame *frames,
	uint64_t stored_bytes, const struct buf **ret_bytes, struct digest *ret_identity)
{
	struct index_outer digests;
	int r = put_digests(t, stored_bytes, &digests);
	if (r < 0)
		return r;
	size_t digests_len = t->bytes.len;
	index_writer_finish(t->writer, frames, &digests);
	r = put_index(t, ret_identity);
	if (r == 0)
		r = put_seek_table(t, frames, digests_len);
	if (r == 0)
		*ret_bytes = &t->bytes;
	return r;
}

static struct index_facts local_facts(const struct tree *tree, uint64_t flags,
	const struct index_frame *frames, size_t frame_count)
{
	struct index_facts facts = {
		.tree = tree,
		.flags = flags,
		.frame_count = frame_count,
		.outer_count = flags & INDEX_FLAG_PLAIN ? 0 : 1,
	};
	for (size_t i = 0; i < frame_count; i++)
		facts.tar_size += frames[i].raw;
	return facts;
}

static int as_too_big(int r)
{
	return r == -EMSGSIZE ? -EFBIG : r;
}

int pack_tail_local(const struct tree *tree, const struct index_frame *frames,
	size_t frame_count, uint64_t stored_bytes, struct buf *out)
{
	CLEANUP(cleanup_pack_tail) struct pack_tail *t = NULL;
	struct index_facts facts =
		local_facts(tree, INDEX_FLAG_LOOSE, frames, frame_count);
	const struct buf *bytes = NULL;
	struct digest identity;
	int r = pack_tail_new(&facts, &t);
	if (r == 0)
		r = pack_tail_finish(t, frames, stored_bytes, &bytes, &identity);
	return r < 0 ? r : as_too_big(buf_append(out, bytes->data, bytes->len));
}

int pack_plain_index(const struct tree *tree, const struct index_frame *frames,
	size_t frame_count, struct buf *out)
{
	CLEANUP(cleanup_index_writer) struct index_writer *w = NULL;
	CLEANUP(section_finish) struct section s = {0};
	struct index_facts facts = local_facts(
		tree, INDEX_FLAG_LOOSE | INDEX_FLAG_PLAIN, frames, frame_count);
	size_t len, settled;
	int r = index_writer_new(&facts, &w);
	if (r < 0)
		return r;
	index_writer_finish(w, frames, NULL);
	const uint8_t *raw = index_writer_raw(w, &len, &settled);
	r = section_init(&s, facts.flags, len);
	if (r == 0)
		r = section_put(&s, raw, len, true);
	if (r < 0)
		return r;
	return as_too_big(buf_append(out, s.bytes.data + SKIPPABLE_HEADER_SIZE,
		s.bytes.len - SKIPPABLE_HEADER_SIZE));
}
