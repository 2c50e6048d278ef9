#include "fetch/http_object.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/base/buf.h"
#include "fetch/exchange.h"
#include "fetch/sigv4.h"
#include "fetch/store_impl.h"

#define TRIES            2  /* of a request whose answer contradicts itself */
#define RANGE_FIELD_SIZE 64 /* "range: bytes=" and two numbers */
#define MATCH_FIELD_SIZE (PIN_ETAG_SIZE + 16)
#define QUERY_MAX        (3 * PIN_VERSION_SIZE + 16)

struct http_object {
	struct object base;
	struct http_target target; /* path and key owned, the rest borrowed */
	char *version_query;       /* owned; "versionId=..."; NULL: the store gave none */
	atomic_bool by_version;    /* the pinned version is not the latest any more */
	bool unranged;             /* its ranges are not to be had */
};

/* What an opening brought. */
struct opening {
	struct pin pin;
	size_t tail_len;
	bool unranged; /* by a 200, as of a server that knows no ranges */
};

static int ask(const struct http_target *t, const struct call *call,
	const struct exchange_request *request, struct http_response *ret,
	struct error *e)
{
	int r = exchange_perform(t->exchanger, call, request, ret, NULL, e);
	if (r < 0)
		error_prefix(e, "'%s' in '%s': ", t->key, t->store);
	return r;
}

/* An answer that contradicts itself however often it is asked for tells of the way, not of
 * the archive: -EBADMSG is what its bytes are when they are wrong. */
static int broken_transfer(int r, struct error *e)
{
	if (r == -EBADMSG && e)
		e->code = -EIO;
	return r == -EBADMSG ? -EIO : r;
}

/* --- ranges ------------------------------------------------------------------------ */

/* A GET of the pinned version: of a range, as the header field has it, or (NULL) of all. */
static int ask_pinned(const struct http_target *t, const struct call *call,
	const struct pin *pin, const char *query, const char *range, void *sink,
	size_t len, struct http_response *ret, struct error *e)
{
	char match[MATCH_FIELD_SIZE];
	snprintf(match, sizeof(match), "if-match: %s", pin->etag);
	const char *const headers[] = {match, range, NULL};
	const struct exchange_request request = {
		.method = "GET",
		.path = t->path,
		.query = query,
		.headers = headers,
		.body_fd = -1,
		.sink = sink,
		.sink_len = len,
	};
	return ask(t, call, &request, ret, e);
}

static int ask_range(const struct http_target *t, const struct call *call,
	const struct pin *pin, const char *query, uint64_t offset, size_t len, void *buf,
	struct error *e)
{
	char range[RANGE_FIELD_SIZE];
	snprintf(range, sizeof(range), "range: bytes=%" PRIu64 "-%" PRIu64, offset,
		offset + len - 1);
	CLEANUP(http_response_finish) struct http_response response = {0};
	int r = ask_pinned(t, call, pin, query, range, buf, len, &response, e);
	return r < 0 ? r : http_answer_range(t, &response, pin, offset, len, e);
}

/* All of it, for a range. */
static int ask_whole(const struct http_target *t, const struct call *call,
	const struct pin *pin, const char *query, uint64_t offset, size_t len, void *buf,
	struct error *e)
{
	size_t size = (size_t)pin->size;
	CLEANUP(cleanup_free) char *whole = malloc(size + 1);
	if (!whole)
		return error_set_errno(e, -ENOMEM, "cannot read '%s'", t->key);
	CLEANUP(http_response_finish) struct http_response response = {0};
	int r = ask_pinned(t, call, pin, query, NULL, whole, size, &response, e);
	if (r == 0)
		r = http_answer_whole(t, &response, pin, e);
	if (r == 0)
		memcpy(buf, whole + offset, len);
	return r;
}

static int read_range(const struct http_object *o, const struct call *call,
	const char *query, uint64_t offset, size_t len, void *buf, struct error *e)
{
	const struct http_target *t = &o->target;
	const struct pin *pin = &o->base.pin;
	int r = -EBADMSG;
	for (int i = 0; i < TRIES && r == -EBADMSG; i++)
		r = o->unranged ? ask_whole(t, call, pin, query, offset, len, buf, e)
				: ask_range(t, call, pin, query, offset, len, buf, e);
	return broken_transfer(r, e);
}

/* The latest version is not the pinned one: asks for that by its id. When it is gone, or
 * not for us to read, `latest` (and its sentence) stands. */
