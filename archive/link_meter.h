/*
 * What the way to the bytes is like, learned from the range reads that were made.
 *
 * A read of n bytes is taken to last round_trip + n / bytes_per_s. The two are fitted to
 * the reads seen, the newer the weightier (each halves what those 20 before it count).
 * Pure; not for several threads at once.
 */
#ifndef LARDER_ARCHIVE_LINK_METER_H
#define LARDER_ARCHIVE_LINK_METER_H

#include <stdint.h>

struct link_facts {
	uint64_t round_trip_ns;
	uint64_t bytes_per_s; /* of one range read */
	unsigned concurrency; /* range reads that may be under way at once */
};

/* Before anything is known: a cloud's object store from a machine in the same region. */
#define LINK_FACTS_UNKNOWN                                                               \
	((struct link_facts){                                                            \
		.round_trip_ns = 20000000, .bytes_per_s = 50000000, .concurrency = 8})

/* Zeroed: nothing seen. Weighted sums. */
struct link_meter {
	double weight;
	double bytes, ns;
	double bytes_squared, bytes_ns;
};

void link_meter_add(struct link_meter *m, uint64_t bytes, uint64_t ns);

/* *ret: round trip and rate; its concurrency is left alone. With nothing seen, those of
 * LINK_FACTS_UNKNOWN. Both are always at least 1. */
void link_meter_estimate(const struct link_meter *m, struct link_facts *ret);

#endif
