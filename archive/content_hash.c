#include "archive/content_hash.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "fetch/base/lock.h"

struct content_hash {
	pthread_mutex_t lock;
	pthread_cond_t turned;
	uint64_t turn;         /* the offset hashed up to; under lock */
	bool failed;           /* under lock */
	uint64_t size;         /* bytes */
	struct hasher *hasher; /* owned; used by the turn's holder */
};

struct content_hash *content_hash_new(uint64_t size)
{
	struct content_hash *h = calloc(1, sizeof(*h));
	if (!h)
		return NULL;
	pthread_mutex_init(&h->lock, NULL);
	pthread_cond_init(&h->turned, NULL);
	h->size = size;
	return h;
}

void content_hash_free(struct content_hash *h)
{
	if (!h)
		return;
	hasher_free(h->hasher);
	pthread_cond_destroy(&h->turned);
	pthread_mutex_destroy(&h->lock);
	free(h);
}

static int wait_for_turn(struct content_hash *h, uint64_t offset)
{
	LOCK_SCOPE(&h->lock);
	while (!h->failed && h->turn != offset)
		pthread_cond_wait(&h->turned, &h->lock);
	return h->failed ? -ECANCELED : 0;
}

static void pass_turn(struct content_hash *h, uint64_t offset)
{
	LOCK_SCOPE(&h->lock);
	h->turn = offset;
	pthread_cond_broadcast(&h->turned);
}

/* The hasher lives from the first piece to the last: files may be planned by the
 * thousand before their first piece is read. */
static int hash_piece(struct content_hash *h, const void *data, size_t len)
{
	if (!h->hasher)
		h->hasher = hasher_new();
	return h->hasher ? hasher_update(h->hasher, data, len) : -ENOMEM;
}

static int finish(struct content_hash *h, struct digest *ret)
{
	int r = hasher_finish(h->hasher, ret);
	hasher_free(h->hasher);
	h->hasher = NULL;
	return r < 0 ? r : 1;
}

int content_hash_add(struct content_hash *h, uint64_t offset, const void *data,
	size_t len, struct digest *ret)
{
	int r = wait_for_turn(h, offset);
	if (r == 0)
		r = hash_piece(h, data, len);
	if (r < 0) {
		content_hash_fail(h);
		return r;
	}
	if (offset + len == h->size)
		return finish(h, ret);
	pass_turn(h, offset + len);
	return 0;
}

void content_hash_fail(struct content_hash *h)
{
	LOCK_SCOPE(&h->lock);
	h->failed = true;
	pthread_cond_broadcast(&h->turned);
}
