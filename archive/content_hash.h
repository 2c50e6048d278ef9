/*
 * SHA-256 of one large file, whose pieces several threads read.
 *
 * Pieces are hashed in the order of their offsets: whoever comes early waits for its
 * turn. Pieces are handed to threads in that order too, so the one waited for is always
 * at work. The mutex guards the turn only; the bytes are hashed without it, by the turn's
 * holder.
 */
#ifndef LARDER_ARCHIVE_CONTENT_HASH_H
#define LARDER_ARCHIVE_CONTENT_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "fetch/base/cleanup.h"
#include "fetch/base/digest.h"

struct content_hash;

/* size: bytes of the file, at least 1. NULL when out of memory. */
struct content_hash *content_hash_new(uint64_t size);

/* Nobody may be waiting. */
void content_hash_free(struct content_hash *h);

/* Waits until all before offset is hashed, then hashes data. 0; 1 when that was the
 * file's end, with *ret written; -ECANCELED after content_hash_fail(); -ENOMEM. */
int content_hash_add(struct content_hash *h, uint64_t offset, const void *data,
	size_t len, struct digest *ret);

/* A piece will never come: all who wait or will wait get -ECANCELED. */
void content_hash_fail(struct content_hash *h);

#endif
