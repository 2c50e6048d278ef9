/*
 * What /proc/self/mountinfo says of one mountpoint (proc(5)).
 */
#ifndef LARDER_FETCH_BASE_MOUNTS_H
#define LARDER_FETCH_BASE_MOUNTS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fetch/base/error.h"

struct mount_facts {
	bool mounted;    /* something is mounted exactly there */
	char type[64];   /* of the topmost, such as "fuse.larderfs", "overlay" */
	char device[32]; /* its device's "major:minor" */
	int64_t user;    /* who mounted it, where it tells as FUSE does; else -1 */
	char source[PATH_MAX]; /* what it says to be a mount of */
};

/* path: absolute and without symlinks. 0 or -errno. */
int mount_facts_of(const char *path, struct mount_facts *ret, struct error *e);

/* The same, from mountinfo's text: pure. */
void mount_facts_parse(const char *text, const char *path, struct mount_facts *ret);

/* Where the device "major:minor" is mounted, the newest of its mounts. ret: PATH_MAX bytes.
 * 0; -ENOENT: nowhere that is seen here; or another -errno. */
int mount_place_of(const char *device, char *ret, struct error *e);

/* The same, from mountinfo's text: pure. 0 or -ENOENT. */
int mount_place_parse(const char *text, const char *device, char *ret);

/* Is a file system of this type, on the device "major:minor", among the mounts of mountinfo's
 * text? Pure. */
bool mounts_have(const char *text, const char *device, const char *type);

/* One mount, as a line of mountinfo has it, without escapes. */
struct mount_line {
	char mountpoint[PATH_MAX];
	char type[64];
	char device[32];       /* "major:minor" */
	int64_t user;          /* who mounted it, where it tells as FUSE does; else -1 */
	char source[PATH_MAX]; /* what it says to be a mount of */
};

/* Calls fn for each mount, oldest first. 0 or -errno. */
int mounts_each(
	void (*fn)(void *arg, const struct mount_line *m), void *arg, struct error *e);

/* Makes path absolute and without symlinks, asking nothing of what is mounted there: so a
 * mountpoint whose daemon is dead (and answers ENOTCONN) or stuck resolves too. What its
 * last component names need not exist. ret: PATH_MAX bytes. 0 or -errno. */
int mountpoint_resolve(const char *path, char *ret, struct error *e);

/* mount_ask() of the larderfs behind a mount on path. daemon: where it answers, which is path
 * itself, or below an overlay. -ENOTCONN also when it has ended and only the overlay is
 * left. */
int mount_ask_daemon(const char *path, const char *daemon, const char *name, int stop,
	char **ret, size_t *ret_len);

/* Demands that the larderfs behind a mount on path still answers; daemon and stop as
 * above. 0; -ENOTCONN or -ETIMEDOUT with what to do; -ECANCELED. */
int mount_demand_alive(
	const char *path, const char *daemon, int stop, struct error *e);

/* Says that Larder has mounted something on path already, and whether what answers at
 * `daemon` still does. -EINVAL; -ECANCELED. */
int mountpoint_refuse(const char *path, const char *daemon, int stop, struct error *e);

/* Demands a directory that is empty and no mount of larderfs, to be mounted on. ret:
 * PATH_MAX bytes, absolute and without symlinks. 0; -EINVAL with the sentence. */
int mountpoint_demand(const char *path, char *ret, struct error *e);

#endif
