/*
 * A cache folder, opened: the descriptors that a chunk cache works with.
 *
 *     DIR   DIR/chunks   DIR/lock   DIR/claims   DIR/size
 *
 * The last three are for writing. Where they cannot be opened DIR itself may stand in for
 * them: it can be locked by flock(2), and read and written as a file it cannot be.
 *
 * The folder may be removed, or another disk mounted on it, while many threads use it. So it
 * can be opened anew, and put under the old numbers (dup3(2)): every call after that goes to
 * the new one, and no thread ever holds a number that stands for something else. Who is
 * between two calls may look for his temporary file in the other folder, and lose a chunk.
 */
#ifndef LARDER_FETCH_CHUNK_FOLDER_H
#define LARDER_FETCH_CHUNK_FOLDER_H

#include "fetch/base/error.h"

struct chunk_folder {
	int dir, chunks;         /* owned; -1: none */
	int evict, claims, size; /* owned, for writing: DIR/lock and so on; -1: none */
};

#define CHUNK_FOLDER_NONE ((struct chunk_folder){-1, -1, -1, -1, -1})
#define CHUNK_FOLDER_TEMP "tmp" /* below DIR */

/* Opens DIR, and chunks in it, making both where they are missing, after ret was
 * CHUNK_FOLDER_NONE; it is to be finished on failure too. 0; -errno of cache_folder_open(),
 * or of making DIR/chunks. */
int chunk_folder_open(const char *dir, struct chunk_folder *ret, struct error *e);

/* Opens or makes what writing needs; DIR/tmp is swept, and DIR tagged. 0 or -errno, then
 * some of it may be there. */
int chunk_folder_open_for_writing(struct chunk_folder *f);

/* Lets DIR stand in for what is missing. 0 or -errno. */
int chunk_folder_stand_in(struct chunk_folder *f);

/* Puts `fresh` under the numbers of f, but for DIR/size, which belongs to the tally. 0; -errno:
 * some of it is not there yet. */
int chunk_folder_replace(struct chunk_folder *f, const struct chunk_folder *fresh);

void chunk_folder_finish(struct chunk_folder *f);

#endif
