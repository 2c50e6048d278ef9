/*
 * The gate: how many requests may wait for the store at once.
 *
 * A job that may block runs on the worker that brought it while fewer than GATE_MOST are
 * inside; otherwise it is copied into a queue and the worker goes back to the kernel. Who
 * leaves the gate runs the queue's next. So some workers are always free for what needs
 * no waiting (docs/threads.md says why deadlines still hold).
 *
 * One that there is no memory to queue is let in: its worker then is one of those that
 * are kept free.
 *
 * A queued job is dropped when its caller wants to stop: the queue is one of the
 * watcher's crowds. The lock is a leaf.
 */
#ifndef LARDER_FS_GATE_H
#define LARDER_FS_GATE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "fs/fuse.h"
#include "fs/watcher.h"

#define GATE_MOST 128
#define JOB_NAME  256 /* bytes, with the NUL */

/* What a request asked, copied out of libfuse's buffer. Plain data. */
struct job {
	void (*run)(struct job *job);  /* answers req */
	void (*drop)(struct job *job); /* does, with EINTR: its caller did not wait */
	void *arg;
	fuse_req_t req;
	uint64_t inode;
	uint64_t offset;
	size_t size;
	bool plus;           /* readdirplus */
	char name[JOB_NAME]; /* lookup */
	uint64_t subject;    /* for fs/setbacks */
	uint64_t deadline_ns;
	bool second_try; /* the deadline is that of one that failed just now */
};

struct gate_queued;

struct gate {
	pthread_mutex_t lock;
	unsigned inside;                  /* under lock */
	struct gate_queued *first, *last; /* under lock */
	unsigned waiting;                 /* under lock: length of the queue */
	struct gate_queued *next_seen;    /* under lock: where the watcher goes on */
	struct watcher *watcher;          /* borrowed */
};

void gate_init(struct gate *g, struct watcher *watcher);
void gate_finish(struct gate *g); /* no job inside or waiting */

/* Runs the job now or later. It is answered in any case. */
void gate_run(struct gate *g, struct job *job);

/* Drops every waiting job. */
void gate_cancel_waiting(struct gate *g);
/* For the watcher: who waits. */
struct crowd gate_crowd(struct gate *g);

/* True: who came now would be let in, and many more. */
bool gate_has_room(struct gate *g);

void gate_stats(struct gate *g, unsigned *ret_inside, unsigned *ret_waiting);

#endif
