#include "fetch/pinned_source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/base/lock.h"
#include "fetch/base/log.h"

#define VANISHED_NS (5 * NS_PER_SECOND) /* how long a 404 is remembered */

/* An object and its users. */
struct held {
	struct object *object; /* owned */
	unsigned refs;         /* under the source's lock */
};

struct pinned_source {
	struct range_source base;
	struct store *store; /* borrowed */
	char *key;           /* owned */
	size_t tail_len;
	pinned_judge_fn *judge;
	void *arg; /* borrowed */

	pthread_mutex_t lock;
	pthread_cond_t settled;     /* a reopen has ended */
	struct held *current;       /* one reference; under lock */
	bool reopening;             /* under lock: one thread is at it */
	uint64_t flights;           /* under lock: reopens that have ended, either way */
	uint64_t reopens;           /* under lock: those that gave the pin in force */
	bool superseded;            /* under lock */
	uint64_t vanished_until_ns; /* under lock; 0: it is there */
	struct error failure; /* under lock: of the last reopen; code 0: none to share */
};

static struct pinned_source *pinned(struct range_source *s)
{
	return (struct pinned_source *)s;
}

/* --- references ------------------------------------------------------------------- */

static void held_free(struct held *h)
{
	if (h)
		object_free(h->object);
	free(h);
}

static struct held *held_new(struct object *object)
{
	struct held *h = malloc(sizeof(*h));
	if (h)
		*h = (struct held){.object = object, .refs = 1};
	else
		object_free(object);
	return h;
}

static int acquire(struct pinned_source *p, struct held **ret, struct error *e)
{
	LOCK_SCOPE(&p->lock);
	if (p->superseded)
		return error_set(e, -ESTALE, "'%s' in '%s' has been replaced", p->key,
			store_name(p->store));
	if (p->vanished_until_ns > clock_monotonic_ns())
		return error_set(e, -ENOENT, "'%s' has vanished from '%s'", p->key,
			store_name(p->store));
	p->current->refs++;
	*ret = p->current;
	return 0;
}

/* The caller frees what it returns, without the lock. */
static struct held *drop_reference(struct pinned_source *p, struct held *h)
{
	LOCK_SCOPE(&p->lock);
	return --h->refs ? NULL : h;
}

static void release(struct pinned_source *p, struct held *h)
{
	held_free(drop_reference(p, h));
}

/* --- reopening -------------------------------------------------------------------- */

/* -ESTALE of an opening says that the key changed meanwhile, not what is there now. */
static int open_at_rest(struct pinned_source *p, const struct call *call,
	struct object **ret, struct error *e)
{
	for (int i = 0; i < PINNED_REOPENS; i++) {
		int r = store_open_object(
			p->store, call, p->key, p->tail_len, ret, NULL, e);
		if (r != -ESTALE)
			return r;
	}
	return error_set(e, -EIO, "'%s' in '%s' changes each time that it is opened",
		p->key, store_name(p->store));
}

/* Opens the key again and has it judged. 0: *ret is the same content. */
static int open_fresh(struct pinned_source *p, const struct call *call,
	struct object **ret, struct error *e)
{
	CLEANUP(cleanup_object) struct object *fresh = NULL;
	int r = open_at_rest(p, call, &fresh, e);
	if (r < 0)
		return r;
	r = p->judge(p->arg, call, &fresh, e);
	if (r < 0)
		return r;
	if (object_source(fresh)->size != p->base.size)
		return error_set(e, -ESTALE, "'%s' in '%s' has another size now", p->key,
			store_name(p->store));
	object_drop_tail(fresh);
	object_drop_whole(fresh);
	*ret = steal_pointer(fresh);
	return 0;
}

/* An end of patience is the leader's own: those who waited for it try for themselves. */
static bool is_shared(int code)
{
	return code < 0 && code != -ETIMEDOUT && code != -ECANCELED;
}

/* Ends the reopen and tells everybody. fresh is NULL unless r is 0. Returns the reference
 * that was given up, for the caller to release. */
static struct held *settle(
	struct pinned_source *p, int r, struct held *fresh, const struct error *e)
{
	struct held *old = NULL;
	LOCK_SCOPE(&p->lock);
	p->failure = (struct error){0};
	if (r == 0) {
		old = p->current;
		p->current = fresh;
		p->reopens++;
		p->vanished_until_ns = 0;
	} else if (r == -ESTALE) {
		p->superseded = true;
	} else if (r == -ENOENT) {
		p->vanished_until_ns = clock_monotonic_ns() + VANISHED_NS;
	}
	if (is_shared(r))
		p->failure = *e;
	p->reopening = false;
	p->flights++;
	pthread_cond_broadcast(&p->settled);
	return old;
}

static int lead_reopen(struct pinned_source *p, const struct call *call, struct error *e)
{
	struct error why = {0};
	struct object *object = NULL;
	int r = open_fresh(p, call, &object, &why);
	struct held *fresh = r == 0 ? held_new(object) : NULL;
	if (r == 0 && !fresh)
		r = -ENOMEM;
	if (r < 0 && !why.code)
		error_set_errno(&why, r, "cannot reopen '%s'", p->key);
	log_debug("reopened '%s': %s", p->key, r == 0 ? "the same content" : why.text);
	struct held *old = settle(p, r, fresh, &why);
	if (old)
		release(p, old);
	if (r < 0)
		error_copy(e, &why);
	return r;
}

