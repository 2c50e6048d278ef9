/*
 * Does a path lie in a directory?
 *
 * Asked of where something is to be kept, before a directory is covered by a mount, or
 * filled or packed as a whole. The answer is by device and inode, so that symlinks and
 * bind mounts do not matter; what is missing of the path counts as lying in the last
 * directory that is there.
 */
#ifndef LARDER_FETCH_BASE_PATH_WITHIN_H
#define LARDER_FETCH_BASE_PATH_WITHIN_H

#include <stdbool.h>

/* True also of the directory itself. False when there is no such directory, and when it
 * cannot be found out. */
bool path_within(const char *path, const char *directory);

#endif
