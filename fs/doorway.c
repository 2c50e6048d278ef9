#include "fs/doorway.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/base/lock.h"
#include "fetch/base/vec.h"
#include "fs/flight.h"
#include "fs/twins.h"

#define LIVE_MOST 65536 /* generations of one key that something still refers to */

DEFINE_VEC(generation_vec, struct generation *);

struct doorway {
	atomic_uint references;
	const struct supply *supply;       /* borrowed */
	const struct doorway_hooks *hooks; /* borrowed */
	char *key;                         /* owned */
	uint64_t inode;
	struct twins twins;
	atomic_uint_least64_t twin_reads;
	atomic_uint made; /* generations */

	pthread_mutex_t lock;
	struct generation *current; /* one reference; NULL while not open; under lock */
	struct timespec changed;    /* under lock */
	struct generation_vec live; /* weak, ascending slots; under lock */
	struct flight opening;      /* under lock */
	bool closed;                /* under lock */
	uint64_t shut_until_ns;     /* under lock */
	struct error *shut;         /* owned; under lock: why; NULL: it never was */
};

int doorway_new(const struct supply *supply, const struct doorway_hooks *hooks,
	const char *key, struct doorway **ret)
{
	struct doorway *d = malloc(sizeof(*d));
	if (!d)
		return -ENOMEM;
	*d = (struct doorway){
		.supply = supply,
		.hooks = hooks,
		.key = strdup(key),
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.live.max = LIVE_MOST,
	};
	atomic_init(&d->references, 1);
	if (!d->key || flight_init(&d->opening) < 0) {
		free(d->key);
		free(d);
		return -ENOMEM;
	}
	twins_init(&d->twins);
	*ret = d;
	return 0;
}

void doorway_set_inode(struct doorway *d, uint64_t inode)
{
	d->inode = inode;
}

void doorway_ref(struct doorway *d)
{
	atomic_fetch_add(&d->references, 1);
}

void doorway_unref(struct doorway *d)
{
	if (!d || atomic_fetch_sub(&d->references, 1) != 1)
		return;
	assert(!d->current && !d->live.len);
	generation_vec_finish(&d->live);
	twins_finish(&d->twins);
	flight_finish(&d->opening);
	pthread_mutex_destroy(&d->lock);
	free(d->shut);
	free(d->key);
	free(d);
}

const char *doorway_key(const struct doorway *d)
{
	return d->key;
}

struct doorway *doorway_of(const struct generation *g)
{
	return generation_hooks_arg(g);
}

struct generation *doorway_current(struct doorway *d)
{
	LOCK_SCOPE(&d->lock);
	if (d->current)
		generation_ref(d->current);
	return d->current;
}

bool doorway_changed(struct doorway *d, struct timespec *ret)
{
	LOCK_SCOPE(&d->lock);
	if (d->changed.tv_sec)
		*ret = d->changed;
	return d->changed.tv_sec != 0;
}

struct generation *doorway_live(struct doorway *d, uint32_t slot)
{
	LOCK_SCOPE(&d->lock);
	for (size_t i = 0; i < d->live.len; i++) {
		struct generation *g = d->live.data[i];
		if (generation_slot(g) == slot)
			return generation_ref_unless_gone(g) ? g : NULL;
	}
	return NULL;
}

static void forget_live(struct doorway *d, const struct generation *g)
{
	LOCK_SCOPE(&d->lock);
	size_t kept = 0;
	for (size_t i = 0; i < d->live.len; i++)
		if (d->live.data[i] != g)
			d->live.data[kept++] = d->live.data[i];
	d->live.len = kept;
}

static void on_gone(void *arg, struct generation *g)
{
	struct doorway *d = arg;
	forget_live(d, g);
	doorway_unref(d);
}

static int on_elsewhere(void *arg, struct generation *g, const struct call *call,
	const struct digest *digest, size_t len, void *buf)
{
	struct doorway *d = arg;
	CLEANUP(cleanup_generation) struct generation *newest = doorway_current(d);
	if (!newest || generation_slot(newest) <= generation_slot(g))
		return -ENOENT;
	return generation_chunk(newest, call, digest, len, buf);
}

/* Puts fresh, with a reference of its own, in the place of the current one, which comes
 * back with its reference. */
