/*
 * Asking the larderfs behind a mount, which may be stuck.
 *
 * getxattr(2) waits for the daemon, and once that has taken the request not even SIGKILL
 * ends the wait. So a child asks; who has no answer in time goes on without it, and kills
 * it. It has no descriptor of ours, so nobody waits for it beside us, and it dies with
 * us.
 */
#ifndef LARDER_FETCH_BASE_MOUNT_ASK_H
#define LARDER_FETCH_BASE_MOUNT_ASK_H

#include <stddef.h>

/* What a daemon is asked for: all that it tells, as JSON, and as lines to read; and, of
 * anything in the mount, how often a key that it had shown turned out to hold other
 * content. */
#define MOUNT_STATUS     "user.larder.status"
#define MOUNT_SUMMARY    "user.larder.summary"
#define MOUNT_OVERWRITES "user.larder.overwrites"

/* The xattr `name` of what is mounted on path, NUL-terminated (caller frees). stop: a
 * descriptor that ends the wait when it is readable, or -1. 0; -ETIMEDOUT when nothing
 * answers within ten seconds; -ECANCELED; -errno of getxattr(2), such as -ENOTCONN of a
 * daemon that is gone. */
int mount_ask(const char *path, const char *name, int stop, char **ret, size_t *ret_len);

#endif