static int wait_for_flight(struct pinned_source *p, const struct call *call,
	uint64_t flight, struct error *e)
{
	int r = 0;
	LOCK_SCOPE(&p->lock);
	while (p->flights == flight && r == 0)
		r = call_wait(call, &p->lock, &p->settled);
	if (r < 0)
		return error_set_errno(e, r, "while '%s' was being reopened", p->key);
	if (p->failure.code)
		error_copy(e, &p->failure);
	return p->failure.code;
}

static int follow_reopen(struct pinned_source *p, const struct call *call,
	uint64_t flight, struct error *e)
{
	call_attach(call, &p->lock, &p->settled);
	int r = wait_for_flight(p, call, flight, e);
	call_detach(call);
	return r;
}

enum role { LEAD, FOLLOW, LATE };

static enum role join_reopen(
	struct pinned_source *p, const struct held *stale, uint64_t *ret_flight)
{
	LOCK_SCOPE(&p->lock);
	if (p->current != stale || p->superseded)
		return LATE;
	*ret_flight = p->flights;
	if (p->reopening)
		return FOLLOW;
	p->reopening = true;
	return LEAD;
}

/* 0: the read may be tried again. */
static int reopen(struct pinned_source *p, const struct call *call,
	const struct held *stale, struct error *e)
{
	uint64_t flight = 0;
	switch (join_reopen(p, stale, &flight)) {
	case LEAD:
		return lead_reopen(p, call, e);
	case FOLLOW:
		return follow_reopen(p, call, flight, e);
	default:
		return 0;
	}
}

static void remember_vanished(struct pinned_source *p, const struct held *h)
{
	LOCK_SCOPE(&p->lock);
	if (p->current == h)
		p->vanished_until_ns = clock_monotonic_ns() + VANISHED_NS;
}

/* --- the source ------------------------------------------------------------------- */

/* One try. *ret_again: the object was reopened, so another one is worth it. */
static int read_once(struct pinned_source *p, const struct call *call, uint64_t offset,
	size_t len, void *buf, bool may_reopen, bool *ret_again, struct error *e)
{
	struct held *held = NULL;
	int r = acquire(p, &held, e);
	if (r < 0)
		return r;
	r = range_source_read(object_source(held->object), call, offset, len, buf, e);
	if (r == -ENOENT)
		remember_vanished(p, held);
	if (r == -ESTALE && may_reopen && call->priority != PRIORITY_PREFETCH) {
		r = reopen(p, call, held, e);
		*ret_again = r == 0;
	} else if (r == -ESTALE && !may_reopen) {
		r = error_set(e, -EIO, "'%s' in '%s' is another version in every answer",
			p->key, store_name(p->store));
	}
	release(p, held);
	return r;
}

static int pinned_read(struct range_source *s, const struct call *call, uint64_t offset,
	size_t len, void *buf, struct error *e)
{
	int r;
	bool again;
	unsigned reopens = 0;
	do {
		again = false;
		r = read_once(pinned(s), call, offset, len, buf, reopens < PINNED_REOPENS,
			&again, e);
		reopens++;
	} while (again);
	return r;
}

static void pinned_free(struct range_source *s)
{
	struct pinned_source *p = pinned(s);
	held_free(p->current);
	pthread_cond_destroy(&p->settled);
	pthread_mutex_destroy(&p->lock);
	free(p->key);
	free(p);
}

static const struct range_source_ops pinned_ops = {
	.read = pinned_read,
	.free = pinned_free,
};

int pinned_source_new(struct store *store, const char *key, struct object *object,
	size_t tail_len, pinned_judge_fn *judge, void *arg, struct range_source **ret)
{
	struct held *current = held_new(object);
	char *copy = strdup(key);
	struct pinned_source *p = calloc(1, sizeof(*p));
	if (!current || !copy || !p || condition_init(&p->settled) < 0) {
		held_free(current);
		free(copy);
		free(p);
		return -ENOMEM;
	}
	pthread_mutex_init(&p->lock, NULL);
	p->base = (struct range_source){&pinned_ops, object_source(object)->size};
	p->store = store;
	p->key = copy;
	p->tail_len = tail_len;
	p->judge = judge;
	p->arg = arg;
	p->current = current;
	*ret = &p->base;
	return 0;
}

void pinned_source_pin(struct range_source *s, struct pin *ret)
{
	LOCK_SCOPE(&pinned(s)->lock);
	*ret = *object_pin(pinned(s)->current->object);
}

uint64_t pinned_source_reopens(struct range_source *s)
{
	LOCK_SCOPE(&pinned(s)->lock);
	return pinned(s)->reopens;
}

bool pinned_source_superseded(struct range_source *s)
{
	LOCK_SCOPE(&pinned(s)->lock);
	return pinned(s)->superseded;
}
