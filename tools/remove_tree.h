/*
 * rm -r, for directories of our own.
 */
#ifndef LARDER_TOOLS_REMOVE_TREE_H
#define LARDER_TOOLS_REMOVE_TREE_H

/* Removes path and all below it, of any depth, without following links and without
 * leaving its file system; directories that let nobody in are opened first. Not for
 * several threads at once: it changes the working directory meanwhile. 0, or the -errno
 * of the first thing that stays; the rest is removed. */
int remove_tree(const char *path);

#endif
