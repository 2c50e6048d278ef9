#include "archive/archive_tail.h"

#include <inttypes.h>

#include "archive/format.h"
#include "fetch/base/bytes.h"

void archive_tail_init(struct archive_tail *t, struct range_source *source,
	const struct call *call, const void *data, size_t len)
{
	*t = (struct archive_tail){
		.source = source,
		.call = call,
		.data = data,
		.begin = source->size - len,
	};
}

void archive_tail_finish(struct archive_tail *t)
{
	free(t->grown);
	t->grown = NULL;
}

static size_t held(const struct archive_tail *t)
{
	return (size_t)(t->source->size - t->begin);
}

/* Makes the tail begin at `from` or before. */
static int reach(struct archive_tail *t, uint64_t from, struct error *e)
{
	if (from >= t->begin)
		return 0;
	size_t more = (size_t)(t->begin - from), had = held(t);
	CLEANUP(cleanup_free) unsigned char *bigger = malloc(more + had);
	if (!bigger)
		return error_set(e, -ENOMEM, "no memory for the index");
	int r = range_source_read(t->source, t->call, from, more, bigger, e);
	if (r < 0)
		return r;
	if (had)
		memcpy(bigger + more, t->data, had);
	free(t->grown);
	t->grown = steal_pointer(bigger);
	t->data = t->grown;
	t->begin = from;
	return 0;
}

/* Borrowed; [offset, end of the object) was reached. */
static const unsigned char *at(const struct archive_tail *t, uint64_t offset)
{
	return t->data + (offset - t->begin);
}

/* Where the identity begins if the last frame before the seek table, whose length is read
 * off the table's last entry, is the index, as it is as a rule: so one more range brings
 * all. */
static uint64_t guess_begin(const struct archive_tail *t, uint64_t table_size)
{
	uint64_t table = t->source->size - table_size;
	size_t len = held(t);
	if (len < SEEK_TABLE_FOOTER_SIZE + SEEK_ENTRY_SIZE)
		return table;
	const unsigned char *entry =
		t->data + len - SEEK_TABLE_FOOTER_SIZE - SEEK_ENTRY_SIZE;
	uint32_t stored = load_le32(entry), raw = load_le32(entry + 4);
	uint64_t back = (uint64_t)stored + IDENTITY_FRAME_SIZE;
	return raw != 0 || back > table ? table : table - back;
}

int archive_tail_seek_table(
	struct archive_tail *t, struct seek_table *ret, struct error *e)
{
	uint64_t size = t->source->size, table_size = 0;
	if (size < SEEK_TABLE_FOOTER_SIZE)
		return error_set(e, -ENOMSG, "there is no seek table at the end");
	int r = reach(t, size - SEEK_TABLE_FOOTER_SIZE, e);
	if (r < 0)
		return r;
	r = seek_table_measure(at(t, size - SEEK_TABLE_FOOTER_SIZE), size, &table_size);
	if (r == 0 && size - table_size < t->begin) {
		r = reach(t, guess_begin(t, table_size), e);
		if (r < 0)
			return r;
	}
	return seek_table_parse(t->data, held(t), size, ret, e);
}

static int check_skippable(
	const unsigned char *header, uint32_t stored, uint64_t offset, struct error *e)
{
	uint32_t magic = load_le32(header);
	if ((magic & ~UINT32_C(15)) == SKIPPABLE_MAGIC_DIGESTS &&
		load_le32(header + 4) == stored - SKIPPABLE_HEADER_SIZE)
		return 0;
	return error_set(e, -EBADMSG,
		"at byte %" PRIu64 " there is no skippable frame of %" PRIu32 " bytes",
		offset, stored);
}

/* The skippable frames behind the tar, as the seek table has them: a copy, because reaching
 * further moves the bytes. */
struct trailing {
	struct seek_entry entries[TRAILING_FRAMES_LIMIT];
	uint32_t count;
	uint64_t end; /* of the last one, in the object */
};

static int find_trailing(struct archive_tail *t, struct trailing *ret, struct error *e)
{
	struct seek_table table = {0};
	int r = archive_tail_seek_table(t, &table, e);
	if (r < 0)
		return r;
	if (table.count - table.frames > TRAILING_FRAMES_LIMIT)
		return error_set(e, -EBADMSG, "there are too many frames behind the tar");
	ret->count = table.count - table.frames;
	for (uint32_t i = 0; i < ret->count; i++)
		ret->entries[i] = seek_table_entry(&table, table.frames + i);
	ret->end = t->source->size - table.size;
	return 0;
}

struct found_index {
	uint64_t offset; /* of the skippable frame */
	uint32_t stored; /* bytes of it */
	bool proved;     /* the frame before it, held as well, is as long as an identity's */
};

static int find_index(struct archive_tail *t, struct found_index *ret, struct error *e)
{
	struct trailing trailing = {0};
	int r = find_trailing(t, &trailing, e);
	if (r < 0)
		return r;
	uint64_t offset = trailing.end;
	for (uint32_t i = trailing.count; i--;) {
		uint32_t stored = trailing.entries[i].stored;
		offset -= stored;
		bool proved = i && trailing.entries[i - 1].stored == IDENTITY_FRAME_SIZE;
		r = reach(t, proved ? offset - IDENTITY_FRAME_SIZE : offset, e);
		if (r == 0)
			r = check_skippable(at(t, offset), stored, offset, e);
		if (r < 0)
			return r;
		if (load_le32(at(t, offset)) != SKIPPABLE_MAGIC_INDEX)
			continue;
		ret->offset = offset;
		ret->stored = stored;
		ret->proved = proved;
		return 0;
	}
	return error_set(e, -ENOMSG, "no frame behind the tar is an index");
}

/* Another frame of that length says nothing of the index. */
static int check_identity(struct archive_tail *t, uint64_t offset,
	const struct digest *identity, struct error *e)
{
	int r = check_skippable(at(t, offset), IDENTITY_FRAME_SIZE, offset, e);
	if (r < 0 || load_le32(at(t, offset)) != SKIPPABLE_MAGIC_IDENTITY)
		return r;
	if (memcmp(at(t, offset) + SKIPPABLE_HEADER_SIZE, identity->bytes, DIGEST_SIZE))
		return error_set(e, -EBADMSG, "the index is not what was written");
	return 0;
}

int archive_tail_index(struct archive_tail *t, const void **ret, size_t *ret_len,
	struct digest *ret_identity, struct error *e)
{
	struct found_index found = {0};
	int r = find_index(t, &found, e);
	if (r < 0)
		return r;
	*ret_len = found.stored - SKIPPABLE_HEADER_SIZE;
	r = digest_of(at(t, found.offset + SKIPPABLE_HEADER_SIZE), *ret_len, ret_identity);
	if (r < 0)
		return error_set(e, r, "no memory for the index");
	if (found.proved)
		r = check_identity(
			t, found.offset - IDENTITY_FRAME_SIZE, ret_identity, e);
	*ret = at(t, found.offset + SKIPPABLE_HEADER_SIZE);
	return r;
}

int archive_tail_read_again(struct archive_tail *t, bool *ret_same, struct error *e)
{
	size_t len = held(t);
	CLEANUP(cleanup_free) unsigned char *fresh = malloc(len ? len : 1);
	if (!fresh)
		return error_set(e, -ENOMEM, "no memory for the index");
	int r = range_source_read(t->source, t->call, t->begin, len, fresh, e);
	if (r < 0)
		return r;
	*ret_same = !len || memcmp(fresh, t->data, len) == 0;
	free(t->grown);
	t->grown = steal_pointer(fresh);
	t->data = t->grown;
	return 0;
}
