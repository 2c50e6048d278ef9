/*
 * What Larder has mounted on a path: larderfs itself, or the overlay of a writable mount
 * of our user's. Looked for in mountinfo, before the path is looked into: the overlay of
 * a larderfs that is gone is empty, and takes another mount.
 */
#ifndef LARDER_TOOLS_MOUNTED_H
#define LARDER_TOOLS_MOUNTED_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "fetch/base/error.h"

struct mounted {
	char point[PATH_MAX];  /* the path, absolute */
	char daemon[PATH_MAX]; /* where its larderfs answers */
};

/* False when Larder has mounted nothing there, or there is no such path. */
bool mounted_find(const char *path, struct mounted *ret);

/* The same of the mount that the path is in, whose device is known (stat(2)). */
bool mounted_find_above(const char *path, dev_t device, struct mounted *ret);

/* Demands that nothing of Larder's is mounted on path, whose larderfs may be gone or not.
 * 0; -EINVAL with what to do; -ECANCELED after a signal. */
int mounted_demand_none(const char *path, struct error *e);

/* Demands that, if something is, its larderfs is not gone, and not stuck. 0; -ENOTCONN or
 * -ETIMEDOUT with what to do; -ECANCELED after a signal. */
int mounted_demand_alive(const char *path, struct error *e);

/* Does its path lead to it? Another mount may hide it. Asks no daemon of it. */
bool mounted_is_seen(const struct mounted *m);

/* Is it the overlay of a writable mount? */
bool mounted_is_writable(const struct mounted *m);

/* How often a key that the mount had shown turned out to hold other content. -ECANCELED
 * after a signal; another -errno: it does not say. */
int64_t mounted_overwrites(const struct mounted *m);

#endif