static int install(
	struct doorway *d, struct generation *fresh, struct generation **ret_old)
{
	LOCK_SCOPE(&d->lock);
	if (d->closed)
		return -ECANCELED;
	int r = generation_vec_push(&d->live, fresh);
	if (r < 0)
		return r;
	generation_ref(fresh);
	/* Nobody sees of another version what is not noted yet. */
	if (d->supply->history)
		history_note(d->supply->history, d->key, generation_identity(fresh));
	if (d->current) {
		generation_retire(d->current);
		d->changed = clock_realtime();
	}
	*ret_old = d->current;
	d->current = fresh;
	atomic_fetch_add(&d->made, 1);
	return 0;
}

static int on_judge(void *arg, struct generation *g, const struct call *call,
	struct object **fresh, struct error *e);

static int make_generation(struct doorway *d, struct object *object,
	const struct call *call, struct generation **ret, struct error *e)
{
	const struct generation_hooks hooks = {
		.judge = on_judge,
		.elsewhere = on_elsewhere,
		.gone = on_gone,
		.arg = d,
	};
	doorway_ref(d);
	int r = generation_new(d->supply, d->key, object, call, &hooks, ret, e);
	if (r < 0)
		doorway_unref(d);
	return r;
}

/* Other content is under the key: it becomes the current generation. */
static int succeed(struct doorway *d, const struct call *call, struct object **object,
	struct error *e)
{
	CLEANUP(cleanup_generation) struct generation *fresh = NULL;
	int r = make_generation(d, steal_pointer(*object), call, &fresh, e);
	if (r < 0)
		return r;
	CLEANUP(cleanup_generation) struct generation *old = NULL;
	r = install(d, fresh, &old);
	if (r < 0)
		return error_set_errno(
			e, r, "cannot follow '%s' to its new content", d->key);
	d->hooks->succeeded(d->hooks->arg, d->inode, old, fresh);
	return 0;
}

/* -ESTALE has one meaning here, "other content, and it is in place"; the same from below
 * only says that the object changed once more. */
static int not_stale(int r)
{
	return r == -ESTALE ? -EIO : r;
}

/* The size counts too: what lies beside the index and says nothing of the tree, say a
 * signature, may have come or gone, and moves everything that is counted from the end. */
static bool is_same(const struct generation *g, const struct digest *identity,
	const struct object *fresh)
{
	struct pin pin;
	generation_pin(g, &pin);
	return pin.size == object_pin(fresh)->size &&
	       digest_equal(identity, generation_identity(g));
}

static int on_judge(void *arg, struct generation *g, const struct call *call,
	struct object **fresh, struct error *e)
{
	struct doorway *d = arg;
	size_t len;
	const void *tail = object_tail(*fresh, &len);
	struct digest identity;
	bool foreign = false;
	int r = archive_identify(
		object_source(*fresh), call, tail, len, &identity, &foreign, e);
	if (r < 0 && !foreign)
		return not_stale(r);
	if (!foreign && is_same(g, &identity, *fresh))
		return 0;
	r = succeed(d, call, fresh, e);
	if (r < 0)
		return not_stale(r);
	return error_set(e, -ESTALE, "'%s' was overwritten with other content", d->key);
}

static int open_once(struct doorway *d, const struct call *call, struct generation **ret,
	bool *ret_denied, struct error *e)
{
	struct object *object = NULL;
	int r = store_open_object(d->supply->store, call, d->key, ARCHIVE_TAIL_SIZE,
		&object, ret_denied, e);
	if (r < 0)
		return r;
	return make_generation(d, object, call, ret, e);
}

/* Without memory it is tried again at once. */
static void shut(struct doorway *d, int code, const struct error *why)
{
	LOCK_SCOPE(&d->lock);
	if (!d->shut && !(d->shut = malloc(sizeof(*d->shut))))
		return;
	*d->shut = *why;
	d->shut->code = code;
	d->shut_until_ns = clock_monotonic_ns() + DOORWAY_SHUT_NS;
}

