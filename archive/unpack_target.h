/*
 * Where an unpacked tree grows, and how it comes into its place.
 *
 *     beside:  PARENT/.NAME.larder-XXXXXXXX       --rename-->  PARENT/NAME
 *     within:  TARGET/.larder-XXXXXXXX/each name  --rename-->  TARGET/each name
 *
 * Beside is one atomic step, and is taken unless the target exists and cannot be
 * replaced: a mount point, the current directory, below a directory that is not writable,
 * or another's in a sticky one. Within, somebody else may write to the target meanwhile:
 * a name that he took is not replaced, and what he made is not removed. The names are
 * archive/unpack_temp's.
 */
#ifndef LARDER_ARCHIVE_UNPACK_TARGET_H
#define LARDER_ARCHIVE_UNPACK_TARGET_H

#include <limits.h>

#include "archive/index.h"
#include "fetch/base/call.h"

struct unpack_target {
	const struct index *ix;  /* borrowed */
	const char *path;        /* borrowed; as the caller wrote it, for messages */
	char name[NAME_MAX + 1]; /* of the target in its parent */
	char temp[NAME_MAX + 1]; /* of the temporary tree; "": there is none now */
	int parentfd;            /* owned; the target's parent; -1: not opened */
	int targetfd;            /* owned; -1: the target does not exist */
	int fd;                  /* owned; the temporary tree's root */
	mode_t mode;             /* of the target when it was found */
	bool within;
	uint32_t moved; /* within: so many of the root's children are in the target */
};

/* Makes the temporary tree's root, after it has removed what killed unpackings to this
 * target have left. 0; -ENOTEMPTY, -ENOTDIR as unpack_archive() says; -ETIMEDOUT,
 * -ECANCELED; -errno of open(2) and mkdir(2). */
int unpack_target_open(struct unpack_target *t, const char *path, const struct index *ix,
	const struct call *call, struct error *e);

/* Where directories get their last modes and times. For a tree within the target this
 * moves it up first, since a directory without write permission cannot be moved; -EIO where
 * a name was taken meanwhile. The descriptor is borrowed. */
int unpack_target_settle(struct unpack_target *t, int *ret_fd, struct error *e);

/* Whether the root may be given its attributes: a target that one may write to can be
 * another's, as the volumes of containers are. */
bool unpack_target_is_ours(const struct unpack_target *t);

/* The rename, last of all. */
int unpack_target_publish(struct unpack_target *t, struct error *e);

/* Closes; removes what was not published. */
void unpack_target_finish(struct unpack_target *t);

/* The permission bits that the system takes off new files here (umask, default ACL). */
int unpack_target_taken_off(struct unpack_target *t, mode_t *ret, struct error *e);

#endif
