/*
 * What Larder has mounted on a path: larderfs itself, or the overlay of a writable mount
 * of our user's. Looked for in mountinfo, before the path is looked into: the overlay of a
 * larderfs that is gone is empty, and takes another mount.
 */
#ifndef LARDER_TOOLS_MOUNTED_H
#define LARDER_TOOLS_MOUNTED_H

#include <limits.h>
#include <stdbool.h>

#include "fetch/base/error.h"

struct mounted {
	char point[PATH_MAX];  /* the path, absolute */
	char daemon[PATH_MAX]; /* where its larderfs answers */
};

/* False when Larder has mounted nothing there, or there is no such path. */
bool mounted_find(const char *path, struct mounted *ret);

/* Demands that nothing of Larder's is mounted on path, whose larderfs may be gone or not.
 * 0; -EINVAL with what to do; -ECANCELED after a signal. */
int mounted_demand_none(const char *path, struct error *e);

/* Demands that, if something is, its larderfs is not gone, and not stuck. 0; -ENOTCONN or
 * -ETIMEDOUT with what to do; -ECANCELED after a signal. */
int mounted_demand_alive(const char *path, struct error *e);

/* Is it the overlay of a writable mount? */
bool mounted_is_writable(const struct mounted *m);

/* Was it made with --key? 1; 0: the whole store is mounted; -errno: it does not say. */
int mounted_is_of_one_key(const struct mounted *m);

/* How many versions of its key the mount has shown, of several of the one where they are
 * most: 1 until it finds a key overwritten. 0: it does not say, or has no key in use. */
unsigned mounted_versions(const struct mounted *m);

#endif
