/*
 * Which inode was met first as which entry: how hard links are recognised.
 *
 * An open-addressed hash of 24 bytes a slot, at most half full. Not for several threads.
 */
#ifndef LARDER_ARCHIVE_LINK_MAP_H
#define LARDER_ARCHIVE_LINK_MAP_H

#include <stddef.h>
#include <stdint.h>

struct link_slot {
	uint64_t device;
	uint64_t inode;
	uint32_t entry;
	uint32_t used; /* 0 or 1 */
};

/* A zeroed one is empty. */
struct link_map {
	struct link_slot *slots; /* owned */
	size_t size;             /* a power of two, or 0 */
	size_t used;
};

void link_map_finish(struct link_map *m);

/* The entry that the inode was first met as, which is `entry` when it is new. 0 or
 * -ENOMEM. */
int link_map_meet(struct link_map *m, uint64_t device, uint64_t inode, uint32_t entry,
	uint32_t *ret_first);

#endif
