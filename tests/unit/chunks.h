/*
 * Chunks for tests of the chunk cache: number n has CHUNK bytes, made from n.
 */
#ifndef LARDER_TESTS_UNIT_CHUNKS_H
#define LARDER_TESTS_UNIT_CHUNKS_H

#include "fetch/chunk_cache.h"
#include "tests/unit/scratch.h"

#define CHUNK 10000 /* bytes */

void chunks_make(unsigned n, unsigned char data[static CHUNK], struct digest *ret);

/* The cache in the folder `path`, opened; fails the test when it cannot be. */
struct chunk_cache *chunks_open(const char *path, uint64_t max);

void chunks_put(struct chunk_cache *c, unsigned n);
/* Of at most 100, as they come in one range. */
void chunks_put_run(struct chunk_cache *c, unsigned first, unsigned count);
/* What chunk_cache_get() says; when that is 0, it was the right chunk. */
int chunks_get(struct chunk_cache *c, unsigned n);
bool chunks_has(struct chunk_cache *c, unsigned n);

/* Where the cache in dir keeps it, in one of scratch_path()'s buffers. */
const char *chunks_path(const struct scratch *dir, unsigned n);

/* Bytes of all files in dir/chunks, each name counted. */
uint64_t chunks_bytes(const struct scratch *dir);

/* The sum that a cache's file `size` records; UINT64_MAX: none. */
uint64_t chunks_recorded(const char *size);

/* Was used so many seconds ago. */
void chunks_set_age(const char *path, int64_t seconds);

#endif
