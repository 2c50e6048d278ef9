/*
 * A set of inode numbers, for telling files from their names.
 *
 * An open hash table: 16 to 32 bytes a number. Not for several threads at once. Numbers
 * are of one file system, and 0 is none of them.
 */
#ifndef LARDER_FETCH_INODE_SET_H
#define LARDER_FETCH_INODE_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All zero: the empty set. */
struct inode_set {
	uint64_t *inodes; /* owned; size of them, a power of two; 0: free */
	size_t size, count;
};

void inode_set_finish(struct inode_set *s); /* empties it */

bool inode_set_has(const struct inode_set *s, uint64_t inode);

/* 1: it was not there; 0: it was; -ENOMEM. */
int inode_set_add(struct inode_set *s, uint64_t inode);

#endif