static int read_superseded(struct http_object *o, const struct call *call,
	uint64_t offset, size_t len, void *buf, int latest, struct error *e)
{
	struct error why = {0};
	int r = read_range(o, call, o->version_query, offset, len, buf, &why);
	if (r == 0)
		atomic_store(&o->by_version, true);
	if (r == -ENOENT || r == -ESTALE || r == -EACCES)
		return latest;
	if (r < 0)
		error_copy(e, &why);
	return r;
}

static int object_read(struct range_source *s, const struct call *call, uint64_t offset,
	size_t len, void *buf, struct error *e)
{
	struct http_object *o = (struct http_object *)s;
	if (o->base.whole) {
		memcpy(buf, (const char *)o->base.whole + offset, len);
		return 0;
	}
	bool by_version = atomic_load(&o->by_version);
	int r = read_range(
		o, call, by_version ? o->version_query : NULL, offset, len, buf, e);
	if ((r == -ESTALE || r == -ENOENT) && o->version_query && !by_version)
		return read_superseded(o, call, offset, len, buf, r, e);
	if (r == -ENOENT && by_version)
		return error_set(e, -ESTALE,
			"the version of '%s' in '%s' that was opened "
			"has been removed",
			o->target.key, o->target.store);
	return r;
}

/* --- the object -------------------------------------------------------------------- */

static void object_free_http(struct range_source *s)
{
	struct http_object *o = (struct http_object *)s;
	free(o->base.tail);
	free((char *)o->target.path);
	free((char *)o->target.key);
	free(o->version_query);
	free(o->base.whole);
	free(o);
}

static const struct range_source_ops object_ops = {
	.read = object_read,
	.free = object_free_http,
};

static int set_version_query(struct http_object *o)
{
	const char *id = o->base.pin.version_id;
	if (!*id)
		return 0;
	struct buf query = BUF_INIT(QUERY_MAX);
	int r = buf_append_str(&query, "versionId=");
	if (r == 0)
		r = uri_encode(&query, id, strlen(id), false);
	o->version_query = buf_steal(&query);
	return r;
}

static int copy_target(struct http_object *o, const struct http_target *t)
{
	o->target = *t;
	o->target.path = strdup(t->path);
	o->target.key = strdup(t->key);
	return o->target.path && o->target.key ? 0 : -ENOMEM;
}

/* A pin that binds nothing leaves no other way to read, and a server without ranges none that
 * does not ask for all of it each time. */
static int keep_whole(struct http_object *o, const struct opening *opening)
{
	o->unranged = opening->unranged;
	o->base.irretrievable = !etag_is_strong(opening->pin.etag);
	if (!o->unranged && !o->base.irretrievable)
		return 0;
	o->base.whole = malloc(o->base.tail_len + 1);
	if (!o->base.whole)
		return -ENOMEM;
	memcpy(o->base.whole, o->base.tail, o->base.tail_len);
	return 0;
}

static int check_pin(const struct http_target *t, const struct pin *pin, size_t tail_len,
	struct error *e)
{
	if (etag_is_strong(pin->etag) || tail_len == pin->size)
		return 0;
	return error_set(e, -EIO,
		"'%s' gives '%s' %s, so its ranges cannot be bound to one version",
		t->store, t->key, pin->etag[0] ? "only a weak ETag" : "no ETag");
}

/* Takes over tail, also on failure. */
static int object_new(const struct http_target *t, const struct opening *opening,
	void *tail, struct object **ret, struct error *e)
{
	CLEANUP(cleanup_free) void *owned = tail;
	const struct pin *pin = &opening->pin;
	int r = check_pin(t, pin, opening->tail_len, e);
	if (r < 0)
		return r;
	struct http_object *o = calloc(1, sizeof(*o));
	if (!o)
		return error_set_errno(e, -ENOMEM, "cannot open '%s'", t->key);
	CLEANUP(cleanup_object) struct object *object = &o->base;
	o->base.source = (struct range_source){&object_ops, pin->size};
	o->base.pin = *pin;
	o->base.tail = steal_pointer(owned);
	o->base.tail_len = opening->tail_len;
	r = copy_target(o, t);
	if (r == 0)
		r = set_version_query(o);
	if (r == 0)
		r = keep_whole(o, opening);
	if (r < 0)
		return error_set_errno(e, r, "cannot open '%s'", t->key);
	*ret = steal_pointer(object);
	return 0;
}

