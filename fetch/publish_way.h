/*
 * Which requests may publish, given what was asked for and what the store honours. Pure.
 *
 * Only a condition that holds when writers race (HONOUR_ATOMIC) makes a publication that
 * may be trusted; one that merely refuses an existing key is used, too, where overwriting
 * was accepted anyway (--unsafe-overwrite).
 */
#ifndef LARDER_FETCH_PUBLISH_WAY_H
#define LARDER_FETCH_PUBLISH_WAY_H

#include "fetch/probe.h"
#include "fetch/publication.h"

#define PUT_SIZE_MAX (UINT64_C(5) << 30) /* bytes in one PUT to S3 */

struct publish_way {
	uint64_t put_max;        /* up to so many bytes it is one PUT */
	bool put_condition;      /* ... with If-None-Match */
	bool multipart;          /* beyond them an upload of parts; else it cannot be */
	bool complete_condition; /* ... with If-None-Match on its end */
	bool look_first; /* an unconditional write looks for the key just before it */
};

/* Has PUBLISH_IF_ABSENT a way: would 'larder commit' publish as it is? */
bool publish_way_is_safe(const struct probe_answer *known);

/* stream_size: what a store with multipart puts into one PUT when parts may be sent while
 * bytes still arrive. known may be NULL for PUBLISH_OVERWRITE. 0, or -EOPNOTSUPP: the
 * store honours no condition that would do. */
int publish_way(enum publish_condition asked, const struct probe_answer *known,
	uint64_t stream_size, struct publish_way *ret);

#endif
