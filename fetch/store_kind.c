/* Which kind of store a URL names: the one place that knows them all. */
#include <errno.h>
#include <string.h>

#include "fetch/base/buf.h"
#include "fetch/store_impl.h"

#define NAME_MAX_SIZE (2 * STORE_URL_MAX)

static int word_name(const struct store_url *url, struct buf *name)
{
	switch (url->kind) {
	case STORE_S3:
		return buf_printf(name, "s3://%s%s%s", url->bucket, *url->path ? "/" : "",
			url->path);
	case STORE_HTTP:
		return buf_printf(name, "%s%s", url->origin, url->path);
	case STORE_FILE:
		break;
	}
	return buf_append_str(name, url->path);
}

static int new_of_kind(const struct store_url *url, const struct settings *settings,
	struct store **ret, struct error *e)
{
	switch (url->kind) {
	case STORE_S3:
		return store_s3_new(url, settings, ret, e);
	case STORE_HTTP:
		return store_http_new(url, settings, ret, e);
	case STORE_FILE:
		break;
	}
	return store_file_new(url, ret, e);
}

int store_new(const char *text, const struct settings *settings, struct store **ret,
	struct error *e)
{
	CLEANUP(store_url_finish) struct store_url url = {0};
	CLEANUP(buf_finish) struct buf name = BUF_INIT(NAME_MAX_SIZE);
	CLEANUP(settings_finish) struct settings copy = {0};
	struct store *s = NULL;
	int r = store_url_parse(text, &url, e);
	if (r < 0)
		return r;
	r = word_name(&url, &name);
	if (r == 0)
		r = settings_copy(&copy, settings);
	if (r < 0)
		return error_set_errno(e, r, "cannot open the store");
	r = new_of_kind(&url, settings, &s, e);
	if (r < 0)
		return r;
	s->name = buf_steal(&name);
	s->settings = copy;
	copy = (struct settings){0};
	*ret = s;
	return 0;
}
