/*
 * The chunk cache: bytes by their SHA-256, on local disk, shared by processes.
 *
 *     DIR/chunks/xx/<64 hex digits>   one chunk; xx: its first two digits
 *                                     (or a pack, fetch/chunk_pack.h: one file under the
 *                                     names of all chunks that came together)
 *     DIR/tmp/                        chunks being written
 *     DIR/size                        the sum of their sizes (fetch/chunk_tally.h)
 *     DIR/lock                        held by the process that evicts
 *     DIR/claims                      who fetches what (fetch/chunk_claims.h)
 *     DIR/CACHEDIR.TAG                what this is (fetch/base/cache_folder.h)
 *
 * A chunk is written under a temporary name and renamed into place, so that it is whole
 * or absent whenever anybody is killed. DIR is the caller's own, and closed to others.
 * Nothing is fsynced: what a power cut damages fails its digest and is fetched again.
 *
 * Use is recorded in the file's mtime, refreshed when older than a minute. When the sum
 * passes the limit, one process (the holder of DIR/lock, tried, never waited for) removes
 * the least recently used down to 90 % (fetch/chunk_evict.h), in a thread of its own, so
 * that no reader waits for it. Until it is done, puts begin up to an eighth above the
 * limit, and are dropped beyond; what they add behind its back has it look again.
 *
 * On a disk that is full, read-only or fails, and after DIR was removed, this process stops
 * writing, and tells so; reads go on. A minute later one put opens DIR anew by its path, with
 * the checks of an opening, and tries; when it is written, writing goes on, else the next try
 * is another minute later.
 *
 * All functions but chunk_cache_on_pause() are thread-safe. The one mutex guards the
 * evictor's handle, and the tally has one for its numbers; both are leaves and not held over
 * I/O. The evicting thread is joined by chunk_cache_free(), which therefore may take as long
 * as an eviction: about a second for 100,000 chunks.
 */
#ifndef LARDER_FETCH_CHUNK_CACHE_H
#define LARDER_FETCH_CHUNK_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fetch/base/cleanup.h"
#include "fetch/base/digest.h"
#include "fetch/base/error.h"
#include "fetch/chunk_proof.h"

struct chunk_cache;

/* Opens or makes the cache at dir, at most max_bytes of chunks (0: no limit). Counts what is
 * there, and removes what is too much, when nobody has counted it yet.
 * 0; -errno of cache_folder_open() and of making DIR/chunks, -ENOMEM. */
int chunk_cache_open(
	const char *dir, uint64_t max_bytes, struct chunk_cache **ret, struct error *e);
void chunk_cache_free(struct chunk_cache *c);
DEFINE_CLEANUP(cleanup_chunk_cache, struct chunk_cache, chunk_cache_free);

/* Writing pauses, for the reason `code`; 0: it goes on. Called by any thread that puts, or by
 * the evictor, with no lock held. */
typedef void chunk_cache_pause_fn(void *arg, const char *dir, int code);

/* To be called before anything is put. 0; -errno: writing pauses already, for this reason. */
int chunk_cache_on_pause(struct chunk_cache *c, chunk_cache_pause_fn *fn, void *arg);

/* Reads the chunk into buf when it is there, exactly as long as it has to be, and proved.
 * 0; -ENOENT: not there, or not readable; -EBADMSG: it was there, wrong, and has been
 * removed. On failure buf may hold anything. */
int chunk_cache_get(struct chunk_cache *c, const struct chunk *want, void *buf);

/* Keeps a chunk whose digest the caller has checked. Failures are nobody's business. */
void chunk_cache_put(
	struct chunk_cache *c, const struct digest *d, const void *data, size_t len);

/* Keeps chunks that lie one behind the other, as chunk_cache_put() does with one:
 * [offsets[i], offsets[i + 1]) of them, less offsets[0], is at data. Making a file costs
 * more than writing it, so they share a few. */
void chunk_cache_put_run(struct chunk_cache *c, const struct digest *digests,
	const uint64_t *offsets, size_t count, const void *data);

/* Is a file of this name there? Not proved. */
bool chunk_cache_has(struct chunk_cache *c, const struct digest *d);

/* Tells other processes that this one is about to fetch chunks of a table (any number
 * that stands for it), so that they may leave them to it: claims_take() and
 * claims_drop(). */
size_t chunk_cache_claim(struct chunk_cache *c, uint64_t table, size_t first,
	size_t count, size_t *ret_busy);
void chunk_cache_unclaim(
	struct chunk_cache *c, uint64_t table, size_t first, size_t count);

/* False while writing pauses. */
bool chunk_cache_writable(struct chunk_cache *c);

/* Of bytes that are put from now on, so many stay until the next ones push them out; 0: none,
 * UINT64_MAX: all. Takes no lock. */
uint64_t chunk_cache_room(struct chunk_cache *c);

#endif
