/*
 * The keyspace: the store seen as directories, or the one key that is mounted.
 *
 *     --key K      node 0 is K's doorway; nothing else is here
 *     otherwise    node 0 is the top directory; below it directories of keys and doorways
 *
 * A name is looked for among the nodes the kernel knows, in a listing younger than
 * KEYSPACE_FRESH_NS, then by opening it as a key, then by listing what lies below it: the
 * last two once however many ask. Nothing is opened for `ls`, nor for `stat` of what such
 * a listing has.
 *
 * A node is believed for good once its key was opened, and a directory as long as a path
 * to such a node leads through it. Before, a newer listing that has the name no more, or
 * as the other kind, sends whoever looks it up to the store again; and so does, for a
 * key, that the store has said nothing of it for KEYSPACE_FRESH_NS. A node that was found
 * to be of the other kind lives on by its number, without the name.
 *
 * A listed key that turns out not to be there is a miss for DUD_NS, whatever the listing
 * says; a name that is not listed and leads to no archive is as long not opened again.
 *
 * The one mutex guards nodes, listings, duds and pending lookups; it is a leaf. A
 * request for a node keeps it alive: the kernel forgets only what it does not ask for.
 */
#ifndef LARDER_FS_KEYSPACE_H
#define LARDER_FS_KEYSPACE_H

#include <limits.h>

#include "fs/doorway.h"
#include "fs/listing.h"

#define KEYSPACE_FRESH_NS (5 * NS_PER_SECOND)

struct keyspace;

/* What a node is. The doorway (NULL: a directory of keys) is borrowed for as long as the
 * kernel keeps the node. */
struct shown {
	uint32_t number;
	struct doorway *doorway;
	int64_t mtime_s;
};

/* key NULL: the whole store. supply and hooks are borrowed and outlive it. */
int keyspace_new(const struct supply *supply, const struct doorway_hooks *hooks,
	const char *key, struct keyspace **ret); /* 0, -ENOMEM */

/* No request may be under way. Generations that something still reads are freed by the
 * last reader. */
void keyspace_free(struct keyspace *k);

/* 0 or -ENOENT (a number that was never given out). */
int keyspace_node(struct keyspace *k, uint32_t number, struct shown *ret);

/* Looks a name up in a directory of keys; found, it counts as one lookup of the kernel's.
 * may_wait false: -EAGAIN when the store must be asked; -ENOENT is then remembered here,
 * and the kernel need not. 0; -ENOENT: neither key nor directory; -ENOTDIR;
 * doorway_generation()'s and store_list()'s errors. */
int keyspace_lookup(struct keyspace *k, const struct call *call, uint32_t directory,
	const char *name, bool may_wait, struct shown *ret, struct error *e);

/* The key that this node stands for is not there: lookups of its name are -ENOENT until
 * then. */
void keyspace_lose(struct keyspace *k, uint32_t number, uint64_t until_ns);

void keyspace_forget(struct keyspace *k, uint32_t number, uint64_t lookups);

/* What a directory of keys holds, from a fresh listing or a new one; with may_wait false
 * -EAGAIN instead of a new one. The reference is the caller's. */
int keyspace_listing(struct keyspace *k, const struct call *call, uint32_t directory,
	bool may_wait, struct listing **ret, struct error *e);

/* Calls fn for each doorway the kernel knows, without the lock. Ends when fn says false.
 */
void keyspace_each_doorway(
	struct keyspace *k, bool (*fn)(void *arg, struct doorway *d), void *arg);

#endif
