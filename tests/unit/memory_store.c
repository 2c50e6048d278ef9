#include "tests/unit/memory_store.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/base/lock.h"

struct memory_object {
	struct object base;
	struct memory_store *store;
	char *key;       /* owned */
	struct buf data; /* owned: what it had when it was opened */
	unsigned version;
};

static struct memory_key *find(struct memory_store *s, const char *key)
{
	for (size_t i = 0; i < s->count; i++)
		if (strcmp(s->keys[i].name, key) == 0)
			return &s->keys[i];
	return NULL;
}

/* Counts a call, and waits while calls are held. */
static int pass(struct memory_store *s, const struct call *call, unsigned *counter)
{
	call_attach(call, &s->lock, &s->changed);
	pthread_mutex_lock(&s->lock);
	++*counter;
	int r = 0;
	if (s->hold && (!s->hold_most || s->held < s->hold_most)) {
		s->held++;
		pthread_cond_broadcast(&s->changed);
		while (s->hold && r == 0)
			r = call_wait(call, &s->lock, &s->changed);
		s->held--;
	}
	pthread_mutex_unlock(&s->lock);
	call_detach(call);
	return r;
}

static int object_state(const struct memory_object *o)
{
	LOCK_SCOPE(&o->store->lock);
	const struct memory_key *k = find(o->store, o->key);
	if (o->store->unversioned)
		return 0;
	if (!k)
		return -ENOENT;
	return k->version == o->version ? 0 : -ESTALE;
}

static int object_read(struct range_source *s, const struct call *call, uint64_t offset,
	size_t len, void *buf, struct error *e)
{
	struct memory_object *o = (struct memory_object *)s;
	int r = pass(o->store, call, &o->store->reads);
	if (r == 0)
		r = object_state(o);
	if (r < 0)
		return error_set_errno(e, r, "cannot read '%s'", o->key);
	memcpy(buf, o->data.data + offset, len);
	return 0;
}

static void object_free_it(struct range_source *s)
{
	struct memory_object *o = (struct memory_object *)s;
	{
		LOCK_SCOPE(&o->store->lock);
		o->store->objects--;
	}
	object_drop_tail(&o->base);
	buf_finish(&o->data);
	free(o->key);
	free(o);
}

static const struct range_source_ops object_ops = {
	.read = object_read,
	.free = object_free_it,
};

static void fill_pin(const struct memory_key *k, struct pin *ret)
{
	*ret = (struct pin){.size = k->data.len, .mtime_s = k->mtime_s};
	snprintf(ret->etag, sizeof(ret->etag), "\"v%u\"", k->version);
}

static struct memory_object *object_of(
	struct memory_store *s, const struct memory_key *k, size_t tail_len)
{
	struct memory_object *o = calloc(1, sizeof(*o));
	assert(o);
	o->store = s;
	o->key = strdup(k->name);
	o->version = k->version;
	o->data = BUF_INIT(SIZE_MAX / 2);
	assert(buf_append(&o->data, k->data.data, k->data.len) == 0);
	o->base.source = (struct range_source){&object_ops, k->data.len};
	fill_pin(k, &o->base.pin);
	o->base.tail_len = tail_len < k->data.len ? tail_len : k->data.len;
	o->base.tail = malloc(o->base.tail_len + 1);
	assert(o->base.tail);
	if (o->base.tail_len)
		memcpy(o->base.tail, k->data.data + k->data.len - o->base.tail_len,
			o->base.tail_len);
	s->objects++;
	return o;
}

static int store_open(struct store *base, const struct call *call, const char *key,
	size_t tail_len, struct object **ret, bool *ret_denied, struct error *e)
{
	struct memory_store *s = (struct memory_store *)base;
	int r = pass(s, call, &s->opens);
	if (r < 0)
		return error_set_errno(e, r, "cannot open '%s'", key);
	LOCK_SCOPE(&s->lock);
	const struct memory_key *k = find(s, key);
	*ret_denied = s->denied;
	if (s->open_result < 0)
		return error_set_errno(e, s->open_result, "cannot open '%s'", key);
	if (!k || s->denied)
		return error_set(e, -ENOENT, "no key '%s'", key);
	if (s->tail_most && s->tail_most < tail_len)
		tail_len = s->tail_most;
	*ret = &object_of(s, k, tail_len)->base;
	if (s->flip_at)
		((char *)(*ret)->tail)[(*ret)->tail_len - s->flip_at] ^= 1;
	s->flip_at = 0;
	return 0;
}

