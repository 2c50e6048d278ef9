/*
 * A source that knows some of its bytes already: the ones that came with the opening.
 *
 * A decorator. A read that lies wholly within the known bytes is served from memory;
 * everything else goes to the inner source. It proves nothing: whoever reads through it
 * checks digests above (fetch/chunk_source.h).
 *
 * Any number of threads may read, also while it forgets what it knows; then the inner source
 * is asked. The lock guards who copies, and is a leaf.
 */
#ifndef LARDER_FETCH_TAIL_SOURCE_H
#define LARDER_FETCH_TAIL_SOURCE_H

#include "fetch/range_source.h"

/* The known bytes are [begin, begin + len) of an object of `size` bytes; they are copied.
 * inner is borrowed and outlives the source; NULL: reads of unknown bytes are -ENODATA.
 * 0, -EINVAL when the range is empty or not within the object, -ENOMEM. */
int tail_source_new(struct range_source *inner, uint64_t size, uint64_t begin,
	const void *bytes, size_t len, struct range_source **ret);

/* Did the known bytes come, or were any of them read, since this was asked last? */
bool tail_source_used(struct range_source *s);

/* How many bytes it knows. */
size_t tail_source_held(struct range_source *s);

/* Forgets them, for good, and returns how many they were. */
size_t tail_source_forget(struct range_source *s);

#endif
