#include "fetch/key_choice.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/base/buf.h"
#include "fetch/key.h"
#include "fetch/newest_key.h"

#define SCOPE_TEXT_MAX (KEY_SCOPES_MAX * (KEY_MAX + 1))

static void names_finish(struct name_vec *v)
{
	for (size_t i = 0; i < v->len; i++)
		free(v->data[i]);
	name_vec_finish(v);
}

void key_choice_finish(struct key_choice *c)
{
	names_finish(&c->exact);
	names_finish(&c->prefixes);
}

/* Adds scope/name, or name where the scope is "". */
static int add_name(struct name_vec *v, const char *scope, const char *name)
{
	CLEANUP(buf_finish) struct buf b = BUF_INIT(SCOPE_TEXT_MAX);
	int r = buf_printf(&b, "%s%s%s", scope, *scope ? "/" : "", name);
	if (r == 0)
		r = name_vec_push(v, b.data);
	if (r == 0)
		buf_steal(&b);
	return r;
}

static int add_key(
	struct key_choice *c, const char *scope, const char *key, struct error *e)
{
	int r = add_name(&c->exact, scope, key);
	return r < 0 ? r : key_check(c->exact.data[c->exact.len - 1], e);
}

/* A prefix will do when there can be a key that begins so. */
static int add_prefix(
	struct key_choice *c, const char *scope, const char *prefix, struct error *e)
{
	CLEANUP(buf_finish) struct buf b = BUF_INIT(SCOPE_TEXT_MAX);
	int r = buf_printf(&b, "%sx", prefix);
	if (r == -ENOMEM)
		return r;
	if (r < 0 || (key_check(prefix, NULL) < 0 && key_check(b.data, NULL) < 0))
		return error_set(e, -EINVAL, "no key begins with '%s'", prefix);
	return add_name(&c->prefixes, scope, prefix);
}

/* "A:B:C" cut into its parts. */
static int cut_scopes(struct name_vec *ret, const char *text, struct error *e)
{
	for (const char *p = text;; p++) {
		size_t len = strcspn(p, ":");
		char *part = strndup(p, len);
		int r = part ? name_vec_push(ret, part) : -ENOMEM;
		if (r < 0) {
			free(part);
			return r == -E2BIG ? error_set(e, -EINVAL,
						     "'%s' names more than %d scopes",
						     text, KEY_SCOPES_MAX)
					   : r;
		}
		if (key_check(part, e) < 0)
			return error_prefix(e, "scope '%s'", text), -EINVAL;
		p += len;
		if (!*p)
			return 0;
	}
}

static int fill(struct key_choice *c, const struct name_vec *scopes, const char *key,
	const char *const *prefixes, size_t count, struct error *e)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < scopes->len; i++)
		r = add_key(c, scopes->data[i], key, e);
	for (size_t i = 0; i < scopes->len; i++)
		for (size_t k = 0; r == 0 && k < count; k++)
			r = add_prefix(c, scopes->data[i], prefixes[k], e);
	return r;
}

int key_choice_init(struct key_choice *ret, const char *scope, const char *key,
	const char *const *prefixes, size_t count, struct error *e)
{
	char none[] = "", *unscoped[] = {none};
	const struct name_vec whole = {.data = unscoped, .len = 1};
	CLEANUP(names_finish) struct name_vec scopes = {.max = KEY_SCOPES_MAX};
	struct key_choice c = {0};
	bool scoped = scope && *scope;
	int r = key_check(key, e); /* names the key without a scope, as it was typed */
	if (r == 0 && scoped)
		r = cut_scopes(&scopes, scope, e);
	if (r == 0)
		r = fill(&c, scoped ? &scopes : &whole, key, prefixes, count, e);
	if (r < 0) {
		key_choice_finish(&c);
		return r == -ENOMEM ? error_set_errno(e, r, "key '%s'", key) : r;
	}
	*ret = c;
	return 0;
}

const char *key_choice_own(const struct key_choice *c)
{
	return c->exact.data[0];
}

bool key_choice_is_exact(const struct key_choice *c, const char *key)
{
	for (size_t i = 0; i < c->exact.len; i++)
		if (!strcmp(c->exact.data[i], key))
			return true;
	return false;
}

void key_walk_finish(struct key_walk *w)
{
	cleanup_free(&w->newest);
}

static int find_newest(struct key_walk *w, struct store *s, const struct call *call,
	const char *prefix, struct error *e)
{
	cleanup_free(&w->newest);
	int r = newest_key(s, call, prefix, &w->newest, e);
	if (r == -EOPNOTSUPP)
		return error_set(e, -EINVAL,
			"'%s' cannot be listed, so --fallback-key finds nothing there",
			store_name(s));
	return r;
}

int key_walk_next(struct key_walk *w, struct store *s, const struct call *call,
	const char **ret, struct error *e)
{
	const struct key_choice *c = w->choice;
	if (w->next < c->exact.len) {
		*ret = c->exact.data[w->next++];
		return 0;
	}
	int r = -ENOENT;
	while (r == -ENOENT && w->next - c->exact.len < c->prefixes.len)
		r = find_newest(
			w, s, call, c->prefixes.data[w->next++ - c->exact.len], e);
	if (r == 0)
		*ret = w->newest;
	return r;
}

int key_choice_find(const struct key_choice *c, struct store *s, const struct call *call,
	key_try_fn *fn, void *arg, struct error *e)
{
	CLEANUP(key_walk_finish) struct key_walk w = {.choice = c};
	struct error miss = {0};
	const char *key;
	int r;
	while ((r = key_walk_next(&w, s, call, &key, e)) == 0) {
		struct error now = {0};
		r = fn(arg, key, &now);
		if (r != -ENOENT) {
			error_copy(e, &now);
			return r;
		}
		if (!miss.code)
			miss = now;
	}
	if (r == -ENOENT)
		error_copy(e, &miss);
	return r;
}
