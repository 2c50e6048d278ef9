/*
 * The cache folder: which directory may be one.
 *
 * Whoever names one by --cache-dir or LARDER_CACHE_DIR may mean a new directory, an empty
 * one, or a cache; he may also have mistyped, and name his project. What is in a cache is
 * overwritten and removed, and nobody else may look into it; so a directory becomes one
 * only while it is empty, and is known for one afterwards by either of
 *
 *     DIR/CACHEDIR.TAG   in Larder's words; it also tells backup programs to pass DIR
 * over its names          none but those that Larder makes (or mkfs: lost+found), and of
 *                        the chunk cache's own none without DIR/chunks, which is made
 *                        first
 *
 * The latter is for a tag that was not written yet, did not fit on the disk, or was taken
 * away so that backups keep the cache. A tag that is no more than the beginning of ours
 * is among the names that Larder makes, and says nothing by itself.
 */
#ifndef LARDER_FETCH_BASE_CACHE_FOLDER_H
#define LARDER_FETCH_BASE_CACHE_FOLDER_H

#include <stdbool.h>
#include <sys/stat.h>

#include "fetch/base/error.h"

/* Opens the directory, making it where it is missing, and shuts others out: mode 0700.
 * Nothing else is made or changed. 0, and *ret_fd is the caller's; -EPERM: it belongs to
 * somebody else, is no cache and not empty, may be written by others, or read by them and
 * cannot be closed; -ENOTDIR, -EACCES, -EROFS, -ENOSPC, -ENOMEM. */
int cache_folder_open(const char *name, int *ret_fd, struct error *e);

/* Looks only: is there a cache, or what could become one as it is empty? *ret then tells
 * the directory from others. */
bool cache_folder_find(const char *name, struct stat *ret);

/* Lays the tag, as well as it goes, or finishes one that was begun. */
void cache_folder_tag(int dir);

#endif
