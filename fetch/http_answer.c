#include "fetch/http_answer.h"

#include <errno.h>
#include <string.h>

#include "fetch/origin.h"
#include "fetch/s3_error.h"

/* --- refusals ---------------------------------------------------------------------- */

/* "http://host/a/b/" for "/a/b": servers of files answer so for a directory. */
static bool moved_to_directory(const struct http_target *t, const char *location)
{
	size_t path = strlen(t->path), len = strlen(location);
	return len > path && location[len - 1] == '/' &&
	       !strncmp(location + len - 1 - path, t->path, path);
}

static int refuse_moved(const struct http_target *t, const struct http_response *response,
	struct error *e)
{
	const char *location = response->fields.location;
	char shown[URL_DISPLAY_SIZE];
	if (moved_to_directory(t, location))
		return error_set(
			e, -ENOENT, "there is no key '%s' in '%s'", t->key, t->store);
	url_display(location, shown);
	return error_set(e, -EIO, "'%s' in '%s' has moved to '%s' (status %d)", t->key,
		t->store, shown, response->status);
}

static void read_error(const struct http_response *response, struct s3_error *ret)
{
	*ret = (struct s3_error){0};
	s3_error_parse(response->body.data, response->body.len, ret);
}

int http_answer_no_bucket(const char *store, struct error *e)
{
	return error_set(e, -EIO,
		"the bucket of '%s' does not exist; make it, or correct its name or the "
		"endpoint",
		store);
}

static int refuse_missing(const struct http_target *t,
	const struct http_response *response, struct error *e)
{
	struct s3_error why;
	read_error(response, &why);
	if (!strcmp(why.code, "NoSuchBucket"))
		return http_answer_no_bucket(t->store, e);
	return error_set(e, -ENOENT, "there is no key '%s' in '%s'", t->key, t->store);
}

static int refuse_otherwise(const struct http_target *t,
	const struct http_response *response, struct error *e)
{
	struct s3_error why;
	read_error(response, &why);
	return error_set(e, -EIO, "'%s' answered %d for '%s'%s%s%s%s", t->store,
		response->status, t->key, why.code[0] ? ": " : "", why.code,
		why.message[0] ? ": " : "", why.message);
}

int http_answer_refusal(const struct http_target *t, const struct http_response *response,
	struct error *e)
{
	switch (response->status) {
	case 404:
	case 410:
		return refuse_missing(t, response, e);
	case 401:
	case 403:
		return error_set(
			e, -EACCES, "access to '%s' in '%s' is denied", t->key, t->store);
	case 301:
	case 302:
	case 303:
	case 307:
	case 308:
		return refuse_moved(t, response, e);
	default:
		return refuse_otherwise(t, response, e);
	}
}

int http_answer_write_refusal(const struct http_target *t,
	const struct http_response *response, struct error *e)
{
	if (response->status != 404)
		return http_answer_refusal(t, response, e);
	struct s3_error why;
	read_error(response, &why);
	if (!strcmp(why.code, "NoSuchBucket"))
		return http_answer_no_bucket(t->store, e);
	return error_set(
		e, -EIO, "there is no store '%s' to put '%s' into", t->store, t->key);
}

static int refuse_contradiction(
	const struct http_target *t, const char *what, struct error *e)
{
	return error_set(
		e, -EBADMSG, "the answer for '%s' in '%s' %s", t->key, t->store, what);
}

/* --- opening ----------------------------------------------------------------------- */

void http_answer_pin(const struct http_fields *f, uint64_t size, struct pin *ret)
{
	*ret = (struct pin){
		.size = size,
		.mtime_s = f->last_modified_s,
		.has_identity = f->has_identity,
		.identity = f->identity,
	};
	memcpy(ret->etag, f->etag, sizeof(ret->etag));
	memcpy(ret->version_id, f->version_id, sizeof(ret->version_id));
	memcpy(ret->nonce, f->nonce, sizeof(ret->nonce));
}

/* A 206 must be exactly the last bytes, as many as asked for or all there are. */
static bool is_suffix(const struct http_response *response, size_t asked)
{
	const struct content_range *range = &response->fields.content_range;
	if (!range->present || range->unsatisfied || !range->has_total || !range->total)
		return false;
	uint64_t want = asked < range->total ? asked : range->total;
	return range->last == range->total - 1 && range->first == range->total - want &&
	       response->received == want;
}

