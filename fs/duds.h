/*
 * Names that led to nothing a moment ago, and why, so that each look at one is no request.
 *
 * A dud is forgotten when its time is over, as a rule DUD_NS after the store was asked;
 * while it is remembered, noting it again changes nothing, or who looks often would never
 * get the store asked. At most DUDS_MOST are kept: a new one takes the place of the one
 * that would be forgotten first. Without memory for it nothing is remembered.
 *
 * Not locked: the keyspace's lock guards it. Times are monotonic nanoseconds, and passed
 * in.
 */
#ifndef LARDER_FS_DUDS_H
#define LARDER_FS_DUDS_H

#include <stdint.h>

#include "fetch/base/call.h"
#include "fetch/base/error.h"

#define DUD_NS    (5 * NS_PER_SECOND)
#define DUDS_MOST 256

/* Zeroed at the start. */
struct duds {
	struct dud *at[DUDS_MOST]; /* owned; NULL: a free place */
};

void duds_finish(struct duds *d);

/* key led to code (a negative errno), and the words of *why, or none. They are copied. */
void duds_note(struct duds *d, uint64_t now_ns, uint64_t until_ns, const char *key,
	int code, const struct error *why);

/* What was noted of key, code and words; borrowed until the next note. NULL: nothing, or
 * it is forgotten. */
const struct error *duds_find(const struct duds *d, uint64_t now_ns, const char *key);

#endif
