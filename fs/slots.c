#include "fs/slots.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "fetch/base/lock.h"
#include "fs/inode.h"

_Static_assert(SLOTS_BLOCK *SLOTS_BLOCKS - 1 == INODE_SLOT_MOST,
	"the table holds as many slots as an inode can name");

void slots_init(struct slots *s)
{
	*s = (struct slots){.lock = PTHREAD_MUTEX_INITIALIZER, .next = 1};
}

void slots_finish(struct slots *s)
{
	for (size_t i = 0; i < SLOTS_BLOCKS; i++)
		free(atomic_load(&s->blocks[i]));
	pthread_mutex_destroy(&s->lock);
}

static struct slots_block *block_for(struct slots *s, uint32_t slot)
{
	_Atomic(struct slots_block *) *place = &s->blocks[slot / SLOTS_BLOCK];
	struct slots_block *block = atomic_load(place);
	if (!block) {
		block = calloc(1, sizeof(*block));
		atomic_store(place, block);
	}
	return block;
}

int slots_take(struct slots *s, struct generation *g, uint32_t *ret)
{
	LOCK_SCOPE(&s->lock);
	if (s->next > INODE_SLOT_MOST)
		return -ENOSPC;
	struct slots_block *block = block_for(s, s->next);
	if (!block)
		return -ENOMEM;
	atomic_store(&block->at[s->next % SLOTS_BLOCK], g);
	*ret = s->next++;
	return 0;
}

static _Atomic(struct generation *) *place_of(struct slots *s, uint32_t slot)
{
	if (slot > INODE_SLOT_MOST)
		return NULL;
	struct slots_block *block = atomic_load(&s->blocks[slot / SLOTS_BLOCK]);
	return block ? &block->at[slot % SLOTS_BLOCK] : NULL;
}

void slots_drop(struct slots *s, uint32_t slot)
{
	_Atomic(struct generation *) *place = place_of(s, slot);
	assert(place);
	atomic_store(place, NULL);
}

uint32_t slots_end(struct slots *s)
{
	LOCK_SCOPE(&s->lock);
	return s->next;
}

struct generation *slots_get(struct slots *s, uint32_t slot)
{
	_Atomic(struct generation *) *place = place_of(s, slot);
	return place ? atomic_load(place) : NULL;
}
