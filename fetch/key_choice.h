/*
 * Which keys will do, and in which order they are looked for.
 *
 * A scope is a namespace: SCOPE/ stands before the key, so that builds of one branch or
 * pull request neither see nor overwrite those of another. "SCOPE:TRUSTED:..." names
 * scopes besides that are only read. With the key K and the prefixes P, Q that is
 *
 *     SCOPE/K  TRUSTED/K   and then the newest of   SCOPE/P*  SCOPE/Q*  TRUSTED/P*
 * TRUSTED/Q*
 *
 * Only these; keys outside of the scopes are never taken. Plain data, read-only once
 * made.
 */
#ifndef LARDER_FETCH_KEY_CHOICE_H
#define LARDER_FETCH_KEY_CHOICE_H

#include "fetch/base/vec.h"
#include "fetch/store.h"

#define KEY_SCOPES_MAX 16

DEFINE_VEC(name_vec, char *);

struct key_choice {
	struct name_vec exact;    /* owned strings; the first is what a commit writes */
	struct name_vec prefixes; /* owned strings */
};

/* scope: NULL or "" for none. prefixes: count fallback keys. 0; -EINVAL when a scope or
 * the key with it is none (key_check()), or there are too many scopes; -ENOMEM. */
int key_choice_init(struct key_choice *ret, const char *scope, const char *key,
	const char *const *prefixes, size_t count, struct error *e);
void key_choice_finish(struct key_choice *c);

/* The key of the own scope: the one to write, and to name when nothing is found. */
const char *key_choice_own(const struct key_choice *c);

/* Is it the very key that was asked for, in whichever of the scopes? */
bool key_choice_is_exact(const struct key_choice *c, const char *key);

/* A way through the choice. Zeroed but for `choice` at the start. */
struct key_walk {
	const struct key_choice *choice; /* borrowed */
	size_t next;
	char *newest; /* owned */
};
void key_walk_finish(struct key_walk *w);

/* The next key to try, after the one before was a miss; lists the store for a prefix,
 * with newest_key(). *ret is borrowed until the next call. 0; -ENOENT: there is none
 * left; -EINVAL: this kind of store cannot be listed; store_list()'s errors. */
int key_walk_next(struct key_walk *w, struct store *s, const struct call *call,
	const char **ret, struct error *e);

/* Opens a key: 0, or -ENOENT when the next one shall be tried, or another error. */
typedef int key_try_fn(void *arg, const char *key, struct error *e);

/* Walks until fn finds one; call is for the listing. -ENOENT with what fn said of the
 * first key; fn's and key_walk_next()'s errors. */
int key_choice_find(const struct key_choice *c, struct store *s, const struct call *call,
	key_try_fn *fn, void *arg, struct error *e);

#endif
