/*
 * The feeder: the one thread that gives the kernel small files before they are asked for.
 *
 * A READ costs a round trip between processes, which for a small file is nearly all it
 * costs. Whoever lists a directory and reads a file in it will read the others. So once
 * the kernel knows a directory's inodes (readdirplus told it), the contents of those of
 * its files that lie in decoded frames are put into the page cache (FUSE_NOTIFY_STORE):
 * after a listing, what is decoded already; after a read, what shares its frame. Nothing
 * is loaded for it. Who opens files without listing them is fed nothing.
 *
 * Storing waits for the page locks of reads under way. Therefore this has a thread of its
 * own, and files that somebody reads are left out.
 *
 * The mutex guards the queue and is a leaf; the kernel is talked to without it. At most
 * FEEDER_QUEUE wishes wait; further ones are dropped.
 */
#ifndef LARDER_FS_FEEDER_H
#define LARDER_FS_FEEDER_H

#include "fs/fuse.h"
#include "fs/generation.h"

#define FEEDER_QUEUE 256
#define FEEDER_MOST  (256u << 10) /* bytes of a file that is fed */

struct feeder;

/* How the kernel is given a whole file; a test has its own. */
struct feeder_ops {
	void (*store)(void *arg, uint64_t inode, const void *data, size_t len);
	void *arg;
};

/* Starts the thread. 0 or -errno. */
int feeder_new(const struct feeder_ops *ops, struct feeder **ret);

/* Ends the thread; what is queued then or later is dropped. Both accept NULL. */
void feeder_stop(struct feeder *f);
void feeder_free(struct feeder *f); /* nobody uses it any more */

/* The kernel knows the inodes of [first, first + count) of `directory`'s children from
 * now on. Accepts NULL, like the next one. */
void feeder_listed(struct feeder *f, struct generation *g, uint32_t directory,
	uint32_t first, uint32_t count);

/* The kernel was given content of this file. */
void feeder_read(struct feeder *f, struct generation *g, uint32_t entry);

/* feeder_ops over a session (arg). */
void feeder_session_ops(struct fuse_session *session, struct feeder_ops *ret);

#endif
