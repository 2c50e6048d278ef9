#include "fetch/store_s3.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/http_object.h"
#include "fetch/http_publication.h"
#include "fetch/key.h"
#include "fetch/profile.h"
#include "fetch/s3_endpoint.h"
#include "fetch/sigv4.h"

#define REGION_DEFAULT "us-east-1"

static struct store_s3 *store_s3(struct store *s)
{
	return (struct store_s3 *)s;
}

struct http_root store_s3_root(const struct store_s3 *s)
{
	return (struct http_root){
		.exchanger = s->exchanger,
		.path = s->root_path,
		.store = s->base.name,
	};
}

int store_s3_check_key(const struct store_s3 *s, const char *key, struct error *e)
{
	if (strlen(s->prefix) + strlen(key) <= KEY_MAX)
		return 0;
	return error_set(e, -EINVAL, "key '%s' is too long behind the prefix of '%s'",
		key, s->base.name);
}

static int find_target(const struct store_s3 *s, const char *key, struct buf *path,
	struct http_target *ret, struct error *e)
{
	const struct http_root root = store_s3_root(s);
	int r = store_s3_check_key(s, key, e);
	return r < 0 ? r : http_target_of(&root, key, path, ret, e);
}

static int s3_open_object(struct store *base, const struct call *call, const char *key,
	size_t tail_len, struct object **ret, bool *ret_denied, struct error *e)
{
	CLEANUP(buf_finish) struct buf path = BUF_INIT(HTTP_PATH_MAX);
	struct http_target target;
	int r = find_target(store_s3(base), key, &path, &target, e);
	return r < 0 ? r : http_open_object(&target, call, tail_len, ret, ret_denied, e);
}

static int s3_stat_object(struct store *base, const struct call *call, const char *key,
	struct pin *ret, bool *ret_denied, struct error *e)
{
	CLEANUP(buf_finish) struct buf path = BUF_INIT(HTTP_PATH_MAX);
	struct http_target target;
	int r = find_target(store_s3(base), key, &path, &target, e);
	return r < 0 ? r : http_stat_object(&target, call, ret, ret_denied, e);
}

static int s3_publish(struct store *base, const struct call *call, const char *key,
	const struct publish_options *options, struct publication **ret, struct error *e)
{
	struct store_s3 *s = store_s3(base);
	const struct http_root root = store_s3_root(s);
	const struct http_publication_options o = {
		.store = base,
		.root = &root,
		.key = key,
		.asked = options,
		.multipart = true,
		.equal_parts =
			s3_endpoint_is_below(s->endpoint, "r2.cloudflarestorage.com"),
	};
	int r = store_s3_check_key(s, key, e);
	return r < 0 ? r : http_publication_begin(&o, call, ret, e);
}

static int s3_probe_scope(struct store *base, struct buf *ret)
{
	struct store_s3 *s = store_s3(base);
	return buf_printf(ret, "s3 %s %s", s->endpoint, s->bucket);
}

static void s3_warm(struct store *base, unsigned connections)
{
	exchange_warm(store_s3(base)->exchanger, connections);
}

static void s3_stats(struct store *base, struct store_stats *ret)
{
	exchange_stats(store_s3(base)->exchanger, ret);
}

static void s3_free(struct store *base)
{
	struct store_s3 *s = store_s3(base);
	exchanger_free(s->exchanger);
	creds_free(s->creds);
	free(s->endpoint);
	free(s->bucket);
	free(s->prefix);
	free(s->bucket_path);
	free(s->root_path);
	free(s);
}

static const struct store_ops s3_ops = {
	.open_object = s3_open_object,
	.stat_object = s3_stat_object,
	.list = store_s3_list,
	.publish = s3_publish,
	.probe_scope = s3_probe_scope,
	.probe = store_s3_probe,
	.warm = s3_warm,
	.stats = s3_stats,
	.free = s3_free,
};

/* --- where and who ------------------------------------------------------------------ */

static const char *first_said(const char *a, const char *b, const char *c)
{
	return a ? a : b ? b : c;
}

static int set_paths(struct store_s3 *s, const struct store_url *url, bool path_style)
{
	CLEANUP(buf_finish) struct buf bucket_path = BUF_INIT(HTTP_PATH_MAX);
	CLEANUP(buf_finish) struct buf root_path = BUF_INIT(HTTP_PATH_MAX);
	CLEANUP(buf_finish) struct buf prefix = BUF_INIT(STORE_URL_MAX + 1);
	const char *slash = *url->path ? "/" : "";
	int r = buf_printf(&bucket_path, "%s%s", path_style ? "/" : "",
		path_style ? url->bucket : "");
	if (r == 0)
		r = buf_printf(&root_path, "%s%s", buf_str(&bucket_path), slash);
	if (r == 0)
		r = uri_encode(&root_path, url->path, strlen(url->path), true);
	if (r == 0)
		r = buf_printf(&prefix, "%s%s", url->path, slash);
	if (r < 0)
		return r;
	s->bucket = strdup(url->bucket);
	s->bucket_path = buf_steal(&bucket_path);
	s->root_path = buf_steal(&root_path);
	s->prefix = buf_steal(&prefix);
	return s->bucket && s->bucket_path && s->root_path && s->prefix ? 0 : -ENOMEM;
}

static int make_exchanger(struct store_s3 *s, const char *scheme_host, const char *region,
	const struct settings *settings, const char *ca_bundle, struct error *e)
{
	struct settings effective = *settings; /* borrows */
	if (!effective.ca_bundle)
		effective.ca_bundle = (char *)ca_bundle;
	int r = settings->no_sign_request ? 0 : creds_new(settings, &s->creds, e);
	if (r < 0)
		return r;
	const struct exchanger_options options = {
		.scheme_host = scheme_host,
		.region = s->creds ? region : NULL,
		.creds = s->creds,
		.settings = &effective,
	};
	return exchanger_new(&options, &s->exchanger, e);
}

static int set_up(struct store_s3 *s, const struct store_url *url,
	const struct settings *settings, const struct profile_facts *profile,
	struct error *e)
{
	CLEANUP(s3_endpoint_finish) struct s3_endpoint found = {0};
	const char *region = first_said(settings->region, url->region, profile->region);
	int path_style = settings->path_style   ? 1
			 : url->path_style >= 0 ? url->path_style
						: profile->path_style;
	if (!region)
		region = REGION_DEFAULT;
	int r = s3_endpoint_find(
		first_said(settings->endpoint_url, url->endpoint, profile->endpoint_url),
		region, url->bucket, path_style, &found, e);
	if (r < 0)
		return r;
	r = set_paths(s, url, found.path_style);
	if (r < 0)
		return error_set_errno(e, r, "cannot open the store");
	s->endpoint = steal_pointer(found.endpoint);
	return make_exchanger(
		s, found.scheme_host, region, settings, profile->ca_bundle, e);
}

int store_s3_new(const struct store_url *url, const struct settings *settings,
	struct store **ret, struct error *e)
{
	CLEANUP(profile_facts_finish) struct profile_facts profile = {.path_style = -1};
	int r = profile_facts_load(settings, &profile, e);
	if (r < 0)
		return r;
	struct store_s3 *s = calloc(1, sizeof(*s));
	if (!s)
		return error_set_errno(e, -ENOMEM, "cannot open the store");
	s->base.ops = &s3_ops;
	r = set_up(s, url, settings, &profile, e);
	if (r < 0) {
		s3_free(&s->base);
		return r;
	}
	*ret = &s->base;
	return 0;
}
