/*
 * One pass over a cache directory: what does it hold, and what of that must go.
 *
 * Use is recorded by the minute (chunk_cache.h), so a histogram by minutes of age knows
 * as much about the order of use as a sorted list of all files would, in constant memory
 * (512 KiB) whatever the cache holds. The first pass over the names fills it; when the
 * sum passes the limit, the second removes the oldest minutes until 90 % of the limit is
 * left, of the last of those minutes in no particular order. The names of a pack
 * (fetch/chunk_pack.h) go together.
 *
 * What counts is files, not names. Of those with several names, packs and what somebody
 * has linked elsewhere (cp -al), the numbers are kept in mind during a pass, 16 to 32
 * bytes each: so each counts once and whole. Its space may not be free when its last name
 * here has gone, but then it is not in the cache any more.
 */
#ifndef LARDER_FETCH_CHUNK_EVICT_H
#define LARDER_FETCH_CHUNK_EVICT_H

#include <stdint.h>

struct evict_result {
	uint64_t bytes;   /* left, of chunks */
	uint64_t chunks;  /* left */
	uint64_t removed; /* chunks */
};

/* What a pass leaves of a limit that it finds passed. */
static inline uint64_t chunk_evict_target(uint64_t limit)
{
	return limit / 10 * 9;
}

/* chunks is a directory's descriptor (borrowed); limit in bytes, 0: remove nothing;
 * now_s: seconds since the epoch. 0; -ENOMEM; -errno of reading directories, or of
 * unlink(2) when that made it miss its target. */
int chunk_evict(int chunks, uint64_t limit, int64_t now_s, struct evict_result *ret);

#define TEMP_NAME_SIZE 34 /* two numbers of 16 hexadecimal digits, '-', NUL */

/* Names a temporary file: the nth of a session, which is a random number. */
void chunk_temp_name(uint64_t session, uint64_t n, char ret[static TEMP_NAME_SIZE]);

/* Removes temporary files older than an hour, known by their names: writing one takes a
 * moment, so their writers are dead; a living one would only lose its chunk. */
void chunk_evict_temporary(int tmp, int64_t now_s);

#endif
