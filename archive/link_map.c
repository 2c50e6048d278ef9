#include "archive/link_map.h"

#include <errno.h>
#include <stdlib.h>

void link_map_finish(struct link_map *m)
{
	free(m->slots);
	*m = (struct link_map){0};
}

static uint64_t hash(uint64_t device, uint64_t inode)
{
	uint64_t h = (inode ^ device * UINT64_C(0xff51afd7ed558ccd));
	h = (h ^ h >> 32) * UINT64_C(0x9e3779b97f4a7c15);
	return h ^ h >> 32;
}

/* The inode's slot, or the free one where it belongs. */
static struct link_slot *find(const struct link_map *m, uint64_t device, uint64_t inode)
{
	size_t mask = m->size - 1;
	for (size_t i = hash(device, inode) & mask;; i = (i + 1) & mask) {
		struct link_slot *s = &m->slots[i];
		if (!s->used || (s->inode == inode && s->device == device))
			return s;
	}
}

static int grow(struct link_map *m)
{
	struct link_map bigger = {.size = m->size ? m->size * 2 : 64, .used = m->used};
	bigger.slots = calloc(bigger.size, sizeof(bigger.slots[0]));
	if (!bigger.slots)
		return -ENOMEM;
	for (size_t i = 0; i < m->size; i++)
		if (m->slots[i].used)
			*find(&bigger, m->slots[i].device, m->slots[i].inode) =
				m->slots[i];
	free(m->slots);
	*m = bigger;
	return 0;
}

int link_map_meet(struct link_map *m, uint64_t device, uint64_t inode, uint32_t entry,
	uint32_t *ret_first)
{
	if (m->used * 2 >= m->size) {
		int r = grow(m);
		if (r < 0)
			return r;
	}
	struct link_slot *s = find(m, device, inode);
	if (!s->used) {
		*s = (struct link_slot){device, inode, entry, 1};
		m->used++;
	}
	*ret_first = s->entry;
	return 0;
}
