/*
 * Descriptors of a tree's directories, opened again as the walk found them.
 *
 * Opens a directory below its parent's descriptor, never by a long path and never through
 * a symlink, and keeps the `size` used last open. Neighbours in the tree share
 * their parents, so a run over the tree opens each directory about once. For one thread.
 */
#ifndef LARDER_ARCHIVE_DIR_CACHE_H
#define LARDER_ARCHIVE_DIR_CACHE_H

#include "archive/tree.h"

#define DIR_CACHE_LEAST 2 /* descriptors: a directory and its parent */
#define DIR_CACHE_SIZE  24

struct dir_cache;

/* size: descriptors, DIR_CACHE_LEAST to DIR_CACHE_SIZE. rootfd and tree are borrowed.
 * NULL when out of memory. */
struct dir_cache *dir_cache_new(int rootfd, const struct tree *tree, size_t size);
void dir_cache_free(struct dir_cache *c);
DEFINE_CLEANUP(cleanup_dir_cache, struct dir_cache, dir_cache_free);

/* A descriptor (O_PATH) of directory entry `dir`, borrowed until the next call. 0,
 * -ENOMEM, -errno of openat(2): -ENOENT, -ENOTDIR or -ELOOP when it was moved away. */
int dir_cache_open(struct dir_cache *c, uint32_t dir, int *ret_fd);

#endif
