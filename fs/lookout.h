/*
 * The lookout: the workers that wait for requests, which had better be one.
 *
 * Each request wakes the worker that has slept longest at the device, on whatever
 * processor that was, even while the one that answered last looks for it already. So
 * where nearly all requests are quick, as in a walk, one worker has the post: it keeps it
 * over requests that are answered from memory, and leaves it before anything that may
 * wait, and when a second request is there already; then another takes it. The others
 * wait to relieve it, and do nothing else, so that the kernel is listened to as long as
 * there are workers.
 *
 * To be relieved means that somebody is woken. Where many requests may wait, as when
 * files are read here and there, this would be done for each; so then the post is open to
 * all.
 *
 * The mutex guards the numbers, and is a leaf.
 */
#ifndef LARDER_FS_LOOKOUT_H
#define LARDER_FS_LOOKOUT_H

#include <pthread.h>
#include <stdbool.h>

struct lookout {
	pthread_mutex_t lock;
	pthread_cond_t left;
	unsigned manned;  /* workers at the post */
	unsigned waiting; /* for it */
	unsigned slow;    /* how many of late were not quick; 256: all */
};

#define LOOKOUT_INIT                                                                     \
	{                                                                                \
		.lock = PTHREAD_MUTEX_INITIALIZER, .left = PTHREAD_COND_INITIALIZER      \
	}

/* Takes the post, waiting for it if need be. A cancellation point, after which nothing is
 * held. A thread that has it keeps it, unless there are others; it has one post at most.
 */
void lookout_take(struct lookout *l);

/* Leaves the post, if the calling thread has it. */
void lookout_leave(struct lookout *l);

/* Whoever has the post has a request: will it be answered at once? */
void lookout_count(struct lookout *l, bool quick);

/* Is a thread at the post, or about to take it? */
bool lookout_is_manned(struct lookout *l);

#endif
