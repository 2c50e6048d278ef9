/*
 * A pack: chunks that were fetched together, in one file of the chunk cache.
 *
 *     chunk, chunk, ...
 *     for each: SHA-256 (32 bytes), offset (u64), length (u64)
 *     number of chunks (u32), 0 (u32), "LARDERPK"
 *
 * All integers are little-endian. The file is found under the name of each chunk in it (a
 * hard link). A file that is as long as the chunk looked for is that chunk alone, and has
 * no table. Nothing is believed of a table but where to look: the chunk's digest decides.
 */
#ifndef LARDER_FETCH_CHUNK_PACK_H
#define LARDER_FETCH_CHUNK_PACK_H

#include <stddef.h>
#include <stdint.h>

#include "fetch/base/digest.h"

#define PACK_CHUNKS_MAX 64 /* in one file */

/* Writes count <= PACK_CHUNKS_MAX chunks and their table to the empty file fd; offsets and
 * data as in chunk_cache_put_run(). 0 or -errno. */
int chunk_pack_write(int fd, const struct digest *digests, const uint64_t *offsets,
	size_t count, const void *data, size_t *ret_size);

/* Where in the pack (size bytes) the chunk of this digest and length lies. 0; -EBADMSG: the
 * table is none, or does not have it; -errno of pread(2). */
int chunk_pack_find(
	int fd, uint64_t size, const struct digest *d, size_t len, uint64_t *ret_offset);

#endif
