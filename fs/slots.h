/*
 * Slot number to generation, for every request: a table that only grows.
 *
 * Reading is one atomic load, without a lock. The pointer is weak: it stays good while
 * the caller knows a reason why the generation lives (a request for one of its inodes is
 * such a reason: the kernel holds the lookup until it is answered). Slots are given out
 * ascending from 1 and never twice. 8 bytes a slot, in blocks of 8 KiB.
 */
#ifndef LARDER_FS_SLOTS_H
#define LARDER_FS_SLOTS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#define SLOTS_BLOCK  1024
#define SLOTS_BLOCKS 2048

struct generation;

struct slots_block {
	_Atomic(struct generation *) at[SLOTS_BLOCK];
};

struct slots {
	pthread_mutex_t lock;                               /* growing */
	uint32_t next;                                      /* under lock */
	_Atomic(struct slots_block *) blocks[SLOTS_BLOCKS]; /* owned */
};

void slots_init(struct slots *s);
void slots_finish(struct slots *s);

/* Puts g into a new slot. 0, -ENOMEM, -ENOSPC when two million were used up. */
int slots_take(struct slots *s, struct generation *g, uint32_t *ret);

/* Empties a slot, for ever. */
void slots_drop(struct slots *s, uint32_t slot);

/* Every slot that was ever given out is below. */
uint32_t slots_end(struct slots *s);

/* NULL: an empty slot. */
struct generation *slots_get(struct slots *s, uint32_t slot);

#endif
