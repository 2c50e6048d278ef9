#include "fs/listing.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/base/buf.h"
#include "fetch/base/vec.h"

#define NAME_MOST 255 /* bytes of one component */

struct item {
	uint64_t position;
	size_t name; /* offset in names */
	bool is_key;
	int64_t mtime_s;
	uint64_t size;
};

DEFINE_VEC(item_vec, struct item);

struct listing {
	atomic_uint references;
	struct item_vec items; /* ascending positions */
	struct buf names;      /* NUL-terminated, one after the other */
};

struct listing *listing_empty(void)
{
	struct listing *l = calloc(1, sizeof(*l));
	if (!l)
		return NULL;
	atomic_init(&l->references, 1);
	l->items.max = LISTING_MOST;
	buf_init(&l->names, LISTING_NAME_BYTES);
	return l;
}

void listing_ref(struct listing *l)
{
	atomic_fetch_add(&l->references, 1);
}

void listing_unref(struct listing *l)
{
	if (!l || atomic_fetch_sub(&l->references, 1) != 1)
		return;
	item_vec_finish(&l->items);
	buf_finish(&l->names);
	free(l);
}

/* FNV-1a, cut to a positive number that leaves room for "." and "..". */
static uint64_t position_of(const char *name)
{
	uint64_t h = UINT64_C(14695981039346656037);
	for (; *name; name++)
		h = (h ^ (unsigned char)*name) * UINT64_C(1099511628211);
	return (h >> 2) + LISTING_FIRST;
}

static const char *name_of(const struct listing *l, const struct item *item)
{
	return l->names.data + item->name;
}

struct collecting {
	struct listing *listing;
	size_t skip; /* bytes of every key that are the directory's own */
};

/* The component behind the prefix; false for what is no name of a directory's entry. */
static bool component_of(const struct list_entry *entry, size_t skip, char *ret)
{
	if (strlen(entry->key) <= skip)
		return false;
	const char *name = entry->key + skip;
	size_t len = strcspn(name, "/");
	const char *behind = name + len;
	bool whole = entry->is_directory ? strcmp(behind, "/") == 0 : !*behind;
	if (!whole || !len || len > NAME_MOST)
		return false;
	memcpy(ret, name, len);
	ret[len] = '\0';
	return true;
}

static int collect(void *arg, const struct list_entry *entry)
{
	const struct collecting *c = arg;
	char name[NAME_MOST + 1];
	if (!component_of(entry, c->skip, name))
		return 0;
	struct item item = {
		.position = position_of(name),
		.name = c->listing->names.len,
		.is_key = !entry->is_directory,
		.mtime_s = entry->is_directory ? 0 : entry->mtime_s,
		.size = entry->is_directory ? 0 : entry->size,
	};
	int r = buf_append(&c->listing->names, name, strlen(name) + 1);
	if (r == 0)
		r = item_vec_push(&c->listing->items, item);
	return r == -EMSGSIZE ? -E2BIG : r;
}

static int by_position(const void *a, const void *b, void *arg)
{
	const struct item *x = a, *y = b;
	const struct listing *l = arg;
	if (x->position != y->position)
		return x->position < y->position ? -1 : 1;
	int names = strcmp(name_of(l, x), name_of(l, y));
	if (names)
		return names;
	return (int)y->is_key - (int)x->is_key; /* the key first: it wins */
}

/* Sorts, drops directories that are keys too, and makes positions unique. */
static void settle(struct listing *l)
{
	struct item_vec *v = &l->items;
	if (!v->len)
		return;
	qsort_r(v->data, v->len, sizeof(*v->data), by_position, l);
	size_t kept = 1;
	for (size_t i = 1; i < v->len; i++) {
		const struct item *last = &v->data[kept - 1];
		struct item item = v->data[i];
		if (strcmp(name_of(l, last), name_of(l, &item)) == 0)
			continue;
		if (item.position <= last->position)
			item.position = last->position + 1;
		v->data[kept++] = item;
	}
	v->len = kept;
}

int listing_fetch(struct store *store, const struct call *call, const char *path,
	struct listing **ret, struct error *e)
{
	CLEANUP(cleanup_listing) struct listing *l = listing_empty();
	struct buf prefix = BUF_INIT(4096);
	int r = l ? 0 : -ENOMEM;
	if (r == 0 && *path)
		r = buf_printf(&prefix, "%s/", path);
	if (r == 0) {
		struct collecting c = {l, prefix.len};
		r = store_list(store, call, buf_str(&prefix), false, collect, &c, e);
	}
	buf_finish(&prefix);
	if (r == -E2BIG)
		return error_set(
			e, r, "'%s' holds more names than a directory may", path);
	if (r < 0)
		return r;
	settle(l);
	*ret = steal_pointer(l);
	return 0;
}

size_t listing_count(const struct listing *l)
{
	return l->items.len;
}

void listing_at(const struct listing *l, size_t i, struct listed *ret)
{
	const struct item *item = &l->items.data[i];
	*ret = (struct listed){
		.name = name_of(l, item),
		.position = item->position,
		.is_key = item->is_key,
		.mtime_s = item->mtime_s,
		.size = item->size,
	};
}

size_t listing_after(const struct listing *l, uint64_t position)
{
	size_t low = 0, high = l->items.len;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (l->items.data[middle].position > position)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

/* Names with the same hash stand one after the other, in positions that grow by one. */
int listing_find(const struct listing *l, const char *name, struct listed *ret)
{
	uint64_t hash = position_of(name);
	uint64_t expected = hash;
	for (size_t i = listing_after(l, hash - 1); i < l->items.len; i++) {
		const struct item *item = &l->items.data[i];
		if (strcmp(name_of(l, item), name) == 0) {
			listing_at(l, i, ret);
			return 0;
		}
		if (item->position > expected)
			break;
		expected++;
	}
	return -ENOENT;
}
