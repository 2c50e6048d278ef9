/*
 * The upper layer of a writable mount, made whole, so that it says something by itself.
 *
 * The kernel's overlay copies up no content when only a file's mode, owner, name or links
 * change (metacopy), and nothing that is below a directory when that is moved
 * (redirect_dir): the layer then holds a file of the right size full of zeros, or a
 * directory with little in it, and an xattr that says where the rest lies in the layer
 * below. That of fuse-overlayfs, and the kernel's in a user namespace, do not.
 */
#ifndef LARDER_TOOLS_UPPER_H
#define LARDER_TOOLS_UPPER_H

#include "tools/mounted.h"

/* Copies up all that HOME's upper layer only refers to, through the kernel's overlay,
 * which is m; times stay. Two descriptors for each directory of a path. What is changed
 * in the mount meanwhile may be missed. 0; -ECANCELED after a signal; -EIO with what
 * could not be had (also: a key of the mount was overwritten in the store, so nobody knows of
 * which version it would be). The mount goes on as it was. */
int upper_complete(const char *home, const struct mounted *m, struct error *e);

#endif
