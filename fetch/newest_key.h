/*
 * What a fallback key means: the newest key that begins with a prefix.
 */
#ifndef LARDER_FETCH_NEWEST_KEY_H
#define LARDER_FETCH_NEWEST_KEY_H

#include "fetch/store.h"

/* Lists every key that begins with prefix and gives the one modified last; of several,
 * the one whose name sorts last. *ret is malloc()ed. 0; -ENOENT: there is none;
 * store_list()'s errors; -ENOMEM. */
int newest_key(struct store *s, const struct call *call, const char *prefix, char **ret,
	struct error *e);

#endif
