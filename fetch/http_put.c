#include "fetch/http_put.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "fetch/base/io.h"
#include "fetch/exchange.h"
#include "fetch/http_object.h"

#define FIELDS_MAX     5
#define FIELD_SIZE     128
#define LOOK_BACK_MAX  (1u << 20) /* bytes: what tells two archives apart lies last */
#define PAUSE_FIRST_NS (UINT64_C(50) * NS_PER_MS)
#define PAUSE_LAST_NS  (UINT64_C(3) * NS_PER_SECOND)

struct put_fields {
	const char *lines[FIELDS_MAX];
	char nonce[FIELD_SIZE];
	char identity[FIELD_SIZE];
};

static void write_fields(const struct http_put *put, struct put_fields *f)
{
	size_t n = 0;
	f->lines[n++] = "content-type: application/octet-stream";
	if (put->if_absent)
		f->lines[n++] = "if-none-match: *";
	if (put->identity) {
		char hex[DIGEST_HEX_SIZE];
		digest_hex(put->identity, hex);
		snprintf(f->identity, FIELD_SIZE, "x-amz-meta-larder-identity: %s", hex);
		f->lines[n++] = f->identity;
	}
	snprintf(f->nonce, FIELD_SIZE, "x-amz-meta-larder-nonce: %s", put->nonce);
	f->lines[n++] = f->nonce;
	f->lines[n] = NULL;
}

static int send_put(const struct http_put *put, const struct call *call,
	struct http_response *ret, struct error *e)
{
	struct put_fields fields;
	char hex[DIGEST_HEX_SIZE];
	write_fields(put, &fields);
	digest_hex(put->sha256, hex);
	const struct exchange_request request = {
		.method = "PUT",
		.path = put->target->path,
		.headers = fields.lines,
		.body = put->data,
		.body_fd = put->data ? -1 : put->fd,
		.body_len = put->len,
		.payload_sha256 = hex,
	};
	int r = exchange_perform(put->target->exchanger, call, &request, ret, NULL, e);
	if (r < 0)
		error_prefix(e, "cannot put '%s' into '%s': ", put->target->key,
			put->target->store);
	return r;
}

static bool judge_put(int status, bool if_absent, enum put_verdict *ret)
{
	switch (status) {
	case 200:
	case 201:
	case 204:
		*ret = PUT_STORED;
		return true;
	case 304:
	case 412:
		*ret = PUT_EXISTS;
		return if_absent;
	case 409:
		*ret = PUT_CONFLICT;
		return true;
	case 405:
	case 501:
		*ret = PUT_UNSUPPORTED;
		return true;
	default:
		return false;
	}
}

int http_put_once(const struct http_put *put, const struct call *call,
	enum put_verdict *ret, struct pin *ret_pin, struct error *e)
{
	CLEANUP(http_response_finish) struct http_response response = {0};
	int r = send_put(put, call, &response, e);
	if (r < 0)
		return r;
	enum put_verdict verdict;
	if (!judge_put(response.status, put->if_absent, &verdict))
		return http_answer_write_refusal(put->target, &response, e);
	if (verdict == PUT_STORED)
		http_answer_pin(&response.fields, put->len, ret_pin);
	*ret = verdict;
	return 0;
}

int http_who_won(const struct http_target *t, const struct call *call, const char *nonce,
	struct publish_result *ret, struct error *e)
{
	struct publish_result result = {.outcome = ALREADY_PUBLISHED};
	bool denied = false;
	struct error why = {0};
	int r = http_stat_object(t, call, &result.pin, &denied, &why);
	if (denied)
		return error_set(e, -EACCES,
			"whether '%s' is in '%s' is not to be seen: access is denied",
			t->key, t->store);
	if (r < 0) {
		error_copy(e, &why);
		return r;
	}
	if (!strcmp(result.pin.nonce, nonce))
		result.outcome = PUBLISHED;
	*ret = result;
	return 0;
}

int http_who_was_first(const struct http_target *t, const struct call *call,
	const char *nonce, struct publish_result *ret, struct error *e)
{
	struct error why = {0};
	int r = http_who_won(t, call, nonce, ret, &why);
	if (r == -EACCES) {
		*ret = (struct publish_result){.outcome = ALREADY_PUBLISHED};
		return 0;
	}
	if (r < 0)
		error_copy(e, &why);
	return r;
}

int http_pause(const struct call *call, unsigned tries)
{
	uint64_t most = PAUSE_FIRST_NS << (tries < 10 ? tries : 10);
	uint32_t random;
	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
		random = UINT32_MAX;
	if (most > PAUSE_LAST_NS)
		most = PAUSE_LAST_NS;
	return call_pause(
		call, clock_monotonic_ns() + most * (uint64_t)random / UINT32_MAX);
}

int http_refuse_writes(const struct http_target *t, struct error *e)
{
	return error_set(e, -EIO, "'%s' does not take writes", t->store);
}

static int refuse_unsupported(const struct http_put *put, struct error *e)
{
	if (!put->if_absent)
		return http_refuse_writes(put->target, e);
	return error_set(e, -EOPNOTSUPP, "'%s' does not take conditional writes",
		put->target->store);
}

