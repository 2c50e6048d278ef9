/*
 * Unmounting, as root or through fusermount3, and waiting for the daemon's end.
 */
#ifndef LARDER_TOOLS_UNMOUNT_H
#define LARDER_TOOLS_UNMOUNT_H

#include <stdbool.h>

#include "fetch/base/error.h"

/* Takes away what is mounted on path (absolute). lazy: even while it is in use. 0; -EIO
 * when it is in use, with what to do; -EPERM when another user mounted it; -errno of
 * umount2(2). */
int unmount(const char *path, bool lazy, struct error *e);

/* The same for a mount of larderfs: a dead daemon's goes even while it is in use, and a
 * living one has ended afterwards. lazy: the daemon is not asked, since it may be stuck,
 * and not waited for. Also -ETIMEDOUT, also of one that
 * does not answer, and -ECANCELED after a signal. */
int unmount_larderfs(const char *path, bool lazy, struct error *e);

/* The larderfs that only an overlay looks at. Whoever still looks through that (its own
 * daemon, which is about to end) is waited for. Same errors. */
int unmount_lower(const char *path, struct error *e);

/* Runs a program, in `directory` unless that is NULL, and waits for its end. Its standard
 * output goes to the file `output`, which is made, and is ours when that is NULL; the other
 * streams are ours. With pass_signal the one that comes to us (tools/session.h) is sent on
 * to it. Its exit status, 128 + n for signal n; -errno when it cannot start. */
int run_program(const char *const words[], const char *directory, const char *output,
	bool pass_signal);

#endif
