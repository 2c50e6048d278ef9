/*
 * The http(s):// store: keys below a URL, on any server of files.
 *
 * Read with GET and ranges, bound to a strong ETag; published with PUT, where the server
 * has it and honours If-None-Match. Folders above a key are made with MKCOL where a PUT
 * finds them missing (WebDAV, RFC 4918 sections 9.3 and 9.7.1). Nothing can be listed.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/exchange.h"
#include "fetch/http_object.h"
#include "fetch/http_probe.h"
#include "fetch/http_publication.h"
#include "fetch/store_impl.h"

struct store_http {
	struct store base;
	struct exchanger *exchanger; /* owned */
	char *origin;                /* owned; "https://host[:port]" */
	char *root_path;             /* owned; "" or "/a/b" */
};

static struct store_http *store_http(struct store *s)
{
	return (struct store_http *)s;
}

/* --- folders ------------------------------------------------------------------------ */

enum folder { FOLDER_MADE, FOLDER_THERE, FOLDER_NO_PARENT };

static int make_folder(const struct http_target *t, const struct call *call,
	const char *path, enum folder *ret, struct error *e)
{
	const struct exchange_request request = {
		.method = "MKCOL",
		.path = path,
		.body_fd = -1,
	};
	CLEANUP(http_response_finish) struct http_response response = {0};
	int r = exchange_perform(t->exchanger, call, &request, &response, NULL, e);
	if (r < 0)
		return error_prefix(e, "cannot make a folder for '%s': ", t->key), r;
	switch (response.status) {
	case 201:
		*ret = FOLDER_MADE;
		return 0;
	case 401:
	case 403:
		return http_answer_write_refusal(t, &response, e);
	case 409:
		*ret = FOLDER_NO_PARENT;
		return 0;
	default: /* 405: it is there; others: the server knows no folders */
		*ret = FOLDER_THERE;
		return 0;
	}
}

/* Makes the folder that is the first `end` bytes of the path. */
static int make_folder_at(const struct http_target *t, const struct call *call,
	char *path, size_t end, enum folder *ret, struct error *e)
{
	char after = path[end];
	path[end] = '\0';
	int r = make_folder(t, call, path, ret, e);
	path[end] = after;
	return r;
}

static size_t parent_of(const char *path, size_t end)
{
	size_t up = end - 1;
	while (up > 1 && path[up - 1] != '/')
		up--;
	return up;
}

/* Up from the folder that ends at `end` to one whose parent is there, and down again. */
static int make_folders(const struct http_target *t, const struct call *call, char *path,
	size_t end, bool *ret_made, struct error *e)
{
	enum folder folder = FOLDER_NO_PARENT;
	size_t at = end;
	int r = make_folder_at(t, call, path, at, &folder, e);
	while (r == 0 && folder == FOLDER_NO_PARENT && at > 1) {
		at = parent_of(path, at);
		r = make_folder_at(t, call, path, at, &folder, e);
	}
	*ret_made = folder == FOLDER_MADE;
	while (r == 0 && folder != FOLDER_NO_PARENT && at < end) {
		at = (size_t)(strchr(path + at, '/') - path) + 1;
		r = make_folder_at(t, call, path, at, &folder, e);
		*ret_made |= folder == FOLDER_MADE;
	}
	return r;
}

static int http_make_way(
	const struct http_target *t, const struct call *call, struct error *e)
{
	CLEANUP(cleanup_free) char *path = strdup(t->path);
	if (!path)
		return error_set_errno(
			e, -ENOMEM, "cannot make a folder for '%s'", t->key);
	bool made = false;
	size_t end = (size_t)(strrchr(path, '/') - path) + 1;
	int r = make_folders(t, call, path, end, &made, e);
	return r < 0 ? r : made;
}

/* --- operations --------------------------------------------------------------------- */

static struct http_root root_of(const struct store_http *s)
{
	return (struct http_root){
		.exchanger = s->exchanger,
		.path = s->root_path,
		.store = s->base.name,
		.make_way = http_make_way,
	};
}

