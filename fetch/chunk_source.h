/*
 * A source whose bytes are proved: chunk by chunk, by SHA-256, with a cache between.
 *
 * A decorator over another range source. The chunk table cuts the first part of the
 * object into consecutive chunks and gives each one's digest (for an archive: its zstd
 * frames as stored). A read must begin and end at chunk boundaries. Each chunk is looked
 * for in the chunk cache, and known again there by its seal (chunk_proof.h) when it has been
 * proved before; neighbouring chunks that are missing there are read from the
 * inner source as one range. Whatever the way, a chunk is handed on only when its digest
 * is right:
 *
 *   cache, wrong digest    the cache entry is dropped, the chunk is fetched
 *   inner, wrong digest    fetched once more, alone; wrong again: -EBADMSG, naming the
 *                          chunk, its offset and the object, and the inner source is
 *                          condemned
 *   inner -ESTALE/-ENOENT  the fallback is asked for each chunk by digest; what it cannot
 *                          give leaves the inner error
 *
 * Reads from many threads at once are allowed; the source itself holds no lock.
 */
#ifndef LARDER_FETCH_CHUNK_SOURCE_H
#define LARDER_FETCH_CHUNK_SOURCE_H

#include "fetch/base/digest.h"
#include "fetch/range_source.h"

struct chunk_cache;

/* Borrowed arrays that outlive the source. Chunk i is [offsets[i], offsets[i + 1]). */
struct chunk_table {
	size_t count;
	const uint64_t *offsets;      /* count + 1, ascending, from 0 */
	const struct digest *digests; /* count; NULL: nothing is known, so nothing is proved or
	                                 kept, and reads may begin and end anywhere */
};

/* Counters since the source was made; read with chunk_source_stats(). */
struct chunk_stats {
	uint64_t cache_hits;   /* chunks */
	uint64_t cache_misses; /* chunks */
	uint64_t cache_damaged;
	uint64_t fetched_bytes; /* asked of the inner source, again-fetches included */
	uint64_t refetched;     /* chunks asked for again after a wrong digest */
	uint64_t fallback_hits; /* chunks the fallback had */
};

/* Fills buf with the len bytes whose digest is `digest`, from anywhere; -ENOENT when it
 * has none. The bytes are checked by the caller. */
typedef int chunk_fallback_fn(void *arg, const struct call *call,
	const struct digest *digest, size_t len, void *buf);

/* inner, table and cache (NULL: none) are borrowed and outlive the source; `name` is
 * copied, for errors. 0, -EINVAL when the table does not fit into inner, -ENOMEM. */
int chunk_source_new(struct range_source *inner, const struct chunk_table *table,
	struct chunk_cache *cache, const char *name, struct range_source **ret,
	struct error *e);

/* To be called before the first read; s was made by chunk_source_new(). */
void chunk_source_set_fallback(struct range_source *s, chunk_fallback_fn *fn, void *arg);

void chunk_source_stats(struct range_source *s, struct chunk_stats *ret);

/* For reading ahead, where several processes share a cache: claims chunks
 * [first, first + n) of count, n as large as can be, so that the others leave them to
 * this one; *ret_busy: how many behind them another is fetching. To be unclaimed once
 * read. Without a cache nobody else has any. */
size_t chunk_source_claim(
	struct range_source *s, size_t first, size_t count, size_t *ret_busy);
void chunk_source_unclaim(struct range_source *s, size_t first, size_t count);

/* How many bytes of chunks that are read from now on are kept: chunk_cache_room(). */
uint64_t chunk_source_room(struct range_source *s);

/* True when chunk i is in the cache now (no digest computed): for prefetch planning. */
bool chunk_source_cached(struct range_source *s, size_t i);

#endif
