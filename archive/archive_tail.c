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

/* Where the last frame before the seek table begins, read off the table's last entry: as
 * a rule the index, so that one more range brings both. */
static uint64_t guess_begin(const struct archive_tail *t, uint64_t table_size)
{
	uint64_t table = t->source->size - table_size;
	size_t len = held(t);
	if (len < SEEK_TABLE_FOOTER_SIZE + SEEK_ENTRY_SIZE)
		return table;
	const unsigned char *entry =
		t->data + len - SEEK_TABLE_FOOTER_SIZE - SEEK_ENTRY_SIZE;
	uint32_t stored = load_le32(entry), raw = load_le32(entry + 4);
	return raw != 0 || stored > table ? table : table - stored;
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

/* The trailing entries are copied, because reaching further moves the bytes. */
static int find_index(struct archive_tail *t, uint64_t *ret_offset, uint32_t *ret_stored,
	struct error *e)
{
	struct seek_table table = {0};
	int r = archive_tail_seek_table(t, &table, e);
	if (r < 0)
		return r;
	if (table.count - table.frames > TRAILING_FRAMES_LIMIT)
		return error_set(e, -EBADMSG, "there are too many frames behind the tar");
	struct seek_entry trailing[TRAILING_FRAMES_LIMIT];
	uint32_t count = table.count - table.frames;
	for (uint32_t i = 0; i < count; i++)
		trailing[i] = seek_table_entry(&table, table.frames + i);
	uint64_t offset = t->source->size - table.size;
	while (count--) {
		uint32_t stored = trailing[count].stored;
		offset -= stored;
		r = reach(t, offset, e);
		if (r == 0)
			r = check_skippable(at(t, offset), stored, offset, e);
		if (r < 0)
			return r;
		if (load_le32(at(t, offset)) != SKIPPABLE_MAGIC_INDEX)
			continue;
		*ret_offset = offset;
		*ret_stored = stored;
		return 0;
	}
	return error_set(e, -ENOMSG, "no frame behind the tar is an index");
}

int archive_tail_index(
	struct archive_tail *t, const void **ret, size_t *ret_len, struct error *e)
{
	uint64_t offset = 0;
	uint32_t stored = 0;
	int r = find_index(t, &offset, &stored, e);
	if (r < 0)
		return r;
	*ret = at(t, offset + SKIPPABLE_HEADER_SIZE);
	*ret_len = stored - SKIPPABLE_HEADER_SIZE;
	return 0;
}