static int http_store_open(struct store *base, const struct call *call, const char *key,
	size_t tail_len, struct object **ret, bool *ret_denied, struct error *e)
{
	const struct http_root root = root_of(store_http(base));
	CLEANUP(buf_finish) struct buf path = BUF_INIT(HTTP_PATH_MAX);
	struct http_target target;
	int r = http_target_of(&root, key, &path, &target, e);
	return r < 0 ? r : http_open_object(&target, call, tail_len, ret, ret_denied, e);
}

static int http_store_stat(struct store *base, const struct call *call, const char *key,
	struct pin *ret, bool *ret_denied, struct error *e)
{
	const struct http_root root = root_of(store_http(base));
	CLEANUP(buf_finish) struct buf path = BUF_INIT(HTTP_PATH_MAX);
	struct http_target target;
	int r = http_target_of(&root, key, &path, &target, e);
	return r < 0 ? r : http_stat_object(&target, call, ret, ret_denied, e);
}

static int http_store_publish(struct store *base, const struct call *call,
	const char *key, const struct publish_options *options, struct publication **ret,
	struct error *e)
{
	const struct http_root root = root_of(store_http(base));
	const struct http_publication_options o = {
		.store = base,
		.root = &root,
		.key = key,
		.asked = options,
	};
	return http_publication_begin(&o, call, ret, e);
}

static int http_store_scope(struct store *base, struct buf *ret)
{
	const struct store_http *s = store_http(base);
	return buf_printf(ret, "http %s %s", s->origin, s->root_path);
}

static int http_store_probe(struct store *base, const struct call *call, unsigned racers,
	unsigned rounds, struct probe_answer *ret, struct error *e)
{
	const struct http_root root = root_of(store_http(base));
	struct probe_answer answer = {.put = HONOUR_UNKNOWN};
	struct probe_sight sight;
	int r = racers ? http_probe_races(&root, call, racers, rounds, &answer.put, e)
		       : http_probe_quick(&root, call, &answer.put, &sight, e);
	if (r == 0)
		*ret = answer;
	return r;
}

static void http_store_warm(struct store *base, unsigned connections)
{
	exchange_warm(store_http(base)->exchanger, connections);
}

static void http_store_stats(struct store *base, struct store_stats *ret)
{
	exchange_stats(store_http(base)->exchanger, ret);
}

static void http_store_free(struct store *base)
{
	struct store_http *s = store_http(base);
	exchanger_free(s->exchanger);
	free(s->origin);
	free(s->root_path);
	free(s);
}

static const struct store_ops http_ops = {
	.open_object = http_store_open,
	.stat_object = http_store_stat,
	.publish = http_store_publish,
	.probe_scope = http_store_scope,
	.probe = http_store_probe,
	.warm = http_store_warm,
	.stats = http_store_stats,
	.free = http_store_free,
};

static int set_up(struct store_http *s, const struct store_url *url,
	const struct settings *settings, struct error *e)
{
	size_t len = strlen(url->path);
	while (len && url->path[len - 1] == '/')
		len--;
	s->origin = strdup(url->origin);
	s->root_path = strndup(url->path, len);
	if (!s->origin || !s->root_path)
		return error_set_errno(e, -ENOMEM, "cannot open the store");
	const struct exchanger_options options = {
		.scheme_host = s->origin,
		.settings = settings,
	};
	return exchanger_new(&options, &s->exchanger, e);
}

int store_http_new(const struct store_url *url, const struct settings *settings,
	struct store **ret, struct error *e)
{
	struct store_http *s = calloc(1, sizeof(*s));
	if (!s)
		return error_set_errno(e, -ENOMEM, "cannot open the store");
	s->base.ops = &http_ops;
	int r = set_up(s, url, settings, e);
	if (r < 0) {
		http_store_free(&s->base);
		return r;
	}
	*ret = &s->base;
	return 0;
}
