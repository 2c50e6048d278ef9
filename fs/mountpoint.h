/*
 * The place to mount on: looked at before, known again after.
 */
#ifndef LARDER_FS_MOUNTPOINT_H
#define LARDER_FS_MOUNTPOINT_H

#include <limits.h>
#include <stdbool.h>

#include "fetch/base/error.h"

struct mountpoint {
	char path[PATH_MAX]; /* absolute, without symlinks */
	const char *shown;   /* borrowed: what sentences call it; NULL: its path */
	char device[32];     /* "major:minor" of our mount; "" while there is none */
};

/* Resolves the path and demands an empty directory that is no mount of larderfs. 0;
 * -EINVAL with the sentence. */
int mountpoint_check(const char *path, struct mountpoint *ret, struct error *e);

/* For a sentence. */
const char *mountpoint_name(const struct mountpoint *m);

/* Our mount is there now: notes its device. 0 or -errno. */
int mountpoint_note_device(struct mountpoint *m, struct error *e);

/* Is our mount still the one that is seen there? */
bool mountpoint_is_ours(const struct mountpoint *m);

/* As root: lets no path go on from a symlink in our mount; readlink(2) still reads it.
 * libfuse knows no such option. 0; -EIO with what the kernel said. */
int mountpoint_follow_no_symlinks(const struct mountpoint *m, struct error *e);

/* As root: undoes our mount where it is seen now that its parent has another name,
 * lazily. Failing leaves a mount whose daemon is gone; `larder umount` clears it away. */
void mountpoint_detach(const struct mountpoint *m);

/* As root: lets the kernel read ahead so far. Failing is no matter. */
void mountpoint_read_ahead(const struct mountpoint *m, unsigned kib);

#endif
