#include "fs/node_table.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/inode.h"

#define FIRST_SIZE 64

int node_table_init(struct node_table *t)
{
	*t = (struct node_table){.size = FIRST_SIZE};
	t->numbers = calloc(t->size, sizeof(*t->numbers));
	t->names = calloc(t->size, sizeof(*t->names));
	if (t->numbers && t->names)
		return 0;
	node_table_finish(t);
	return -ENOMEM;
}

void node_free(struct node *chain)
{
	while (chain) {
		struct node *n = chain;
		chain = n->by_number;
		if (n->doorway)
			doorway_close(n->doorway);
		doorway_unref(n->doorway);
		listing_unref(n->listing);
		flight_finish(&n->fetching);
		free(n->path);
		free(n);
	}
}

void node_table_finish(struct node_table *t)
{
	for (size_t i = 0; t->numbers && i < t->size; i++)
		node_free(t->numbers[i]);
	free(t->numbers);
	free(t->names);
	*t = (struct node_table){0};
}

static size_t place_of_number(const struct node_table *t, uint32_t number)
{
	return number & (t->size - 1);
}

static size_t place_of_name(
	const struct node_table *t, const struct node *parent, const char *name)
{
	uint64_t h = UINT64_C(14695981039346656037) ^ (parent ? parent->number + 1 : 0);
	for (; *name; name++)
		h = (h ^ (unsigned char)*name) * UINT64_C(1099511628211);
	return (size_t)(h ^ h >> 32) & (t->size - 1);
}

static void link_name(struct node_table *t, struct node *n)
{
	struct node **at = &t->names[place_of_name(t, n->parent, n->path + n->name)];
	n->by_name = *at;
	*at = n;
}

static void unlink_name(struct node_table *t, struct node *n)
{
	struct node **at = &t->names[place_of_name(t, n->parent, n->path + n->name)];
	while (*at != n)
		at = &(*at)->by_name;
	*at = n->by_name;
}

static void link_node(struct node_table *t, struct node *n)
{
	struct node **at = &t->numbers[place_of_number(t, n->number)];
	n->by_number = *at;
	*at = n;
	if (!n->unnamed)
		link_name(t, n);
}

static void unlink_node(struct node_table *t, struct node *n)
{
	struct node **at = &t->numbers[place_of_number(t, n->number)];
	while (*at != n)
		at = &(*at)->by_number;
	*at = n->by_number;
	if (!n->unnamed)
		unlink_name(t, n);
	t->count--;
}

void node_table_unname(struct node_table *t, struct node *n)
{
	unlink_name(t, n);
	n->unnamed = true;
}

/* Longer chains are slower, not wrong: that memory is short is nobody's failure. */
static void grow(struct node_table *t)
{
	struct node_table bigger = {
		.size = t->size * 2, .count = t->count, .next = t->next};
	bigger.numbers = calloc(bigger.size, sizeof(*bigger.numbers));
	bigger.names = calloc(bigger.size, sizeof(*bigger.names));
	if (!bigger.numbers || !bigger.names) {
		free(bigger.numbers);
		free(bigger.names);
		return;
	}
	for (size_t i = 0; i < t->size; i++) {
		for (struct node *n = t->numbers[i], *next; n; n = next) {
			next = n->by_number;
			link_node(&bigger, n);
		}
	}
	free(t->numbers);
	free(t->names);
	*t = bigger;
}

static char *join(const struct node *parent, const char *name)
{
	size_t above = parent ? strlen(parent->path) : 0;
	char *path = malloc(above + strlen(name) + 2);
	if (!path)
		return NULL;
	char *end = path;
	if (above) {
		memcpy(path, parent->path, above);
		end += above;
		*end++ = '/';
	}
	strcpy(end, name);
	return path;
}

static struct node *node_new(struct node *parent, const char *name)
{
	struct node *n = calloc(1, sizeof(*n));
	if (!n)
		return NULL;
	n->path = join(parent, name);
	if (!n->path || flight_init(&n->fetching) < 0) {
		free(n->path);
		free(n);
		return NULL;
	}
	n->name = strlen(n->path) - strlen(name);
	n->parent = parent;
	return n;
}

int node_table_add(
	struct node_table *t, struct node *parent, const char *name, struct node **ret)
{
	if (t->next > INODE_NUMBER_MOST)
		return -ENOSPC;
	struct node *n = node_new(parent, name);
	if (!n)
		return -ENOMEM;
	if (t->count >= t->size)
		grow(t);
	n->number = t->next++;
	if (parent)
		parent->children++;
	link_node(t, n);
	t->count++;
	*ret = n;
	return 0;
}

struct node *node_table_get(const struct node_table *t, uint32_t number)
{
	struct node *n = t->numbers[place_of_number(t, number)];
	while (n && n->number != number)
		n = n->by_number;
	return n;
}

struct node *node_table_child(
	const struct node_table *t, const struct node *parent, const char *name)
{
	struct node *n = t->names[place_of_name(t, parent, name)];
	while (n && (n->parent != parent || strcmp(n->path + n->name, name) != 0))
		n = n->by_name;
	return n;
}

/* No path leads through what has lost its name, nor to it. */
static bool is_reached_through(const struct node *n, const struct node *directory)
{
	while (n->parent && !n->unnamed && n->parent != directory)
		n = n->parent;
	return n->parent == directory && !n->unnamed;
}

bool node_table_leads_to_opened(const struct node_table *t, const struct node *directory)
{
	for (size_t i = 0; directory->children && i < t->size; i++)
		for (const struct node *n = t->numbers[i]; n; n = n->by_number)
			if (n->doorway && doorway_was_opened(n->doorway) &&
				is_reached_through(n, directory))
				return true;
	return false;
}

static bool is_unused(const struct node *n)
{
	return n->parent && !n->lookups && !n->children;
}

struct node *node_table_prune(struct node_table *t, struct node *n)
{
	struct node *chain = NULL;
	while (is_unused(n)) {
		struct node *above = n->parent;
		unlink_node(t, n);
		above->children--;
		n->by_number = chain;
		chain = n;
		n = above;
	}
	return chain;
}