static int store_stat(struct store *base, const struct call *call, const char *key,
	struct pin *ret, bool *ret_denied, struct error *e)
{
	struct memory_store *s = (struct memory_store *)base;
	LOCK_SCOPE(&s->lock);
	const struct memory_key *k = find(s, key);
	if (!k)
		return error_set(e, -ENOENT, "no key '%s'", key);
	fill_pin(k, ret);
	return 0;
}

/* One line of a listing, or nothing: the key, or the directory it is in. */
static int tell(const struct memory_key *k, size_t skip, bool deep, char *last,
	list_fn *fn, void *arg)
{
	const char *slash = deep ? NULL : strchr(k->name + skip, '/');
	char name[2048];
	snprintf(name, sizeof(name), "%.*s",
		slash ? (int)(slash + 1 - k->name) : (int)strlen(k->name), k->name);
	if (slash && strcmp(last, name) == 0)
		return 0;
	strcpy(last, name);
	const struct list_entry entry = {
		.key = name,
		.is_directory = slash,
		.size = slash ? 0 : k->data.len,
		.mtime_s = slash ? 0 : k->mtime_s,
	};
	return fn(arg, &entry);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct memory_key *)a)->name,
		((const struct memory_key *)b)->name);
}

static int store_list_it(struct store *base, const struct call *call, const char *prefix,
	bool deep, list_fn *fn, void *arg, struct error *e)
{
	struct memory_store *s = (struct memory_store *)base;
	int r = pass(s, call, &s->lists);
	if (r < 0)
		return error_set_errno(e, r, "cannot list");
	LOCK_SCOPE(&s->lock);
	if (s->list_result < 0)
		return error_set_errno(e, s->list_result, "cannot list");
	qsort(s->keys, s->count, sizeof(s->keys[0]), by_name);
	char last[2048] = "";
	for (size_t i = 0; i < s->count && r == 0; i++)
		if (strncmp(s->keys[i].name, prefix, strlen(prefix)) == 0)
			r = tell(&s->keys[i], strlen(prefix), deep, last, fn, arg);
	return r;
}

static void store_free_it(struct store *base)
{
	struct memory_store *s = (struct memory_store *)base;
	assert(!s->objects);
	for (size_t i = 0; i < s->count; i++) {
		free(s->keys[i].name);
		buf_finish(&s->keys[i].data);
	}
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static void store_count(struct store *base, struct store_stats *ret)
{
	const struct memory_store *s = (const struct memory_store *)base;
	*ret = (struct store_stats){.requests = s->opens + s->lists + s->reads};
}

static const struct store_ops ops = {
	.open_object = store_open,
	.stat_object = store_stat,
	.list = store_list_it,
	.stats = store_count,
	.free = store_free_it,
};

struct memory_store *memory_store_new(void)
{
	struct memory_store *s = calloc(1, sizeof(*s));
	assert(s);
	s->base.ops = &ops;
	s->base.name = strdup("memory");
	pthread_mutex_init(&s->lock, NULL);
	assert(condition_init(&s->changed) == 0);
	return s;
}

void memory_store_free(struct memory_store *s)
{
	if (s)
		store_free(&s->base);
}

void memory_put(struct memory_store *s, const char *key, const void *data, size_t len)
{
	LOCK_SCOPE(&s->lock);
	struct memory_key *k = find(s, key);
	if (!k) {
		assert(s->count < MEMORY_KEYS);
		k = &s->keys[s->count++];
		*k = (struct memory_key){.name = strdup(key)};
	}
	buf_finish(&k->data);
	k->data = BUF_INIT(SIZE_MAX / 2);
	assert(buf_append(&k->data, data, len) == 0);
	k->version = ++s->versions;
	k->mtime_s = 1000000000 + k->version;
}

void memory_put_buf(struct memory_store *s, const char *key, const struct buf *data)
{
	memory_put(s, key, data->data, data->len);
}

void memory_remove(struct memory_store *s, const char *key)
{
	LOCK_SCOPE(&s->lock);
	struct memory_key *k = find(s, key);
	assert(k);
	free(k->name);
	buf_finish(&k->data);
	*k = s->keys[--s->count];
}

void memory_hold(struct memory_store *s)
{
	LOCK_SCOPE(&s->lock);
	s->hold = true;
}

void memory_release(struct memory_store *s)
{
	LOCK_SCOPE(&s->lock);
	s->hold = false;
	pthread_cond_broadcast(&s->changed);
}

void memory_wait_held(struct memory_store *s, unsigned n)
{
	LOCK_SCOPE(&s->lock);
	while (s->held < n)
		pthread_cond_wait(&s->changed, &s->lock);
}
