#include "archive/hoard.h"

#include <assert.h>

#include "fetch/base/lock.h"

#define SLACK 16 /* one part in so many of the limit is made free at once */

void hoard_init(struct hoard *h, size_t limit)
{
	*h = (struct hoard){.lock = PTHREAD_MUTEX_INITIALIZER, .limit = limit};
}

void hoard_finish(struct hoard *h)
{
	assert(!h->hand);
	pthread_mutex_destroy(&h->lock);
}

void hoard_join(struct hoard *h, struct keeper *k)
{
	LOCK_SCOPE(&h->lock);
	if (!h->hand) {
		h->hand = k->next = k->prev = k;
		return;
	}
	k->next = h->hand;
	k->prev = h->hand->prev;
	k->prev->next = k->next->prev = k;
}

void hoard_leave(struct hoard *h, struct keeper *k)
{
	LOCK_SCOPE(&h->lock);
	k->prev->next = k->next;
	k->next->prev = k->prev;
	if (h->hand == k)
		h->hand = k->next != k ? k->next : NULL;
}

static bool is_beyond(ptrdiff_t bytes, size_t bound)
{
	return bytes > 0 && (size_t)bytes > bound;
}

/* Under lock. */
static void ask(struct keeper *k, size_t bytes)
{
	if (atomic_exchange(&k->used, false)) {
		k->yielded = false;
		return;
	}
	k->yield(k->arg, bytes, k->yielded);
	k->yielded = true;
}

/* Under lock. Three times around: the first time may only take away the flags, and the second
 * one take what is done with. */
static void make_room(struct hoard *h)
{
	size_t goal = h->limit - h->limit / SLACK;
	const struct keeper *start = h->hand;
	unsigned rounds = 0;
	while (h->hand && rounds < 3) {
		ptrdiff_t now = atomic_load(&h->bytes);
		if (!is_beyond(now, goal))
			return;
		struct keeper *k = h->hand;
		h->hand = k->next;
		rounds += h->hand == start;
		ask(k, (size_t)now - goal);
	}
}

/* Who gives back tells so while the lock is held, perhaps by this very thread. */
void hoard_tell(struct hoard *h, size_t before, size_t now)
{
	ptrdiff_t more = (ptrdiff_t)now - (ptrdiff_t)before;
	ptrdiff_t sum = atomic_fetch_add(&h->bytes, more) + more;
	if (more <= 0 || !is_beyond(sum, h->limit) ||
		pthread_mutex_trylock(&h->lock) != 0)
		return;
	make_room(h);
	pthread_mutex_unlock(&h->lock);
}
