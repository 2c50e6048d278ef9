/*
 * The session with the kernel: mounted, served by threads, taken down.
 *
 *     new -> start -> (ended by itself, when unmounted from outside) -> free
 *
 * Everything is called from the main thread; the loop has a thread of its own.
 */
#ifndef LARDER_FS_MOUNT_SESSION_H
#define LARDER_FS_MOUNT_SESSION_H

#include <stdbool.h>

#include "fetch/base/error.h"
#include "fs/larderfs.h"
#include "fs/mountpoint.h"

#define SESSION_READ_AHEAD_KIB 1024
#define SESSION_SPARE_WORKERS  32 /* beyond GATE_MOST */

struct mount_session;

struct session_options {
	const char *source; /* shown in /proc/mounts */
	bool allow_other;
	bool no_exec;
	bool no_sym_follow; /* only root can have it so */
};

/* Mounts on place (copied). `ended` is called, on a thread of the session's, when the
 * loop ends before it was told to. 0; -EIO, -EPERM with what the kernel or fusermount3
 * said; -ENOMEM. */
int mount_session_new(struct larderfs *l, const struct mountpoint *place,
	const struct session_options *o, void (*ended)(void *arg), void *arg,
	struct mount_session **ret, struct error *e);

/* Starts the loop and returns when the mount serves. */
int mount_session_start(struct mount_session *s, struct error *e);

/* Ends all requests and the loop, and takes the mount down. Whoever still has a file open
 * gets ENOTCONN. Accepts NULL. */
void mount_session_free(struct mount_session *s);

#endif
