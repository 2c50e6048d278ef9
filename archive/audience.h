/*
 * An audience: how many readers are being read side by side.
 *
 * Told of each demand and whose it is, it counts who had any in an epoch, which is 256
 * demands of all together. So neither a key that was left nor one that is opened now and
 * then counts for long, and no clock is asked. Pure; not for several threads at once.
 */
#ifndef LARDER_ARCHIVE_AUDIENCE_H
#define LARDER_ARCHIVE_AUDIENCE_H

#include <stdint.h>

struct audience {
	uint64_t epoch;   /* how many have ended */
	unsigned demands; /* in this one */
	unsigned readers; /* with a demand in this one */
	unsigned before;  /* the same, of the last one */
};

/* A reader's ticket: all zero before its first demand. */
struct ticket {
	uint64_t epochs; /* the number of the epoch of its last demand, and one */
};

void audience_count(struct audience *a, struct ticket *t);

/* At least 1. A new epoch knows few at first, so those of the last one count as long. */
unsigned audience_size(const struct audience *a);

#endif
