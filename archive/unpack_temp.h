/*
 * The temporary tree of an unpacking, and those that killed unpackings have left.
 *
 *     PREFIX01234567         being made: its maker holds flock(2) on the root
 *     PREFIX01234567.dead    being removed
 *
 * One that belongs to this user and that nobody holds is a dead one's. Where flock does not
 * work nothing is removed. Where each machine has locks of its own, a living one's may be
 * taken for dead: for that it is renamed before anything in it is touched, so that its maker
 * fails in the end, instead of putting the rest into place.
 */
#ifndef LARDER_ARCHIVE_UNPACK_TEMP_H
#define LARDER_ARCHIVE_UNPACK_TEMP_H

#include <limits.h>
#include <stdbool.h>

#include "fetch/base/call.h"

#define UNPACK_TEMP_SUFFIX 13 /* bytes behind the prefix, at most */

/* A random name. -errno of getrandom(2). */
int unpack_temp_name(const char *prefix, char ret[NAME_MAX + 1]);

/* In either form. */
bool unpack_temp_is_name(const char *prefix, const char *name);

/* Makes the root in the open directory `where`, mode 0700. 0; -EAGAIN: something has that
 * name, or somebody removed the root at once; -errno of mkdir(2) and open(2). *ret_fd is the
 * caller's, and holds the lock. */
int unpack_temp_make(int where, const char *name, int *ret_fd);

/* Removes what the dead have left in `where` under names of this prefix: as much as can be,
 * and until call ends. Follows no links, enters no other file system, and needs six
 * descriptors however deep a tree is. */
void unpack_temp_sweep(int where, const char *prefix, const struct call *call);

#endif
