/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A link of limited speed that connections share: bytes pass one after the other, each
 * taking 1/rate seconds. Who wants to pass while it is taken for more than a moment ahead
 * waits for its turn, first come first served.
 */
#ifndef FAULTPROXY_LINK_H
#define FAULTPROXY_LINK_H

#include "loop.h"

/*
 * How far ahead of its time a link may be taken, and how little that may become before a
 * timer is worth its cost: who is awake for another reason comes earlier.
 */
#define LINK_AHEAD     (4 * NS_PER_MS)
#define LINK_AHEAD_MIN (2 * NS_PER_MS)

struct link_user {
	struct list node;
	void (*on_turn)(struct link_user *user);
};

struct link {
	struct loop *loop; /* Borrowed */
	uint64_t rate;     /* bytes a second; 0 for no limit */
	uint64_t free_at;
	struct list waiting;
	struct timer timer;
};

void link_init(struct link *link, struct loop *loop);
void link_set_rate(struct link *link, uint64_t rate);

/* When to look again at a link that is taken up to free_at. */
static inline uint64_t link_look_at(uint64_t free_at)
{
	return free_at > LINK_AHEAD_MIN ? free_at - LINK_AHEAD_MIN : 0;
}

/*
 * Whether bytes may be passed now; if not, user->on_turn is called when its turn comes,
 * within which link_pass() may be called without asking again.
 */
bool link_enter(struct link *link, struct link_user *user);
void link_leave(struct link_user *user);

/* Passes n bytes from now on; returns when the last has passed, 0 without a limit. */
uint64_t link_pass(struct link *link, uint64_t n);

/* The time that n bytes take at rate bytes a second; 0 where rate is 0. */
uint64_t transfer_time(uint64_t rate, uint64_t n);

#endif
