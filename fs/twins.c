#include "fs/twins.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/base/lock.h"
#include "fs/view.h"

#define HASH_STEP (1u << 20) /* bytes read at once */

void twins_init(struct twins *t)
{
	*t = (struct twins){.lock = PTHREAD_MUTEX_INITIALIZER};
}

void twins_finish(struct twins *t)
{
	free(t->known);
	pthread_mutex_destroy(&t->lock);
}

static size_t place_of(uint32_t slot, uint32_t entry)
{
	return (slot * 31u + entry) % TWINS_REMEMBERED;
}

static bool recall(struct twins *t, uint32_t old_slot, uint32_t entry, uint32_t new_slot,
	uint32_t *ret)
{
	LOCK_SCOPE(&t->lock);
	if (!t->known)
		return false;
	const struct twin *k = &t->known[place_of(old_slot, entry)];
	if (k->old_slot != old_slot || k->old_entry != entry || k->new_slot != new_slot)
		return false;
	*ret = k->new_entry;
	return true;
}

/* Without memory it is proved again the next time. */
static void remember(struct twins *t, struct twin twin)
{
	LOCK_SCOPE(&t->lock);
	if (!t->known)
		t->known = calloc(TWINS_REMEMBERED, sizeof(*t->known));
	if (t->known)
		t->known[place_of(twin.old_slot, twin.old_entry)] = twin;
}

static int hash_view(struct hasher *h, struct generation *g, const struct call *call,
	uint32_t entry, uint64_t offset, struct error *e)
{
	struct view v;
	int r = view_of_entry(g, call, entry, offset, HASH_STEP, &v, e);
	if (r < 0)
		return r;
	struct iovec iov[VIEW_SPANS];
	int count = view_iov(&v, iov);
	for (int i = 0; i < count && r == 0; i++)
		r = hasher_update(h, iov[i].iov_base, iov[i].iov_len);
	view_release(&v);
	return r;
}

static int hash_entry(struct generation *g, const struct call *call, uint32_t entry,
	uint64_t size, struct digest *ret, struct error *e)
{
	struct hasher *h = hasher_new();
	if (!h)
		return -ENOMEM;
	int r = 0;
	for (uint64_t at = 0; at < size && r == 0; at += HASH_STEP) {
		r = call_check(call); /* what is held locally waits for nothing */
		if (r == 0)
			r = hash_view(h, g, call, entry, at, e);
	}
	if (r == 0)
		r = hasher_finish(h, ret);
	hasher_free(h);
	return r;
}

/* The same path, if the newer tree has it; else any number. */
static uint32_t same_path(
	struct generation *old, uint32_t entry, struct generation *newer)
{
	char path[PATH_MAX];
	uint32_t found = 0;
	index_path(generation_index(old), entry, path, sizeof(path));
	index_find(generation_index(newer), path, &found);
	return found;
}

int twins_find(struct twins *t, const struct call *call, struct generation *old,
	uint32_t entry, struct generation *newer, uint32_t *ret, struct error *e)
{
	struct twin twin = {generation_slot(old), entry, generation_slot(newer), 0};
	if (recall(t, twin.old_slot, entry, twin.new_slot, ret))
		return 0;
	uint8_t wanted[16];
	int r = generation_content_digest(old, entry, wanted);
	if (r < 0)
		return r;
	r = generation_load_digests(newer, call, e);
	if (r < 0)
		return r;
	struct entry_info info;
	index_info(generation_index(old), entry, &info);
	r = generation_find_content(
		newer, wanted, info.size, same_path(old, entry, newer), &twin.new_entry);
	if (r < 0)
		return r;
	struct digest content;
	r = hash_entry(newer, call, twin.new_entry, info.size, &content, e);
	if (r < 0)
		return r;
	if (memcmp(content.bytes, wanted, sizeof(wanted)) != 0)
		return error_set(
			e, -EBADMSG, "a file's content is not what its digest says");
	remember(t, twin);
	*ret = twin.new_entry;
	return 0;
}
