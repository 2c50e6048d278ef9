/*
 * A source that knows some of its bytes already: the ones that came with the opening.
 *
 * A decorator. A read that lies wholly within the known bytes is served from memory;
 * everything else goes to the inner source. It proves nothing: whoever reads through it
 * checks digests above (fetch/chunk_source.h).
 *
 * Immutable, so any number of threads may read.
 */
#ifndef LARDER_FETCH_TAIL_SOURCE_H
#define LARDER_FETCH_TAIL_SOURCE_H

#include "fetch/range_source.h"

/* The known bytes are [begin, begin + len) of an object of `size` bytes; they are copied.
 * inner is borrowed and outlives the source; NULL: reads of unknown bytes are -ENODATA.
 * 0, -EINVAL when the range is not within the object, -ENOMEM. */
int tail_source_new(struct range_source *inner, uint64_t size, uint64_t begin,
	const void *bytes, size_t len, struct range_source **ret);

#endif