static bool is_whole(const struct http_response *response)
{
	const struct http_fields *f = &response->fields;
	return !f->has_content_length || f->content_length == response->received;
}

int http_answer_opening(const struct http_target *t, const struct http_response *response,
	size_t asked, struct pin *ret, struct error *e)
{
	const struct http_fields *f = &response->fields;
	bool partial = response->status == 206;
	if (response->status == 416 ||
		(response->status == 200 && response->received > asked))
		return error_set(e, -ERANGE, "'%s' does not answer a range of '%s'",
			t->store, t->key);
	if (!partial && response->status != 200)
		return http_answer_refusal(t, response, e);
	if (f->malformed)
		return refuse_contradiction(t, "has malformed header fields", e);
	if (partial ? !is_suffix(response, asked) : !is_whole(response))
		return refuse_contradiction(t, "is not the range that was asked for", e);
	http_answer_pin(f, partial ? f->content_range.total : response->received, ret);
	return 0;
}

int http_answer_look(const struct http_target *t, const struct http_response *response,
	struct pin *ret, struct error *e)
{
	const struct http_fields *f = &response->fields;
	if (response->status != 200)
		return http_answer_refusal(t, response, e);
	if (f->malformed)
		return refuse_contradiction(t, "has malformed header fields", e);
	if (!f->has_content_length)
		return refuse_contradiction(t, "does not tell its size", e);
	http_answer_pin(f, f->content_length, ret);
	return 0;
}

/* --- ranges ------------------------------------------------------------------------ */

static int refuse_stale(const struct http_target *t, struct error *e)
{
	return error_set(
		e, -ESTALE, "'%s' in '%s' is another version now", t->key, t->store);
}

/* True when what the answer says of the object is not what was pinned. What it leaves out
 * is not held against it here. */
static bool is_other_version(const struct http_fields *f, const struct pin *pin)
{
	const struct content_range *range = &f->content_range;
	return (f->etag[0] && strcmp(f->etag, pin->etag)) ||
	       (f->version_id[0] && pin->version_id[0] &&
		       strcmp(f->version_id, pin->version_id)) ||
	       (range->present && range->has_total && range->total != pin->size);
}

static bool is_range(const struct http_response *response, uint64_t offset, size_t len)
{
	const struct content_range *range = &response->fields.content_range;
	return range->present && !range->unsatisfied && range->has_total &&
	       range->first == offset && range->last == offset + len - 1 &&
	       response->received == len;
}

/* What both may be refused for. */
static int judge_bound(const struct http_target *t, const struct http_response *response,
	const struct pin *pin, struct error *e)
{
	const struct http_fields *f = &response->fields;
	if (response->status == 412 || response->status == 416)
		return refuse_stale(t, e);
	if (response->status != 206 && response->status != 200)
		return http_answer_refusal(t, response, e);
	if (f->malformed)
		return refuse_contradiction(t, "has malformed header fields", e);
	return is_other_version(f, pin) ? refuse_stale(t, e) : 0;
}

int http_answer_range(const struct http_target *t, const struct http_response *response,
	const struct pin *pin, uint64_t offset, size_t len, struct error *e)
{
	int r = judge_bound(t, response, pin, e);
	if (r < 0)
		return r;
	if (response->status == 200)
		return refuse_contradiction(
			t, "is the whole object where a range was asked for", e);
	if (!response->fields.etag[0])
		return refuse_contradiction(t, "has no ETag", e);
	if (!is_range(response, offset, len))
		return refuse_contradiction(t, "is not the range that was asked for", e);
	return 0;
}

int http_answer_whole(const struct http_target *t, const struct http_response *response,
	const struct pin *pin, struct error *e)
{
	int r = judge_bound(t, response, pin, e);
	if (r < 0)
		return r;
	if (response->status != 200 || response->received != pin->size)
		return refuse_contradiction(t, "is not the whole object", e);
	if (!response->fields.etag[0])
		return refuse_contradiction(t, "has no ETag", e);
	return 0;
}
