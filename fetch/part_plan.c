#include "fetch/part_plan.h"

#define MIB UINT64_C(1048576)

#define EQUAL_PARTS    5000u /* before they begin to grow */
#define GROWTH_PARTS   500u  /* parts until the size doubles again */
#define EXPECTED_PARTS 4000u /* of an object whose size was guessed right */
#define BLIND_EQUAL    (UINT64_C(64) * MIB) /* equal parts of an unknown number of bytes */
#define FLIGHT_BYTES   (UINT64_C(64) * MIB)
#define FLIGHT_LEAST   3u

static uint64_t clamp(uint64_t size)
{
	if (size < PART_SIZE_MIN)
		return PART_SIZE_MIN;
	return size > PART_SIZE_MAX ? PART_SIZE_MAX : size;
}

struct part_plan part_plan_for(uint64_t expected_size, bool equal)
{
	struct part_plan plan = {.equal = equal};
	if (!expected_size && equal)
		plan.first = BLIND_EQUAL;
	else
		plan.first = clamp((expected_size / EXPECTED_PARTS / MIB + 1) * MIB);
	return plan;
}

uint64_t part_plan_size(const struct part_plan *plan, unsigned number)
{
	if (number < 1 || number > PARTS_MAX)
		return 0;
	if (plan->equal || number <= EQUAL_PARTS)
		return plan->first;
	unsigned doublings = (number - EQUAL_PARTS - 1) / GROWTH_PARTS + 1;
	return clamp(plan->first << doublings);
}

unsigned part_plan_in_flight(uint64_t part_size, unsigned most)
{
	uint64_t fit = FLIGHT_BYTES / part_size;
	unsigned n = fit > FLIGHT_LEAST ? (unsigned)fit : FLIGHT_LEAST;
	if (n > most)
		n = most;
	return n ? n : 1;
}
