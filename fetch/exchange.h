/*
 * An exchange: a request that is signed, sent, and sent again when that is right.
 *
 * exchange_perform() loops: sign with the credentials of now -> transfer_perform() ->
 * retry_judge() (fetch/retry.h, pure) -> done, or again after a pause. All inside the
 * call's deadline, the count of retries, and the budget that all callers of one store
 * share, so that a failing store is not stormed.
 *
 * Dealt with here, invisible to callers:
 *   429, 5xx but 501, 505, 507; 408; resets, cuts, stalls   full jitter; Retry-After is
 *                                                   obeyed; after a stall on a new
 *                                                   connection
 *   ExpiredToken, InvalidAccessKeyId, SignatureDoesNotMatch   credentials are refreshed
 *                                                   once and the request replayed
 *   400 that gives no reason                        the same, where there are others
 *   RequestTimeTooSkewed                            the offset is learned from Date
 *   301, 307, 308, 400 that name another region     signed again for that region; at AWS
 *                                                   sent to that region's host
 *   a late answer to a demanded range               asked a second time (fetch/hedge.h)
 *
 * Everything else (200, 206, 304, 403, 404, 409, 412, 416, 501 ...) is the caller's.
 *
 * One leaf lock guards what was learned (region, host, clock), the budget, the hedges'
 * memory and the counters.
 */
#ifndef LARDER_FETCH_EXCHANGE_H
#define LARDER_FETCH_EXCHANGE_H

#include "fetch/base/call.h"
#include "fetch/settings.h"
#include "fetch/store.h"
#include "fetch/transfer.h"

struct creds;
struct exchanger;

/* A request as a store words it: no Authorization, no Date, no Host. Borrowed fields. */
struct exchange_request {
	const char *method;
	const char *path;    /* absolute path as sent, percent-encoded (key_encode_path()) */
	const char *query;   /* percent-encoded, sorted, without '?'; "" or NULL: none */
	const char *const *headers; /* "Name: value" with lower-case names, NULL-ended */
	const void *body;
	int body_fd; /* -1: none */
	uint64_t body_offset;
	uint64_t body_len;
	const char *payload_sha256; /* 64 hex digits or "UNSIGNED-PAYLOAD"; NULL: computed,
	                               for a body in a file by reading it once more */
	void *sink;
	size_t sink_len;
	size_t body_max;
	uint64_t stall_timeout_ns; /* 0: the settings'; a server that thinks long before it
	                              answers (CompleteMultipartUpload) needs more */
	bool once; /* not idempotent: never sent again after bytes may have been acted on; costs
	              a connection of its own, since on a used one libcurl may repeat it */
};

struct exchanger_options {
	const char *scheme_host; /* canonical origin (fetch/origin.h), copied */
	const char *region;      /* for signing, copied; NULL: unsigned requests */
	struct creds *creds;     /* borrowed; NULL: unsigned requests */
	const struct settings *settings; /* borrowed during the call only */
};

/* Starts the transfer thread. 0, -EINVAL for an origin or region that is too long,
 * -ENOMEM, -EAGAIN. */
int exchanger_new(
	const struct exchanger_options *o, struct exchanger **ret, struct error *e);
void exchanger_free(struct exchanger *x);
DEFINE_CLEANUP(cleanup_exchanger, struct exchanger, exchanger_free);

/* 0 when an answer came that is the caller's to judge; *ret then is the caller's to
 * finish, and *ret_attempts (may be NULL) says how often it was sent. Otherwise
 * -EKEYREJECTED, -ETIMEDOUT, -ECANCELED, -EIO (the last failure, in words), -ENOMEM. */
int exchange_perform(struct exchanger *x, const struct call *call,
	const struct exchange_request *request, struct http_response *ret,
	unsigned *ret_attempts, struct error *e);

/* Connections that will be wanted soon. */
void exchange_warm(struct exchanger *x, unsigned n);

void exchange_stats(struct exchanger *x, struct store_stats *ret);

#endif
