/*
 * What makes a mount writable: an overlay over a mount of larderfs that only it sees.
 *
 *     MOUNTPOINT   the overlay: the two below as one
 *     HOME/upper   what was written
 *     HOME/lower   larderfs, read-only
 *     HOME/work    the overlay's own
 *     HOME/point   a link that names MOUNTPOINT
 *     HOME/said    what larderfs printed of the mount below, and
 *     HOME/output  what it had for --output: nobody is told before the overlay is there
 *
 * HOME is one mount's own directory, mode 0700, named larder-overlay-XXXXXX. The overlay is
 * the kernel's where we may mount it, else that of fuse-overlayfs. The kernel's has HOME for
 * its source in mountinfo; of the other one HOME/lower stands there, and HOME/point tells
 * whose it is: so a mountpoint's HOME is found without asking a daemon. It is believed when
 * it is our user's and nobody else's.
 */
#ifndef LARDER_TOOLS_OVERLAY_H
#define LARDER_TOOLS_OVERLAY_H

#include <stdbool.h>

#include "fetch/base/error.h"
#include "fetch/base/mounts.h"

/* Makes a HOME with its three directories, not in point, which the overlay will cover,
 * and on a file system that can hold an upper layer: below `given`, or (NULL) the first
 * that will do of cache_dir (which may be "" or NULL; not if it is no cache folder),
 * $XDG_RUNTIME_DIR and /tmp. ret: PATH_MAX bytes. -EINVAL when `given` will not do; -EIO
 * when this machine has no place for it. */
int overlay_home_make(const char *given, const char *cache_dir, const char *point,
	char *ret, struct error *e);

/* The path of one of HOME's directories. ret: PATH_MAX bytes. */
void overlay_part(const char *home, const char *part, char *ret);

/* Mounts the overlay of HOME on point. -EIO with what to do when it cannot be had. */
int overlay_mount(const char *home, const char *point, bool allow_other, struct error *e);

/* The HOME behind a mountpoint (absolute, without symlinks), also when the overlay was moved or
 * bound there; false when it is no overlay that our user made. ret: PATH_MAX bytes. */
bool overlay_home_of(const char *point, char *ret);

/* The HOME of the overlay that was on a mountpoint where nothing is mounted now, though its
 * larderfs is below: it was unmounted by other means, or moved, or its fuse-overlayfs ended.
 * Else as above. */
bool overlay_home_left(const char *point, char *ret);

/* Is the kernel's overlay of HOME mounted elsewhere than on point, as far as is seen here? ret:
 * PATH_MAX bytes, where. */
bool overlay_is_elsewhere(const char *home, const char *point, char *ret);

/* Whoever mounts or unmounts holds HOME's lock: *ret, a descriptor to be closed. -EIO: another
 * one has it, or HOME is gone. */
int overlay_lock(const char *home, int *ret, struct error *e);

/* Could HOME's upper layer be moved to `wanted`? ret: PATH_MAX bytes, where to, absolute.
 * -EINVAL: something is there, or it is on another file system. */
int overlay_check_keep(const char *home, const char *wanted, char *ret, struct error *e);

/* After the overlay is unmounted: unmounts the lower one, moves the upper layer to keep
 * (unless ""), and removes the rest, also when the daemon has not ended in time. What cannot
 * be kept stays in HOME, and the sentence says so. unmount_lower()'s errors, -errno of
 * rename(2) and unlink(2). */
int overlay_dispose(const char *home, const char *keep, bool lazy, struct error *e);

#endif