/* --- opening ----------------------------------------------------------------------- */

static int ask_suffix(const struct http_target *t, const struct call *call, void *buf,
	size_t len, struct opening *ret, struct error *e)
{
	char range[RANGE_FIELD_SIZE];
	snprintf(range, sizeof(range), "range: bytes=-%zu", len);
	const char *const headers[] = {range, NULL};
	const struct exchange_request request = {
		.method = "GET",
		.path = t->path,
		.headers = headers,
		.body_fd = -1,
		.sink = buf,
		.sink_len = len,
	};
	CLEANUP(http_response_finish) struct http_response response = {0};
	int r = ask(t, call, &request, &response, e);
	if (r == 0)
		r = http_answer_opening(t, &response, len, &ret->pin, e);
	if (r < 0)
		return r;
	ret->tail_len = (size_t)response.received;
	ret->unranged = response.status == 200;
	return 0;
}

static int look(const struct http_target *t, const struct call *call, struct pin *ret,
	int *ret_status, struct error *e)
{
	const struct exchange_request request = {
		.method = "HEAD",
		.path = t->path,
		.body_fd = -1,
	};
	CLEANUP(http_response_finish) struct http_response response = {0};
	int r = ask(t, call, &request, &response, e);
	if (r < 0)
		return r;
	*ret_status = response.status;
	return http_answer_look(t, &response, ret, e);
}

/* For servers without suffix ranges. -EBADMSG when the object changed in between. */
static int ask_in_two(const struct http_target *t, const struct call *call, void *buf,
	size_t len, struct opening *ret, struct error *e)
{
	int status;
	struct pin *pin = &ret->pin;
	int r = look(t, call, pin, &status, e);
	if (r < 0)
		return r;
	ret->tail_len = len < pin->size ? len : (size_t)pin->size;
	ret->unranged = false;
	r = check_pin(t, pin, 0, e);
	if (r < 0 || !pin->size)
		return r;
	r = ask_range(
		t, call, pin, NULL, pin->size - ret->tail_len, ret->tail_len, buf, e);
	return r == -ESTALE ? -EBADMSG : r;
}

static int ask_tail(const struct http_target *t, const struct call *call, void *buf,
	size_t len, struct opening *ret, struct error *e)
{
	int r = -EBADMSG;
	for (int i = 0; i < TRIES && r == -EBADMSG; i++) {
		r = ask_suffix(t, call, buf, len, ret, e);
		if (r == -ERANGE)
			r = ask_in_two(t, call, buf, len, ret, e);
	}
	return broken_transfer(r, e);
}

/* Without permission to list, S3 answers 403 for a key that is not there. */
static int judge_denied(
	const struct http_target *t, int r, bool *ret_denied, struct error *e)
{
	if (r != -EACCES)
		return r;
	*ret_denied = true;
	return error_set(e, -ENOENT, "there is no key '%s' in '%s', or access is denied",
		t->key, t->store);
}

int http_open_object(const struct http_target *t, const struct call *call,
	size_t tail_len, struct object **ret, bool *ret_denied, struct error *e)
{
	struct opening opening;
	CLEANUP(cleanup_free) void *tail = malloc(tail_len ? tail_len : 1);
	if (!tail)
		return error_set_errno(e, -ENOMEM, "cannot open '%s'", t->key);
	int r = ask_tail(t, call, tail, tail_len ? tail_len : 1, &opening, e);
	if (r < 0)
		return judge_denied(t, r, ret_denied, e);
	void *fitting = realloc(tail, opening.tail_len ? opening.tail_len : 1);
	if (fitting)
		tail = fitting;
	return object_new(t, &opening, steal_pointer(tail), ret, e);
}

/* 400, as for a token that has expired, and 403: HEAD's answers have no body to say why.
 * 200: some leave out the size of what is empty. */
static bool head_is_useless(int status)
{
	return status == 200 || status == 400 || status == 403 || status == 405 ||
	       status == 501;
}

int http_stat_object(const struct http_target *t, const struct call *call,
	struct pin *ret, bool *ret_denied, struct error *e)
{
	int status = 0;
	struct opening opening;
	int r = look(t, call, &opening.pin, &status, e);
	if (r < 0 && head_is_useless(status)) {
		char byte;
		r = ask_tail(t, call, &byte, sizeof(byte), &opening, e);
	}
	if (r < 0)
		return judge_denied(t, r, ret_denied, e);
	*ret = opening.pin;
	return 0;
}
