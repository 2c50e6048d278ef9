#include "archive/surroundings.h"

#include <stddef.h>

#define TRUST      ((uint64_t)256 << 20) /* bytes: what is trusted at first, and at most */
#define RIGHT_GAIN ((uint64_t)16 << 20)

void surroundings_init(struct surroundings *s)
{
	*s = (struct surroundings){.trust = TRUST};
}

void surroundings_right(struct surroundings *s)
{
	s->trust = s->trust > TRUST - RIGHT_GAIN ? TRUST : s->trust + RIGHT_GAIN;
}

/* The place whose surroundings hold the frame, or the one unused for longest. */
static struct surrounding *place_for(
	struct surroundings *s, uint32_t frame, bool *ret_known)
{
	struct surrounding *oldest = &s->places[0];
	for (size_t i = 0; i < SURROUNDINGS_PLACES; i++) {
		struct surrounding *p = &s->places[i];
		*ret_known = p->used && frame + 1 >= p->low && frame <= p->high;
		if (*ret_known)
			return p;
		if (p->used < oldest->used)
			oldest = p;
	}
	return oldest;
}

void surroundings_miss(struct surroundings *s, uint32_t first, uint32_t end,
	uint64_t credit, uint8_t avoid)
{
	bool known;
	struct surrounding *p = place_for(s, first, &known);
	if (!known)
		*p = (struct surrounding){.low = first, .high = end};
	if (first < p->low)
		p->low = first;
	if (end > p->high)
		p->high = end;
	p->centre = first;
	p->used = ++s->clock;
	p->avoid = avoid;
	p->credit += (uint64_t)((double)credit * ((double)s->trust / (double)TRUST));
}

static bool is_taken(
	const struct surrounding *p, const struct surroundings_map *map, uint32_t frame)
{
	return map->marks[frame] & (map->taken | p->avoid);
}

/* [*first, *first + n) of free frames from `high` upwards. */
static uint32_t take_above(struct surrounding *p, const struct surroundings_map *map,
	uint64_t most, uint32_t *first)
{
	*first = p->high;
	while (p->high < map->frames && !is_taken(p, map, p->high) &&
		(p->high == *first ||
			map->offsets[p->high + 1] - map->offsets[*first] <= most))
		p->high++;
	return p->high - *first;
}

/* The same from `low` downwards. */
static uint32_t take_below(struct surrounding *p, const struct surroundings_map *map,
	uint64_t most, uint32_t *first)
{
	uint32_t end = p->low;
	while (p->low > 0 && !is_taken(p, map, p->low - 1) &&
		(p->low == end || map->offsets[end] - map->offsets[p->low - 1] <= most))
		p->low--;
	*first = p->low;
	return end - p->low;
}

/* Passes over what is taken on both sides. */
static void skip_taken(struct surrounding *p, const struct surroundings_map *map)
{
	while (p->high < map->frames && is_taken(p, map, p->high))
		p->high++;
	while (p->low > 0 && is_taken(p, map, p->low - 1))
		p->low--;
}

/* The nearer side, counted in stored bytes, has the next free frame. */
static bool above_is_nearer(
	const struct surrounding *p, const struct surroundings_map *map)
{
	if (p->high == map->frames)
		return false;
	return !p->low || map->offsets[p->high] - map->offsets[p->centre] <=
				  map->offsets[p->centre] - map->offsets[p->low];
}

static void pay(struct surroundings *s, struct surrounding *p, uint64_t bytes)
{
	p->credit -= bytes < p->credit ? bytes : p->credit;
	s->trust -= bytes < s->trust ? bytes : s->trust;
}

static struct surrounding *newest_with_credit(struct surroundings *s)
{
	struct surrounding *newest = NULL;
	for (size_t i = 0; i < SURROUNDINGS_PLACES; i++) {
		struct surrounding *p = &s->places[i];
		if (p->credit && (!newest || p->used > newest->used))
			newest = p;
	}
	return newest;
}

bool surroundings_next(struct surroundings *s, const struct surroundings_map *map,
	uint64_t range, uint32_t *ret_first, uint32_t *ret_count)
{
	struct surrounding *p;
	while ((p = newest_with_credit(s))) {
		uint64_t most = p->credit < range ? p->credit : range;
		skip_taken(p, map);
		if (!p->low && p->high == map->frames) {
			p->credit = 0;
			continue;
		}
		*ret_count = above_is_nearer(p, map)
				     ? take_above(p, map, most, ret_first)
				     : take_below(p, map, most, ret_first);
		pay(s, p,
			map->offsets[*ret_first + *ret_count] - map->offsets[*ret_first]);
		return true;
	}
	return false;
}
