/*
 * The nodes of the keyspace that the kernel knows, found by number and by name.
 *
 * A node is a directory of keys or a doorway. It lives while the kernel has looked it up
 * more often than it has forgotten it, or while a node below it lives. Numbers ascend and
 * are not used again. Node 0 is the mountpoint and stays.
 *
 * Not locked: the keyspace's lock guards the table and every field of its nodes that
 * changes. Path, parent and doorway stay as they are, so whoever serves a request for a
 * node may read them without it.
 */
#ifndef LARDER_FS_NODE_TABLE_H
#define LARDER_FS_NODE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/doorway.h"
#include "fs/flight.h"
#include "fs/listing.h"

struct node {
	uint32_t number;
	bool unnamed;        /* the name leads to another node by now */
	struct node *parent; /* NULL for node 0 */
	char *path;          /* owned: the key, or the prefix without a slash behind it */
	size_t name;         /* where the last component begins in path */
	struct doorway *doorway; /* one reference; NULL: a directory of keys */
	int64_t mtime_s;
	uint64_t known_ns; /* when the store last said that the name leads to this */

	uint64_t lookups;  /* the kernel's */
	uint64_t children; /* nodes that have it as parent */

	/* of a directory of keys: */
	struct listing *listing; /* one reference; NULL: never fetched, or dropped */
	uint64_t listed_ns;      /* when */
	struct flight fetching;

	struct node *by_number, *by_name; /* chains */
};

struct node_table {
	struct node **numbers; /* owned; `size` chains */
	struct node **names;   /* owned */
	size_t size;           /* a power of two */
	size_t count;
	uint32_t next; /* number */
};

int node_table_init(struct node_table *t); /* 0 or -ENOMEM */
void node_table_finish(struct node_table *t);

/* Makes a node below parent (NULL: node 0). path is copied. 0, -ENOMEM, -ENOSPC when
 * four thousand million were used up. */
int node_table_add(
	struct node_table *t, struct node *parent, const char *name, struct node **ret);

/* Its name is free for another node; by number it is found until it is pruned. */
void node_table_unname(struct node_table *t, struct node *n);

/* NULL: there is none. */
struct node *node_table_get(const struct node_table *t, uint32_t number);
struct node *node_table_child(
	const struct node_table *t, const struct node *parent, const char *name);

/* Does a path into a key that was opened lead through this directory? Looks at every node
 * of the table when any is below it. */
bool node_table_leads_to_opened(const struct node_table *t, const struct node *directory);

/* Takes out every node from n upwards that nothing refers to any more. They come back
 * as a chain through by_number, for node_free() without the lock. */
struct node *node_table_prune(struct node_table *t, struct node *n);

/* Frees the chain: closes doorways, drops listings. */
void node_free(struct node *chain);

#endif