/* The one opener's work. */
static int open_key(struct doorway *d, const struct call *call, struct error *e)
{
	CLEANUP(cleanup_generation) struct generation *g = NULL;
	bool denied = false;
	int r = -ESTALE;
	for (int i = 0; i < DOORWAY_REOPENS && r == -ESTALE; i++)
		r = open_once(d, call, &g, &denied, e);
	if (denied)
		d->hooks->denied(d->hooks->arg, d->key);
	if (r == -EBADMSG || r == -ENOENT)
		shut(d, r, e);
	if (r < 0)
		return r;
	struct generation *old = NULL;
	r = install(d, g, &old);
	if (r < 0)
		return error_set_errno(e, r, "cannot open '%s'", d->key);
	assert(!old);
	d->hooks->opened(d->hooks->arg, d->inode, g);
	return 0;
}

bool doorway_was_opened(const struct doorway *d)
{
	return atomic_load(&d->made) > 0;
}

uint64_t doorway_shut_until(struct doorway *d)
{
	LOCK_SCOPE(&d->lock);
	return d->shut_until_ns;
}

static int check_not_shut(struct doorway *d, struct error *e)
{
	LOCK_SCOPE(&d->lock);
	if (clock_monotonic_ns() >= d->shut_until_ns)
		return 0;
	error_copy(e, d->shut);
	return d->shut->code;
}

struct wanted {
	struct doorway *doorway;
	struct generation *found; /* one reference */
};

static bool is_open(void *arg)
{
	struct wanted *w = arg;
	if (!w->doorway->current)
		return false;
	generation_ref(w->doorway->current);
	w->found = w->doorway->current;
	return true;
}

int doorway_generation(struct doorway *d, const struct call *call,
	struct generation **ret, struct error *e)
{
	struct error scratch = {0};
	if (!e)
		e = &scratch;
	struct wanted w = {.doorway = d};
	for (;;) {
		int r = check_not_shut(d, e);
		if (r == 0)
			r = flight_join(&d->opening, &d->lock, call, is_open, &w, e);
		if (r < 0)
			return r;
		if (r == FLIGHT_READY)
			break;
		r = open_key(d, call, e);
		flight_land(&d->opening, &d->lock, r, e);
		if (r < 0)
			return r;
	}
	*ret = w.found;
	return 0;
}

void doorway_close(struct doorway *d)
{
	struct generation *old;
	{
		LOCK_SCOPE(&d->lock);
		d->closed = true;
		old = steal_pointer(d->current);
	}
	generation_unref(old);
}

/* The bytes of a superseded generation's file, from a newer generation's. */
static int view_of_twin(struct generation *g, struct generation *newest,
	const struct call *call, uint32_t entry, uint64_t offset, size_t len,
	struct view *ret, struct error *e)
{
	struct doorway *d = doorway_of(g);
	uint32_t twin;
	int r = twins_find(&d->twins, call, g, entry, newest, &twin, e);
	if (r == 0)
		r = view_of_entry(newest, call, twin, offset, len, ret, e);
	if (r == 0)
		atomic_fetch_add(&d->twin_reads, 1);
	return r;
}

/* There is no twin, or it is damaged: that is its own version's trouble, and whoever reads
 * it there is told so. */
static int say_out_of_reach(const struct doorway *d, int code, struct error *e)
{
	struct error damage = {0};
	if (code == -EBADMSG)
		error_copy(&damage, e);
	return error_set(e, -ESTALE,
		"'%s' was overwritten, and a file of the version before is in reach no "
		"more%s%s",
		d->key, damage.text[0] ? ": " : "", damage.text);
}

int doorway_view(struct generation *g, const struct call *call, uint32_t entry,
	uint64_t offset, size_t len, struct view *ret, struct error *e)
{
	struct doorway *d = doorway_of(g);
	int r = view_of_entry(g, call, entry, offset, len, ret, e);
	uint32_t tried = generation_slot(g);
	while (r == -ESTALE) {
		CLEANUP(cleanup_generation)
		struct generation *newest = doorway_current(d);
		if (!newest || generation_slot(newest) <= tried)
			break;
		tried = generation_slot(newest);
		r = view_of_twin(g, newest, call, entry, offset, len, ret, e);
		if (r == -ENOENT || r == -EBADMSG)
			r = say_out_of_reach(d, r, e);
	}
	return r;
}

void doorway_stats(struct doorway *d, struct doorway_stats *ret)
{
	LOCK_SCOPE(&d->lock);
	ret->generations = atomic_load(&d->made);
	ret->live = (unsigned)d->live.len;
	ret->twins = atomic_load(&d->twin_reads);
}
