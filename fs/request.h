/*
 * A request of the kernel's that may wait: its deadline, and its ^C.
 *
 * request_begin() ... work with &r.call ... request_end(), then the answer: nothing may
 * refer to the fuse_req_t once it is answered, and request_end() sees to that.
 *
 * The set of all requests at work lets the end of the mount end them, and is one of the
 * watcher's crowds.
 *
 * Lock order: libfuse's req->lock, then the set's lock, then the cancel's.
 */
#ifndef LARDER_FS_REQUEST_H
#define LARDER_FS_REQUEST_H

#include <pthread.h>
#include <stdbool.h>

#include "fetch/base/call.h"
#include "fs/fuse.h"
#include "fs/watcher.h"

struct request {
	fuse_req_t req;   /* borrowed, until it is answered; may be NULL */
	struct call call; /* to be passed down */
	struct cancel cancel;
	struct requests *set;
	struct request *next, *prev; /* under the set's lock */
	pid_t tid;                   /* who waits; 0: out of sight, or nobody */
};

struct requests {
	pthread_mutex_t lock;
	struct request *first;   /* under lock */
	bool ending;             /* under lock: new requests are cancelled at once */
	struct watcher *watcher; /* borrowed */
};

void requests_init(struct requests *set, struct watcher *watcher);
/* For the watcher: who is at work. */
struct crowd requests_crowd(struct requests *set);
/* Cancels every request, and every one that begins later. */
void requests_cancel_all(struct requests *set);
/* No request may be under way. */
void requests_finish(struct requests *set);

/* req NULL: work of our own, that only the mount's end ends early. */
void request_begin(
	struct request *r, struct requests *set, fuse_req_t req, uint64_t deadline_ns);
void request_end(struct request *r);

#endif
