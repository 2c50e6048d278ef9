#include "fs/history.h"

#include <stdlib.h>
#include <string.h>

#include "fetch/base/lock.h"

#define PLACES_FIRST 64

/* Of the SHA-256 of the key 64 bits are enough: two keys that share them are told apart
 * by their contents, and then count as overwritten. Of the identity 128 are kept, since
 * contents that share fewer can be made. */
struct history_place {
	uint64_t key; /* 0: free */
	uint8_t identity[16];
};

void history_init(struct history *h)
{
	*h = (struct history){.lock = PTHREAD_MUTEX_INITIALIZER};
}

void history_finish(struct history *h)
{
	pthread_mutex_destroy(&h->lock);
	free(h->at);
}

/* The place of the key, or the free one for it. */
static struct history_place *place_of(struct history_place *at, size_t size, uint64_t key)
{
	size_t i = (size_t)key & (size - 1);
	while (at[i].key && at[i].key != key)
		i = (i + 1) & (size - 1);
	return &at[i];
}

/* Under lock: room for one more. */
static bool make_room(struct history *h)
{
	if (h->count < h->size / 4 * 3)
		return true;
	if (h->count >= HISTORY_MOST)
		return false;
	size_t size = h->size ? 2 * h->size : PLACES_FIRST;
	struct history_place *at = calloc(size, sizeof(*at));
	if (!at)
		return false;
	for (size_t i = 0; i < h->size; i++)
		if (h->at[i].key)
			*place_of(at, size, h->at[i].key) = h->at[i];
	free(h->at);
	h->at = at;
	h->size = size;
	return true;
}

/* Under lock. NULL: it is not known. */
static struct history_place *find(struct history *h, uint64_t key)
{
	struct history_place *p = h->size ? place_of(h->at, h->size, key) : NULL;
	return p && p->key ? p : NULL;
}

/* Under lock. NULL: there is no room for it. */
static struct history_place *add(struct history *h, uint64_t key)
{
	if (!make_room(h))
		return NULL;
	struct history_place *p = place_of(h->at, h->size, key);
	p->key = key;
	h->count++;
	return p;
}

/* Under lock: is it the first content of this key, or the one that it had? */
static bool is_as_before(struct history *h, uint64_t key, const struct digest *identity)
{
	struct history_place *p = find(h, key);
	bool same = !p || !memcmp(p->identity, identity->bytes, sizeof(p->identity));
	if (!p)
		p = add(h, key);
	if (!p)
		return false;
	memcpy(p->identity, identity->bytes, sizeof(p->identity));
	return same;
}

void history_note(struct history *h, const char *key, const struct digest *identity)
{
	struct digest d;
	uint64_t name = 0;
	bool known = digest_of(key, strlen(key), &d) == 0;
	if (known)
		memcpy(&name, d.bytes, sizeof(name));
	LOCK_SCOPE(&h->lock);
	if (!known || !is_as_before(h, name ? name : 1, identity))
		h->overwrites++;
}

uint64_t history_overwrites(struct history *h)
{
	LOCK_SCOPE(&h->lock);
	return h->overwrites;
}
