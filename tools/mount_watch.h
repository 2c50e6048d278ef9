/*
 * What Larder has mounted where a directory is packed: the directory may lie in it, and
 * it may lie in the directory. What is packed must be of one version of each key, so each
 * larderfs is asked before and afterwards what it has met.
 *
 *     CLEANUP(mount_watch_finish) struct mount_watch w = {0};
 *     mount_watch_begin(&w, "project", st.st_dev, exclude, cache_dir, e);
 *     ...pack...
 *     mount_watch_end(&w, e);
 */
#ifndef LARDER_TOOLS_MOUNT_WATCH_H
#define LARDER_TOOLS_MOUNT_WATCH_H

#include "fetch/base/vec.h"
#include "tools/mounted.h"

struct watched {
	struct mounted mounted;
	int64_t overwrites; /* that it knew of at the beginning */
};

DEFINE_VEC(watched_vec, struct watched);

struct mount_watch {
	struct watched_vec all;
};

/* Finds and asks them; what was watched before is not any more. device: of the directory
 * (stat(2)). What lies in it counts as far as it is packed: not what is excluded (as
 * struct pack_options has it), nor what is in the cache folder cache_dir ("": there is
 * none).
 *
 * 0; -EBUSY with what to do when a writable mount shows more than one version, or a mount
 * does not tell; -ENOTCONN or -ETIMEDOUT, with what to do, when the larderfs of one that
 * lies in the directory is gone or stuck, which is found out before anything of it is
 * looked at; -ECANCELED after a signal; -ENOMEM, -errno. */
int mount_watch_begin(struct mount_watch *w, const char *directory, dev_t device,
	const char *const *exclude, const char *cache_dir, struct error *e);

/* 0; -EBUSY when something was overwritten since, or does not tell; -ECANCELED. */
int mount_watch_end(const struct mount_watch *w, struct error *e);

void mount_watch_finish(struct mount_watch *w);

#endif
