/* Listing a bucket: ListObjectsV2, page after page. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/http_answer.h"
#include "fetch/key.h"
#include "fetch/s3_xml.h"
#include "fetch/sigv4.h"
#include "fetch/store_s3.h"

#define QUERY_MAX (3 * (S3_TOKEN_SIZE + 2 * KEY_MAX + STORE_URL_MAX) + 128)
#define PAGES_MAX 1000000u

struct listing {
	struct store_s3 *store;
	const struct call *call;
	const char *prefix; /* below the store's own */
	bool deep;
	list_fn *fn;
	void *arg;
	char token[S3_TOKEN_SIZE]; /* of the page to ask for; "" for the first */
};

static int append_parameter(struct buf *query, const char *name, const char *value)
{
	int r = buf_append_str(query, name);
	return r < 0 ? r : uri_encode(query, value, strlen(value), false);
}

/* Sorted by name, as signing wants it. */
static int word_query(const struct listing *l, struct buf *query)
{
	int r = 0;
	if (l->token[0])
		r = append_parameter(query, "continuation-token=", l->token);
	if (r == 0 && query->len)
		r = buf_append_str(query, "&");
	if (r == 0 && !l->deep)
		r = buf_append_str(query, "delimiter=%2F&");
	if (r == 0)
		r = buf_append_str(query, "encoding-type=url&list-type=2");
	if (r == 0)
		r = append_parameter(query, "&prefix=", l->store->prefix);
	return r < 0 ? r : uri_encode(query, l->prefix, strlen(l->prefix), false);
}

static int refuse(
	const struct listing *l, const struct http_response *response, struct error *e)
{
	const char *store = l->store->base.name;
	if (response->status == 404)
		return http_answer_no_bucket(store, e);
	if (response->status == 401 || response->status == 403)
		return error_set(e, -EACCES,
			"listing '%s' is denied; the right 's3:ListBucket' is needed",
			store);
	return error_set(
		e, -EIO, "'%s' answered %d when listed", store, response->status);
}

static int ask_page(const struct listing *l, struct s3_page *ret, struct error *e)
{
	CLEANUP(buf_finish) struct buf query = BUF_INIT(QUERY_MAX);
	int r = word_query(l, &query);
	if (r < 0)
		return error_set_errno(e, r, "cannot list '%s'", l->store->base.name);
	const struct exchange_request request = {
		.method = "GET",
		.path = *l->store->bucket_path ? l->store->bucket_path : "/",
		.query = buf_str(&query),
		.body_fd = -1,
		.body_max = S3_PAGE_BYTES_MAX,
	};
	CLEANUP(http_response_finish) struct http_response response = {0};
	r = exchange_perform(l->store->exchanger, l->call, &request, &response, NULL, e);
	if (r < 0)
		return error_prefix(e, "cannot list '%s': ", l->store->base.name), r;
	if (response.status != 200)
		return refuse(l, &response, e);
	r = s3_xml_page(response.body.data, response.body.len, ret);
	if (r < 0)
		return error_set(e, r == -EBADMSG ? -EIO : r,
			"'%s' answered nonsense when listed", l->store->base.name);
	return 0;
}

/* What does not lie below the store's prefix was not asked for. */
static int tell(const struct listing *l, const struct s3_entry *entry)
{
	size_t len = strlen(l->store->prefix);
	if (strncmp(entry->key, l->store->prefix, len) || !entry->key[len])
		return 0;
	const struct list_entry told = {
		.key = entry->key + len,
		.is_directory = entry->is_directory,
		.size = entry->size,
		.mtime_s = entry->mtime_s,
	};
	return l->fn(l->arg, &told);
}

/* A page that leads to itself would be followed for ever. */
static int turn_page(struct listing *l, const struct s3_page *page, struct error *e)
{
	if (!strcmp(page->next_token, l->token))
		return error_set(e, -EIO, "'%s' gives the same page again and again",
			l->store->base.name);
	memcpy(l->token, page->next_token, sizeof(l->token));
	return 0;
}

static int list_page(struct listing *l, bool *ret_more, struct error *e)
{
	CLEANUP(s3_page_finish) struct s3_page page = {0};
	int r = ask_page(l, &page, e);
	for (size_t i = 0; i < page.entries.len && r == 0; i++)
		r = tell(l, &page.entries.data[i]);
	if (r != 0)
		return r;
	*ret_more = page.truncated;
	return page.truncated ? turn_page(l, &page, e) : 0;
}

int store_s3_list(struct store *base, const struct call *call, const char *prefix,
	bool deep, list_fn *fn, void *arg, struct error *e)
{
	struct listing l = {
		.store = (struct store_s3 *)base,
		.call = call,
		.prefix = prefix,
		.deep = deep,
		.fn = fn,
		.arg = arg,
	};
	bool more = true;
	int r = 0;
	for (unsigned i = 0; more && r == 0; i++) {
		if (i == PAGES_MAX)
			return error_set(
				e, -EIO, "the listing of '%s' has no end", base->name);
		r = list_page(&l, &more, e);
	}
	return r;
}
