#include "fetch/store.h"

#include <errno.h>
#include <string.h>

#include "fetch/key.h"
#include "fetch/store_impl.h"

const char *store_name(const struct store *s)
{
	return s->name;
}

void store_free(struct store *s)
{
	if (!s)
		return;
	char *name = s->name;
	struct settings settings = s->settings;
	s->ops->free(s);
	settings_finish(&settings);
	free(name);
}

int store_open_object(struct store *s, const struct call *call, const char *key,
	size_t tail_len, struct object **ret, bool *ret_denied, struct error *e)
{
	bool denied = false;
	int r = key_check(key, e);
	if (r == 0)
		r = s->ops->open_object(s, call, key, tail_len, ret, &denied, e);
	if (ret_denied)
		*ret_denied = denied;
	return r;
}

int store_stat_object(struct store *s, const struct call *call, const char *key,
	struct pin *ret, bool *ret_denied, struct error *e)
{
	bool denied = false;
	int r = key_check(key, e);
	if (r == 0)
		r = s->ops->stat_object(s, call, key, ret, &denied, e);
	if (ret_denied)
		*ret_denied = denied;
	return r;
}

void object_free(struct object *o)
{
	if (o)
		range_source_free(&o->source);
}

const struct pin *object_pin(const struct object *o)
{
	return &o->pin;
}

const void *object_tail(const struct object *o, size_t *ret_len)
{
	*ret_len = o->tail_len;
	return o->tail;
}

void object_drop_tail(struct object *o)
{
	free(o->tail);
	o->tail = NULL;
	o->tail_len = 0;
}

void object_drop_whole(struct object *o)
{
	if (o->irretrievable)
		return;
	free(o->whole);
	o->whole = NULL;
}

size_t object_held(const struct object *o)
{
	return o->whole ? (size_t)o->source.size : 0;
}

struct range_source *object_source(struct object *o)
{
	return &o->source;
}

struct checked_listing {
	list_fn *fn;
	void *arg;
};

/* A directory's name is a key's beginning: what holds for keys holds for it. */
static bool is_listable(const struct list_entry *entry)
{
	char name[KEY_MAX + 2];
	size_t len = strlen(entry->key);
	if (len >= sizeof(name))
		return false;
	memcpy(name, entry->key, len + 1);
	if (entry->is_directory && len && name[len - 1] == '/')
		name[len - 1] = '\0';
	return key_check(name, NULL) == 0;
}

static int pass_listable(void *arg, const struct list_entry *entry)
{
	const struct checked_listing *l = arg;
	return is_listable(entry) ? l->fn(l->arg, entry) : 0;
}

int store_list(struct store *s, const struct call *call, const char *prefix, bool deep,
	list_fn *fn, void *arg, struct error *e)
{
	if (!s->ops->list)
		return error_set(e, -EOPNOTSUPP,
			"store '%s' cannot list its keys; name one with --key", s->name);
	struct checked_listing l = {.fn = fn, .arg = arg};
	return s->ops->list(s, call, prefix, deep, pass_listable, &l, e);
}

void store_warm(struct store *s, unsigned connections)
{
	if (s->ops->warm)
		s->ops->warm(s, connections);
}

void store_stats(struct store *s, struct store_stats *ret)
{
	*ret = (struct store_stats){0};
	s->ops->stats(s, ret);
}
