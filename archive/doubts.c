#include "archive/doubts.h"

#include <string.h>

int doubts_add(struct doubt_vec *doubts, const struct tree *t, uint32_t entry)
{
	struct doubt d = {.entry = entry};
	memcpy(d.digest, tree_entry(t, entry)->digest, TREE_DIGEST);
	return doubt_vec_push(doubts, d);
}

/* The first doubt of an entry from `entry` on: its place among them. */
static size_t first_from(const struct doubt_vec *doubts, uint32_t entry)
{
	size_t low = 0, high = doubts->len;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (doubts->data[middle].entry < entry)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The entry behind the last whose content may be in the frame. */
static uint32_t end_of(const struct frame_plan *plan)
{
	return plan->kind == PLAN_MEMBERS ? plan->first + plan->count : plan->first + 1;
}

bool doubts_concern(const struct doubt_vec *doubts, const struct frame_plan *plan)
{
	size_t i = first_from(doubts, plan->first);
	return plan->kind != PLAN_END && i < doubts->len &&
	       doubts->data[i].entry < end_of(plan);
}

uint32_t doubts_confirmed(const struct doubt_vec *doubts, const struct tree *t,
	const struct frame_plan *plan)
{
	uint32_t end = end_of(plan);
	for (size_t i = first_from(doubts, plan->first);
		i < doubts->len && doubts->data[i].entry < end; i++) {
		const struct doubt *d = &doubts->data[i];
		if (memcmp(tree_entry(t, d->entry)->digest, d->digest, TREE_DIGEST) != 0)
			return d->entry;
	}
	return plan->first;
}
