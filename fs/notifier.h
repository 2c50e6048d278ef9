/*
 * The notifier: the one thread that tells the kernel what to forget.
 *
 * Invalidating a name takes the kernel's lock of its directory, which a lookup under way
 * in that directory holds: a request handler that did it would wait for itself. So
 * handlers only queue.
 *
 * The mutex guards the queue and is a leaf; the kernel is talked to without it.
 */
#ifndef LARDER_FS_NOTIFIER_H
#define LARDER_FS_NOTIFIER_H

#include <stdint.h>

#include "fs/fuse.h"
#include "fs/generation.h"

struct notifier;

/* How the kernel is talked to; a test has its own. */
struct notifier_ops {
	void (*forget_names)(void *arg, uint64_t directory, const char *name, size_t len);
	void (*forget_inode)(void *arg, uint64_t inode);
	void *arg;
};

/* Starts the thread. 0 or -errno. */
int notifier_new(const struct notifier_ops *ops, struct notifier **ret);

/* Ends the thread; what is queued then or later is dropped. Both accept NULL. */
void notifier_stop(struct notifier *n);
void notifier_free(struct notifier *n); /* nobody uses it any more */

/* The doorway leads to `fresh` from now on: its attributes, its listing, and the names of
 * both top levels are to be forgotten; then, as long as the kernel knows inodes of `old`,
 * all names in it. Takes references of its own. */
void notifier_succession(struct notifier *n, uint64_t doorway, struct generation *old,
	struct generation *fresh);

/* What the kernel keeps of this directory, its attributes and its listing, is not to live
 * longer than until due_ns (monotonic). The names in it stay. */
void notifier_expire(struct notifier *n, uint64_t directory, uint64_t due_ns);

/* A name of a retired generation, found or not, is about to be told to the kernel, for
 * this one use: kept, it would keep the generation alive. directory: an inode. Not for a
 * directory of keys: the kernel would wait there for who waits for the store. */
void notifier_lapse(struct notifier *n, uint64_t directory, const char *name);

/* notifier_ops over a session (arg). */
void notifier_session_ops(struct fuse_session *session, struct notifier_ops *ret);

#endif
