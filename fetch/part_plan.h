/*
 * How large the parts of a multipart upload are.
 *
 * S3 allows 10,000 parts of 5 MiB to 5 GiB each (the last may be smaller) and 5 TiB in
 * all. When the size is known the parts are equal, and small enough that several are
 * under way at once; when the guess was too low, or there was none, the later parts grow,
 * so that 5 TiB always fit. Cloudflare R2 wants all parts but the last to be equal: there
 * they never grow, and what fits is bounded. Pure.
 */
#ifndef LARDER_FETCH_PART_PLAN_H
#define LARDER_FETCH_PART_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#define PARTS_MAX     10000u
#define PART_SIZE_MIN (UINT64_C(8) << 20) /* bytes */
#define PART_SIZE_MAX (UINT64_C(4) << 30) /* bytes */

struct part_plan {
	uint64_t first; /* bytes of the first part */
	bool equal;     /* so are all but the last */
};

/* expected_size in bytes; 0: unknown. */
struct part_plan part_plan_for(uint64_t expected_size, bool equal);

/* Bytes of part `number`, from 1 to PARTS_MAX; 0 past that. */
uint64_t part_plan_size(const struct part_plan *plan, unsigned number);

/* How many parts of this size may be in memory at once, so that it stays within bounds
 * (some 64 MiB, or 3 parts when they are large); at least 1, at most `most`. */
unsigned part_plan_in_flight(uint64_t part_size, unsigned most);

#endif