/* A folder is missing (WebDAV), or another write is under way. */
static int wait_out_conflict(const struct http_target *t, const struct call *call,
	unsigned tries, struct error *e)
{
	int r = t->make_way ? t->make_way(t, call, e) : 0;
	if (r != 0)
		return r < 0 ? r : 0;
	r = http_pause(call, tries);
	return r < 0 ? error_set_errno(
			       e, r, "cannot put '%s' into '%s'", t->key, t->store)
		     : 0;
}

/* The last `len` bytes of what was sent. */
static int read_sent(const struct http_put *put, void *buf, size_t len)
{
	uint64_t offset = put->len - len;
	if (!put->data)
		return pread_exactly(put->fd, buf, len, offset);
	memcpy(buf, (const char *)put->data + offset, len);
	return 0;
}

/* Does the object there have the size and the last bytes of what was sent? */
static bool is_alike(
	const struct http_put *put, const struct call *call, struct pin *ret_pin)
{
	CLEANUP(cleanup_object) struct object *there = NULL;
	bool denied;
	size_t len, wanted = put->len < LOOK_BACK_MAX ? (size_t)put->len : LOOK_BACK_MAX;
	CLEANUP(cleanup_free) void *sent = malloc(wanted + 1);
	if (!sent || read_sent(put, sent, wanted) < 0 ||
		http_open_object(put->target, call, wanted, &there, &denied, NULL) < 0)
		return false;
	const void *tail = object_tail(there, &len);
	*ret_pin = *object_pin(there);
	return ret_pin->size == put->len && len == wanted && !memcmp(tail, sent, len);
}

/* A server of files keeps no nonce. Whose the same bytes are cannot be told then, but
 * they are there: a failure would be untrue. */
static bool is_there_without_nonce(
	const struct http_put *put, const struct call *call, struct publish_result *found)
{
	if (found->pin.nonce[0] || found->pin.size != put->len ||
		!is_alike(put, call, &found->pin))
		return false;
	found->outcome = put->if_absent ? ALREADY_PUBLISHED : PUBLISHED;
	return true;
}

/* No answer came: perhaps it got lost behind a success. */
static int settle_unanswered(const struct http_put *put, const struct call *call, int r,
	struct publish_result *ret)
{
	struct publish_result found;
	if (r != -EIO || http_who_won(put->target, call, put->nonce, &found, NULL) < 0)
		return r;
	if (found.outcome != PUBLISHED && !is_there_without_nonce(put, call, &found))
		return r;
	*ret = found;
	return 0;
}

/* Servers of files do not say the ETag of what was put. */
static void settle_stored(
	const struct http_put *put, const struct call *call, struct pin *pin)
{
	struct pin found;
	bool denied = false;
	if (!pin->etag[0] &&
		http_stat_object(put->target, call, &found, &denied, NULL) == 0 &&
		found.size == put->len)
		*pin = found;
	memcpy(pin->nonce, put->nonce, sizeof(pin->nonce));
	pin->has_identity = put->identity;
	if (put->identity)
		pin->identity = *put->identity;
}

/* -EAGAIN: nothing is decided yet. */
static int try_put(const struct http_put *put, const struct call *call, unsigned tries,
	struct publish_result *ret, struct error *e)
{
	enum put_verdict verdict;
	struct pin pin;
	int r = http_put_once(put, call, &verdict, &pin, e);
	if (r < 0)
		return settle_unanswered(put, call, r, ret);
	switch (verdict) {
	case PUT_EXISTS: /* unless it is gone again by now */
		r = http_who_was_first(put->target, call, put->nonce, ret, e);
		return r == -ENOENT ? -EAGAIN : r;
	case PUT_CONFLICT:
		r = wait_out_conflict(put->target, call, tries, e);
		return r < 0 ? r : -EAGAIN;
	case PUT_UNSUPPORTED:
		return refuse_unsupported(put, e);
	case PUT_STORED:
		break;
	}
	settle_stored(put, call, &pin);
	*ret = (struct publish_result){PUBLISHED, pin};
	return 0;
}

/* Some stores answer 409 for a key that exists. */
static int settle_conflicts(const struct http_put *put, const struct call *call,
	struct publish_result *ret, struct error *e)
{
	int r = put->if_absent ? http_who_won(put->target, call, put->nonce, ret, e)
			       : -ENOENT;
	if (r != -ENOENT && r != -EACCES)
		return r;
	return error_set(e, -EIO, "'%s' in '%s' is refused again and again, but %s",
		put->target->key, put->target->store,
		r == -ENOENT ? "is not there" : "may not be looked at");
}

int http_put_object(const struct http_put *put, const struct call *call,
	struct publish_result *ret, struct error *e)
{
	int r = -EAGAIN;
	for (unsigned i = 0; i < HTTP_CONFLICTS_MAX && r == -EAGAIN; i++)
		r = try_put(put, call, i, ret, e);
	return r == -EAGAIN ? settle_conflicts(put, call, ret, e) : r;
}
