#include "fetch/chunk_pack.h"

#include <errno.h>
#include <string.h>

#include "fetch/base/bytes.h"
#include "fetch/base/io.h"

#define MAGIC      "LARDERPK"
#define ROW_SIZE   (DIGEST_SIZE + 16)
#define TAIL_SIZE  16
#define TABLE_SIZE (PACK_CHUNKS_MAX * ROW_SIZE + TAIL_SIZE)

int chunk_pack_write(int fd, const struct digest *digests, const uint64_t *offsets,
	size_t count, const void *data, size_t *ret_size)
{
	uint8_t table[TABLE_SIZE] = {0}, *at = table;
	for (size_t i = 0; i < count; i++, at += ROW_SIZE) {
		memcpy(at, digests[i].bytes, DIGEST_SIZE);
		store_le64(at + DIGEST_SIZE, offsets[i] - offsets[0]);
		store_le64(at + DIGEST_SIZE + 8, offsets[i + 1] - offsets[i]);
	}
	store_le32(at, (uint32_t)count);
	memcpy(at + 8, MAGIC, 8);
	size_t body = (size_t)(offsets[count] - offsets[0]);
	size_t tail = (size_t)(at - table) + TAIL_SIZE;
	int r = write_fully(fd, data, body);
	if (r == 0)
		r = write_fully(fd, table, tail);
	if (r == 0)
		*ret_size = body + tail;
	return r;
}

/* A row for the chunk, within a body of `body` bytes. */
static bool row_fits(const uint8_t *row, const struct digest *d, size_t len,
	uint64_t body, uint64_t *ret_offset)
{
	uint64_t offset = load_le64(row + DIGEST_SIZE);
	if (memcmp(row, d->bytes, DIGEST_SIZE) != 0 ||
		load_le64(row + DIGEST_SIZE + 8) != len || len > body ||
		offset > body - len)
		return false;
	*ret_offset = offset;
	return true;
}

int chunk_pack_find(
	int fd, uint64_t size, const struct digest *d, size_t len, uint64_t *ret_offset)
{
	uint8_t table[TABLE_SIZE];
	size_t have = size < sizeof(table) ? (size_t)size : sizeof(table);
	if (have < TAIL_SIZE)
		return -EBADMSG;
	int r = pread_exactly(fd, table, have, size - have);
	if (r < 0)
		return r;
	const uint8_t *tail = table + have - TAIL_SIZE;
	size_t count = load_le32(tail);
	if (memcmp(tail + 8, MAGIC, 8) != 0 || count > (have - TAIL_SIZE) / ROW_SIZE)
		return -EBADMSG;
	uint64_t body = size - TAIL_SIZE - count * ROW_SIZE;
	for (size_t i = 1; i <= count; i++)
		if (row_fits(tail - i * ROW_SIZE, d, len, body, ret_offset))
			return 0;
	return -EBADMSG;
}
