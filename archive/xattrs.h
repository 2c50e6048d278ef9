/*
 * The extended attributes of one inode: names and values, sorted by name.
 *
 * One block of memory, made by xattrs_read() or xattrs_build(), immutable afterwards.
 * Only names that begin with "user." are kept: the others belong to the system that the
 * tree lies on, not to the tree.
 */
#ifndef LARDER_ARCHIVE_XATTRS_H
#define LARDER_ARCHIVE_XATTRS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All names and values of one inode, in bytes: libarchive reads no pax header over this.
 */
#define XATTRS_LIMIT (1u << 20)

struct xattrs {
	uint32_t count;
	uint32_t len;   /* bytes of data */
	uint8_t data[]; /* {u32 name length, u32 value length, name, value} x count */
};

struct xattr {
	const char *name; /* borrowed, not NUL-terminated */
	size_t name_len;
	const void *value; /* borrowed */
	size_t value_len;
};

/* Iterates with *cursor from 0; false at the end. */
bool xattrs_next(const struct xattrs *x, size_t *cursor, struct xattr *ret);

/* Sorts and copies count attributes (free() the result). 0, -E2BIG past a limit,
 * -ENOMEM. Reorders the array. */
int xattrs_build(struct xattr *attributes, size_t count, struct xattrs **ret);

/* NULL: none. */
bool xattrs_equal(const struct xattrs *a, const struct xattrs *b);

/* Reads those of `name` in the open directory dirfd, of a file or directory, without
 * following a symlink; with name "", those of what dirfd itself is. *ret is NULL when
 * there are none or the file system has none; else free() it. 0, -E2BIG, -ENOMEM,
 * -EACCES, -ENOENT and others of getxattr(2). */
int xattrs_read(int dirfd, const char *name, struct xattrs **ret);

#endif
