/*
 * The feeder: gives the kernel small files before they are asked for.
 *
 * A READ costs a round trip between processes, which for a small file is nearly all it
 * costs. Whoever lists a directory and reads a file in it will read the others. So when a
 * file is read whose directory was listed, so that the kernel knows the inodes
 * (readdirplus told them), the directory's other files that lie in the same frame, which
 * is decoded, are put into the page cache (FUSE_NOTIFY_STORE). At the end of a listing,
 * so are those whose frames are decoded already, because something reads in that order.
 * Nothing is loaded for it. Who opens files without listing them is fed nothing.
 *
 * The worker does it before it answers: afterwards it would run a race with the reader,
 * for one file after the other. Storing waits for the page lock of a read that is under
 * way, and that read for a worker, or in the gate's queue for somebody to leave. So a
 * file that was read is left out; nothing is fed unless another worker waits for
 * requests; and at most FEEDERS_MOST feed, so that most of those inside the gate are
 * waiting for the store, which ends, and who is queued gets in. (Where the system refuses
 * libfuse a second thread, no other worker ever waits, and nothing is fed.) Before the
 * workers end, feeder_stop() sees to it that none is at it.
 *
 * The mutex guards who is at it, and is a leaf; not held while the kernel is talked to.
 */
#ifndef LARDER_FS_FEEDER_H
#define LARDER_FS_FEEDER_H

#include <pthread.h>

#include "fs/fuse.h"
#include "fs/gate.h"
#include "fs/generation.h"

#define FEEDER_MOST  (256u << 10)    /* bytes of a file that is fed */
#define FEEDERS_MOST (GATE_MOST / 4) /* workers that feed at once */

struct feeder {
	/* Gives the kernel a whole file; a test has its own. NULL: there is no kernel. */
	void (*store)(void *arg, uint64_t inode, const void *data, size_t len);
	/* Does another worker wait for requests? */
	bool (*has_help)(void *arg);
	void *arg;

	pthread_mutex_t lock;
	pthread_cond_t rested;
	unsigned busy; /* workers feeding; under lock */
	bool stopped;  /* under lock */
};

void feeder_init(struct feeder *f);
void feeder_finish(struct feeder *f); /* nobody feeds any more */

/* From now on nothing is fed; returns when nobody is at it any more. Workers still answer
 * reads meanwhile. */
void feeder_stop(struct feeder *f);

/* Content of this file is about to be given to the kernel. The directories that the
 * kernel knows the inodes of bear a mark (generation_marks()). */
void feeder_read(struct feeder *f, struct generation *g, uint32_t entry);

/* The kernel asks for more of this directory than there is: it has the inodes by now.
 * What is decoded of the directory's files is fed. */
void feeder_listed(struct feeder *f, struct generation *g, uint32_t directory);

/* Feeds a session from now on. */
void feeder_attach(struct feeder *f, struct fuse_session *session);

#endif
