/*
 * A request of the kernel's that may wait: its deadline, and its ^C.
 *
 * request_begin() ... work with &r.call ... request_end(), then the answer: nothing may
 * refer to the fuse_req_t once it is answered, and request_end() sees to that.
 *
 * The set of all waiting requests lets the end of the mount end them, and the watcher
 * look again at those whose caller had a signal that was no reason to stop (the kernel
 * sends one INTERRUPT only).
 *
 * Lock order: libfuse's req->lock, then the set's lock, then the cancel's.
 */
#ifndef LARDER_FS_REQUEST_H
#define LARDER_FS_REQUEST_H

#include <pthread.h>
#include <stdbool.h>

#include "fetch/base/call.h"
#include "fs/fuse.h"

#define REQUESTS_WATCH_NS (100 * NS_PER_MS)

struct request {
	fuse_req_t req;   /* borrowed, until it is answered; may be NULL */
	struct call call; /* to be passed down */
	struct cancel cancel;
	struct requests *set;
	struct request *next, *prev; /* under the set's lock */
	pid_t tid;                   /* who waits */
	bool watched;                /* under the set's lock */
};

struct requests {
	pthread_mutex_t lock;
	pthread_cond_t watch;  /* somebody is to be watched, or it is the end */
	struct request *first; /* under lock */
	unsigned watched;      /* under lock */
	bool ending;           /* under lock: new requests are cancelled at once */
	bool watching;         /* the thread runs */
	pthread_t watcher;
};

/* Starts the watcher. 0 or -errno. */
int requests_init(struct requests *set);
/* Cancels every request, and every one that begins later. */
void requests_cancel_all(struct requests *set);
/* No request may be under way. */
void requests_finish(struct requests *set);

/* req NULL: work of our own, that only the mount's end ends early. */
void request_begin(
	struct request *r, struct requests *set, fuse_req_t req, uint64_t deadline_ns);
void request_end(struct request *r);

#endif
