#include "archive/seek_table.h"

#include <errno.h>
#include <inttypes.h>

#include "archive/format.h"

uint64_t seek_table_size(uint32_t count)
{
	return SKIPPABLE_HEADER_SIZE + (uint64_t)count * SEEK_ENTRY_SIZE +
	       SEEK_TABLE_FOOTER_SIZE;
}

static void put_entries(uint8_t *p, const struct seek_entry *entries, size_t count)
{
	for (size_t i = 0; i < count; i++, p += SEEK_ENTRY_SIZE) {
		store_le32(p, entries[i].stored);
		store_le32(p + 4, entries[i].raw);
	}
}

int seek_table_write(const struct seek_entry *entries, size_t count, struct buf *out)
{
	if (count > FRAME_COUNT_LIMIT)
		return -E2BIG;
	uint64_t size = seek_table_size((uint32_t)count);
	int r = buf_reserve(out, size);
	if (r < 0)
		return r;
	uint8_t *p = (uint8_t *)out->data + out->len;
	store_le32(p, SKIPPABLE_MAGIC_SEEKTABLE);
	store_le32(p + 4, (uint32_t)(size - SKIPPABLE_HEADER_SIZE));
	put_entries(p + SKIPPABLE_HEADER_SIZE, entries, count);
	uint8_t *footer = p + size - SEEK_TABLE_FOOTER_SIZE;
	store_le32(footer, (uint32_t)count);
	footer[4] = 0;
	store_le32(footer + 5, SEEK_TABLE_FOOTER_MAGIC);
	out->len += size;
	out->data[out->len] = '\0';
	return 0;
}

int seek_table_measure(const void *footer, uint64_t object_size, uint64_t *ret_size)
{
	const uint8_t *p = footer;
	if (object_size < SEEK_TABLE_FOOTER_SIZE)
		return -ENOMSG;
	if (load_le32(p + 5) != SEEK_TABLE_FOOTER_MAGIC || p[4] != 0)
		return -ENOMSG;
	uint32_t count = load_le32(p);
	if (count > FRAME_COUNT_LIMIT || seek_table_size(count) > object_size)
		return -EBADMSG;
	*ret_size = seek_table_size(count);
	return 0;
}

/* A frame of no raw bytes could only be confused with a skippable one. */
static int check_entry(
	const struct seek_table *t, uint32_t i, uint32_t *frames, struct error *e)
{
	struct seek_entry s = seek_table_entry(t, i);
	if (s.stored < SKIPPABLE_HEADER_SIZE)
		return error_set(e, -EBADMSG,
			"the seek table's entry %" PRIu32 " is of %" PRIu32 " bytes", i,
			s.stored);
	if (s.raw > FRAME_SIZE_LIMIT)
		return error_set(e, -EBADMSG,
			"frame %" PRIu32 " would decompress to %" PRIu32 " bytes", i,
			s.raw);
	if (s.raw && *frames < i)
		return error_set(e, -EBADMSG,
			"the seek table has frame %" PRIu32 " after a skippable one", i);
	if (s.raw)
		*frames = i + 1;
	return 0;
}

/* Cannot overflow: at most 2^27 times 2^32. */
static int check_entries(struct seek_table *t, uint64_t object_size, struct error *e)
{
	uint64_t stored = 0;
	for (uint32_t i = 0; i < t->count; i++) {
		int r = check_entry(t, i, &t->frames, e);
		if (r < 0)
			return r;
		struct seek_entry s = seek_table_entry(t, i);
		stored += s.stored;
		t->frames_raw += s.raw;
		t->frames_stored += s.raw ? s.stored : 0;
	}
	if (stored + t->size != object_size)
		return error_set(e, -EBADMSG,
			"the seek table is for an object of %" PRIu64
			" bytes, but this one has %" PRIu64,
			stored + t->size, object_size);
	return 0;
}

int seek_table_parse(const void *data, size_t len, uint64_t object_size,
	struct seek_table *ret, struct error *e)
{
	if (len < SEEK_TABLE_FOOTER_SIZE)
		return error_set(e, -EINVAL, "%zu bytes hold no seek table", len);
	const uint8_t *end = (const uint8_t *)data + len;
	struct seek_table t = {0};
	int r = seek_table_measure(end - SEEK_TABLE_FOOTER_SIZE, object_size, &t.size);
	if (r < 0)
		return error_set(e, r,
			r == -ENOMSG
				? "there is no seek table at the end"
				: "the seek table claims to be longer than the object");
	if (t.size > len)
		return error_set(
			e, -EINVAL, "the seek table needs %" PRIu64 " bytes", t.size);
	const uint8_t *begin = end - t.size;
	if (load_le32(begin) != SKIPPABLE_MAGIC_SEEKTABLE ||
		load_le32(begin + 4) != t.size - SKIPPABLE_HEADER_SIZE)
		return error_set(e, -EBADMSG,
			"the seek table does not begin where its "
			"number of entries says");
	t.entries = begin + SKIPPABLE_HEADER_SIZE;
	t.count = load_le32(end - SEEK_TABLE_FOOTER_SIZE);
	r = check_entries(&t, object_size, e);
	if (r < 0)
		return r;
	*ret = t;
	return 0;
}
