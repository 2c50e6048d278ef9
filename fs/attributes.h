/*
 * What stat(2) says: pure functions from the index to struct stat.
 *
 * Times of access and change are the time of modification, but for a doorway's. A
 * directory has one link (which is what find(1) takes for "count them yourself") and the
 * size tmpfs would give it, a doorway that of an empty one. Set-user-ID and set-group-ID
 * are shown on directories only, unless owners are preserved; the mount is nosuid in any
 * case.
 */
#ifndef LARDER_FS_ATTRIBUTES_H
#define LARDER_FS_ATTRIBUTES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "archive/index.h"

#define ATTRIBUTES_BLOCK 4096 /* bytes: st_blksize, and statfs's block */

struct owner_policy {
	bool preserve; /* the archive's owners, where it has them */
	uid_t uid;     /* otherwise */
	gid_t gid;
};

/* The inode number that stands for an entry of the generation in `slot`: that of the
 * primary, for a hard link. */
uint64_t attributes_inode(const struct index *ix, uint32_t slot, uint32_t entry);

/* An entry as `inode` (so that entry 0 can be shown as a doorway). */
void attributes_of_entry(const struct index *ix, uint32_t entry, uint64_t inode,
	const struct owner_policy *owner, struct stat *ret);

/* A directory of the keyspace, or a doorway that was not opened yet: writable for its
 * owner, as most are that are packed. The mount is read-only in any case, a copy need not
 * be. */
void attributes_of_directory(uint64_t inode, int64_t mtime_s,
	const struct owner_policy *owner, struct stat *ret);

/* Makes of either what a doorway is shown with, whether its key is open or not: tar(1)
 * says of a directory that grows, or has another time of change afterwards, that it
 * changed while it was read, and reading is what opens a key. So that time is of the
 * doorway: when another version came into it, or else of the mount. */
void attributes_at_doorway(const struct timespec *changed, struct stat *ret);

#endif
