/*
 * A listing: the names in one directory of the store, as one LIST showed them.
 *
 * Immutable once finished, and shared by counted references. Names are in the order of
 * their hash, and a name's position for readdir(3) is made from the hash: so a position
 * taken from one listing means the same place in the next one, and a reader that goes on
 * after a new LIST neither misses nor repeats a name that is in both.
 */
#ifndef LARDER_FS_LISTING_H
#define LARDER_FS_LISTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fetch/store.h"

#define LISTING_MOST       (4u << 20)   /* names */
#define LISTING_NAME_BYTES (512u << 20) /* of all names */
#define LISTING_FIRST      3            /* positions below are for "." and ".." */

struct listing;

struct listed {
	const char *name;  /* one component; borrowed from the listing */
	uint64_t position; /* of this name; ascending, at least LISTING_FIRST */
	bool is_key;       /* a key, also when keys lie below the same name */
	int64_t mtime_s;   /* 0 for a directory of keys */
	uint64_t size;     /* bytes of the object */
};

/* Lists the directory `path` of the store ("" or "a/b") and follows all pages. The
 * reference is the caller's. store_list()'s errors; -E2BIG past the limits. */
int listing_fetch(struct store *store, const struct call *call, const char *path,
	struct listing **ret, struct error *e);

/* One with nothing in it, for a store that cannot list. NULL: out of memory. */
struct listing *listing_empty(void);

void listing_ref(struct listing *l);
void listing_unref(struct listing *l); /* accepts NULL */

static inline void cleanup_listing(struct listing **l)
{
	listing_unref(*l);
	*l = NULL;
}

size_t listing_count(const struct listing *l);
void listing_at(const struct listing *l, size_t i, struct listed *ret);

/* The first name whose position is greater: its number, or listing_count(). */
size_t listing_after(const struct listing *l, uint64_t position);

/* 0 or -ENOENT. */
int listing_find(const struct listing *l, const char *name, struct listed *ret);

#endif
