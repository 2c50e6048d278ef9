#include "fetch/exchange_try.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fetch/base/io.h"
#include "fetch/origin.h"
#include "fetch/secret.h"
#include "fetch/sigv4.h"

#define HASH_PIECE       (256u << 10) /* bytes of a file hashed at once */
#define SIGNED_LINES     5            /* Host and what sigv4_sign() makes */
#define SIGNED_BYTES_MAX (CREDS_TOKEN_MAX + 4096)

DEFINE_CLEANUP(cleanup_hasher, struct hasher, hasher_free);

/* --- the payload's digest -------------------------------------------------------------
 */

static int hash_file(const struct exchange_request *request, struct digest *ret)
{
	CLEANUP(cleanup_hasher) struct hasher *h = hasher_new();
	CLEANUP(cleanup_free) char *piece = malloc(HASH_PIECE);
	if (!h || !piece)
		return -ENOMEM;
	int r = 0;
	for (uint64_t at = 0; r == 0 && at < request->body_len; at += HASH_PIECE) {
		uint64_t left = request->body_len - at;
		size_t len = left < HASH_PIECE ? (size_t)left : HASH_PIECE;
		r = pread_exactly(
			request->body_fd, piece, len, request->body_offset + at);
		if (r == 0)
			r = hasher_update(h, piece, len);
	}
	return r < 0 ? r : hasher_finish(h, ret);
}

int exchange_hash_payload(const struct exchange_request *request,
	char ret[static DIGEST_HEX_SIZE], struct error *e)
{
	struct digest d;
	if (request->payload_sha256) {
		snprintf(ret, DIGEST_HEX_SIZE, "%s", request->payload_sha256);
		return 0;
	}
	bool in_file = request->body_len && !request->body;
	int r = in_file ? hash_file(request, &d)
			: digest_of(request->body, (size_t)request->body_len, &d);
	if (r < 0)
		return error_set_errno(
			e, r == -ENOMEM ? r : -EIO, "cannot read the bytes to send");
	digest_hex(&d, ret);
	return 0;
}

/* --- wording ---------------------------------------------------------------------------
 */

struct wording {
	struct buf url;
	struct buf signature; /* lines, each with its NUL; holds the token */
	char host[EXCHANGE_ORIGIN_SIZE + 8];
	const char *headers[EXCHANGE_HEADERS_MAX + SIGNED_LINES + 1];
	size_t count;
};

static void wording_finish(struct wording *w)
{
	buf_finish(&w->url);
	secret_buf_finish(&w->signature);
}

static int word_url(struct wording *w, const struct exchange_request *request,
	const struct exchange_place *place)
{
	bool has_query = request->query && request->query[0];
	return buf_printf(&w->url, "%s%s%s%s", place->origin, request->path,
		has_query ? "?" : "", has_query ? request->query : "");
}

static int word_headers(struct wording *w, const struct exchange_request *request,
	const struct exchange_place *place)
{
	const char *const *line = request->headers;
	for (; line && *line; line++) {
		if (w->count == EXCHANGE_HEADERS_MAX)
			return -EINVAL;
		w->headers[w->count++] = *line;
	}
	snprintf(w->host, sizeof(w->host), "host: %s", origin_authority(place->origin));
	w->headers[w->count++] = w->host;
	return 0;
}

static int sign(struct wording *w, const struct exchange_request *request,
	const struct exchange_try *how)
{
	const struct sigv4_request to_sign = {
		.method = request->method,
		.host = origin_authority(how->place->origin),
		.path = request->path,
		.query = request->query,
		.headers = request->headers,
		.payload_sha256 = how->payload_sha256,
		.region = how->place->region,
		.service = "s3",
		.time_s = clock_realtime_s() + how->place->clock_offset_s,
	};
	int r = buf_reserve(&w->signature, SIGNED_BYTES_MAX);
	if (r == 0)
		r = sigv4_sign(&to_sign, how->credentials, &w->signature);
	const char *line = buf_str(&w->signature);
	const char *end = line + w->signature.len;
	for (unsigned i = 1; r == 0 && line < end && i < SIGNED_LINES; i++) {
		w->headers[w->count++] = line;
		line += strlen(line) + 1;
	}
	return r;
}

static int word(struct wording *w, const struct exchange_request *request,
	const struct exchange_try *how)
{
	int r = word_url(w, request, how->place);
	if (r == 0)
		r = word_headers(w, request, how->place);
	if (r == 0 && how->credentials)
		r = sign(w, request, how);
	return r;
}

int exchange_send(struct transfer *t, const struct call *call,
	const struct exchange_request *request, const struct exchange_try *how,
	struct http_response *ret, struct error *e)
{
	CLEANUP(wording_finish)
	struct wording w = {
		.url = BUF_INIT(EXCHANGE_URL_MAX),
		.signature = BUF_INIT(SIGNED_BYTES_MAX),
	};
	int r = word(&w, request, how);
	if (r < 0)
		return error_set_errno(e, r == -ENOMEM ? r : -EINVAL,
			"cannot word a request for '%s'", how->place->origin);
	const struct http_request sent = {
		.method = request->method,
		.url = buf_str(&w.url),
		.headers = w.headers,
		.body = request->body,
		.body_fd = request->body_fd,
		.body_offset = request->body_offset,
		.body_len = request->body_len,
		.sink = request->sink,
		.sink_len = request->sink_len,
		.body_max = request->body_max,
		.stall_timeout_ns = request->stall_timeout_ns,
		.fresh_connection = how->fresh_connection,
		.hedge_after_ns = how->hedge_after_ns,
		.hedged = how->hedged,
	};
	return transfer_perform(t, call, &sent, ret, e);
}
