/*
 * A hoard: what several keepers have in memory for later, and one limit for all of it.
 *
 * Each keeper tells how much it keeps. Who has just taken what passes the limit lets keepers
 * give back, until it is a sixteenth below: on its own thread, whosever memory that is. They
 * are asked in turn, and who was used since it was asked last is passed over once (CLOCK):
 * so a use costs no more than a flag of the keeper's own. Who is asked for the first time
 * since gives back what was used and is done with; only who is asked again also what is
 * wanted before long.
 *
 * The sum passes the limit by what is in use, which nobody gives back, and by what others
 * take while one makes room.
 *
 * hoard.lock guards the ring, and is held while a keeper gives back, which takes that one's
 * own lock and a system call: so nobody joins, leaves or tells with a lock of his own held.
 */
#ifndef LARDER_ARCHIVE_HOARD_H
#define LARDER_ARCHIVE_HOARD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct keeper {
	/* Gives back, and tells so, about as many bytes, or as there are: of what is done
	 * with, and when that is not enough, with `all`, of anything not in use. */
	void (*yield)(void *arg, size_t bytes, bool all);
	void *arg;
	atomic_bool used;           /* since it was asked last */
	bool yielded;               /* since it was used; under hoard.lock */
	struct keeper *next, *prev; /* in the ring; under hoard.lock */
};

struct hoard {
	pthread_mutex_t lock;
	struct keeper *hand; /* who is asked next; NULL: there are none; under lock */
	size_t limit;        /* bytes */
	/* Told of: below 0 for a moment where what went is told before it came. */
	atomic_ptrdiff_t bytes;
};

void hoard_init(struct hoard *h, size_t limit);
void hoard_finish(struct hoard *h); /* all have left */

/* yield and arg are set. k is borrowed, and not asked any more once it has left. From now on
 * it may be asked at any moment: what it keeps by then has been told. */
void hoard_join(struct hoard *h, struct keeper *k);
void hoard_leave(struct hoard *h, struct keeper *k);

/* A keeper kept `before` bytes, and keeps `now`. When that is more than there may be, makes
 * room, unless another thread is at it. */
void hoard_tell(struct hoard *h, size_t before, size_t now);

/* Somebody wanted what it keeps. */
static inline void keeper_used(struct keeper *k)
{
	if (!atomic_load_explicit(&k->used, memory_order_relaxed))
		atomic_store_explicit(&k->used, true, memory_order_relaxed);
}

#endif
