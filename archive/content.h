/*
 * A file's content, read as the walk saw the file, or not at all.
 */
#ifndef LARDER_ARCHIVE_CONTENT_H
#define LARDER_ARCHIVE_CONTENT_H

#include <stddef.h>
#include <stdint.h>

#include "archive/dir_cache.h"

/* Opens the regular file `entry`. 0; -EBUSY when it is gone or something else; -errno of
 * openat(2); -ENOMEM. */
int content_open(
	struct dir_cache *dirs, const struct tree *tree, uint32_t entry, int *ret_fd);

/* Reads bytes [offset, offset + len) into buf. With `sparse`, holes are found by lseek(2)
 * and not read. 0; -EBUSY when the file ends before; -errno. */
int content_read(int fd, uint64_t offset, size_t len, bool sparse, void *buf);

/* To be called after the last read: 0, or -EBUSY when the file is not what the walk saw, as
 * far as its inode tells: tree_is_relinked() passes; -errno of fstat(2). */
int content_verify(int fd, const struct tree_entry *entry);

#endif
