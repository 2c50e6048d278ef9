#include "fetch/hedge.h"

#include <stdlib.h>
#include <string.h>

#define LATE_FACTOR   2  /* late is so many times what 95 of 100 need */
#define LEARN_EVERY   16 /* samples between two looks at all of them */
#define LATE_PER_CENT 95

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

static void look_back(struct hedge *h)
{
	uint64_t sorted[HEDGE_SAMPLES];
	unsigned n = h->count < HEDGE_SAMPLES ? h->count : HEDGE_SAMPLES;
	memcpy(sorted, h->samples, n * sizeof(sorted[0]));
	qsort(sorted, n, sizeof(sorted[0]), compare);
	h->late_ns = sorted[(n - 1) * LATE_PER_CENT / 100];
}

static void pay(struct hedge *h, bool was_hedged)
{
	h->credit += was_hedged ? 1 - HEDGE_SHARE : 1;
	if (h->credit > HEDGE_BURST * HEDGE_SHARE)
		h->credit = HEDGE_BURST * HEDGE_SHARE;
}

void hedge_learn(struct hedge *h, uint64_t first_byte_ns, bool was_hedged)
{
	pay(h, was_hedged);
	h->samples[h->next] = first_byte_ns;
	h->next = (h->next + 1) % HEDGE_SAMPLES;
	if (h->count < 2 * HEDGE_SAMPLES)
		h->count++;
	if (h->next % LEARN_EVERY == 0)
		look_back(h);
}

void hedge_charge(struct hedge *h)
{
	h->credit -= HEDGE_SHARE;
}

uint64_t hedge_after(const struct hedge *h)
{
	if (h->count < HEDGE_LEAST || h->credit < HEDGE_SHARE)
		return 0;
	uint64_t after_ns = h->late_ns * LATE_FACTOR;
	return after_ns > HEDGE_AFTER_MIN ? after_ns : HEDGE_AFTER_MIN;
}
