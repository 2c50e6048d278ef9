/*
 * Twins: files of a newer generation with the content of an older one's file.
 *
 * A reader of a superseded generation whose bytes are out of reach is served from a twin.
 * A twin is looked for by content digest (128 bits of SHA-256), the entry of the same
 * path first, and then hashed whole before a byte of it is handed on, so that an archive
 * with lying digests deceives nobody. What was proved is remembered, a few hundred pairs;
 * the memory for it is taken with the first, since most keys are never overwritten.
 *
 * The lock guards the memory and is a leaf.
 */
#ifndef LARDER_FS_TWINS_H
#define LARDER_FS_TWINS_H

#include "fs/generation.h"

#define TWINS_REMEMBERED 256

struct twins {
	pthread_mutex_t lock;
	struct twin {
		uint32_t old_slot; /* 0: empty */
		uint32_t old_entry;
		uint32_t new_slot;
		uint32_t new_entry;
	} * known; /* owned; TWINS_REMEMBERED; NULL: none so far; under lock */
};

void twins_init(struct twins *t);
void twins_finish(struct twins *t);

/* The caller has a reference on both. 0; -ENOENT: there is none, or the old generation's
 * digests are not at hand; -ESTALE: the newer one is superseded as well; -EBADMSG: the
 * digests lie; range_source_read()'s errors. */
int twins_find(struct twins *t, const struct call *call, struct generation *old,
	uint32_t entry, struct generation *newer, uint32_t *ret, struct error *e);

#endif
