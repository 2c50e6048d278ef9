/*
 * Inode numbers, computed and never looked up.
 *
 *     63        53 52                    32 31                         0
 *     [    0     ][        slot           ][      number + 1           ]
 *
 * Slot 0 is the keyspace: number is that of a node (fs/keyspace.h), and node 0 is the
 * mountpoint, so its inode is FUSE_ROOT_ID. Slots from 1 are generations: number is the
 * entry in the archive's index. Entry 0 has no inode of its own: it is shown as the
 * doorway, a node.
 *
 * An inode means one thing as long as the mount lives: neither slots nor node numbers are
 * used again. The number fits into 53 bits, so programs that keep inodes in a double
 * (JavaScript) do not confuse two files.
 */
#ifndef LARDER_FS_INODE_H
#define LARDER_FS_INODE_H

#include <stdbool.h>
#include <stdint.h>

#define INODE_SLOT_SHIFT  32
#define INODE_SLOT_MOST   ((UINT32_C(1) << 21) - 1) /* generations in one mount's life */
#define INODE_NUMBER_MOST (UINT32_MAX - 1)

static inline uint64_t inode_make(uint32_t slot, uint32_t number)
{
	return (uint64_t)slot << INODE_SLOT_SHIFT | ((uint64_t)number + 1);
}

/* Takes an inode apart; false for a number that inode_make() never gives. */
static inline bool inode_split(uint64_t inode, uint32_t *ret_slot, uint32_t *ret_number)
{
	uint64_t slot = inode >> INODE_SLOT_SHIFT;
	uint32_t low = (uint32_t)inode;
	if (!low || slot > INODE_SLOT_MOST)
		return false;
	*ret_slot = (uint32_t)slot;
	*ret_number = low - 1;
	return true;
}

#endif
