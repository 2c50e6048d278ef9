/*
 * The transfer thread: the only owner of a curl multi handle.
 *
 * Callers hand in one HTTP exchange and block until it is answered, their deadline
 * passes, or they are cancelled. A caller that gives up returns at once, whatever the
 * thread is doing: the exchange is shared by reference count, and body bytes are copied to
 * the caller's memory only under the exchange's lock while it has not been abandoned.
 *
 *   QUEUED -> RUNNING -> DONE        by the thread
 *   QUEUED, RUNNING -> ABANDONED     by the caller; the thread removes it
 *
 * The queue is ordered by priority, then arrival; at most `concurrency` run at once, and
 * some places are kept for PRIORITY_DEMAND. transfer_promote is implied: a demand that
 * waits for bytes of a running prefetch is the caller's to arrange (archive/frame_cache).
 *
 * One attempt is made: retrying, signing and redirects are fetch/exchange's. Never
 * followed: redirects. Never sent: Expect, Accept unless asked for.
 */
#ifndef LARDER_FETCH_TRANSFER_H
#define LARDER_FETCH_TRANSFER_H

#include "fetch/base/buf.h"
#include "fetch/base/call.h"
#include "fetch/base/cleanup.h"
#include "fetch/base/error.h"
#include "fetch/http_fields.h"

#define HTTP_ERROR_BODY_MAX (64u << 10) /* bytes kept of a body that is not the sink's */

/* One exchange. Everything is borrowed until transfer_perform() returns. */
struct http_request {
	const char *method;
	const char *url;
	const char *const *headers; /* "Name: value", NULL-ended; NULL: none */

	const void *body;     /* memory to send, or NULL */
	int body_fd;          /* else a file to send from, or -1 */
	uint64_t body_offset; /* in body_fd */
	uint64_t body_len;    /* bytes; 0: no body (PUT and POST then send Content-Length: 0) */

	void *sink;      /* where a 206's body goes; exactly sink_len bytes are wanted */
	size_t sink_len; /* a longer body is cut off and reported by received > sink_len */
	size_t body_max; /* without sink: most bytes collected in response->body */

	bool fresh_connection; /* do not reuse one: the last try stalled */
	uint64_t connect_timeout_ns; /* 0: the transfer's own */
};

struct http_response {
	int status;                /* of the final answer */
	struct http_fields fields;
	struct buf body;           /* owned: whatever did not go into the sink */
	uint64_t received;         /* bytes of body that arrived */
	uint64_t first_byte_ns;    /* from start to the first byte of the answer */
	uint64_t total_ns;
};

void http_response_finish(struct http_response *r);

struct transfer_options {
	unsigned concurrency;
	uint64_t connect_timeout_ns; /* TCP and TLS; 0: 10 s */
	uint64_t stall_timeout_ns;
	const char *ca_bundle;       /* copied; NULL: the system's */
	bool no_proxy;               /* never a proxy (link-local metadata services) */
};

struct transfer;

/* Starts the thread. 0, -ENOMEM, -EAGAIN no thread to be had. */
int transfer_new(const struct transfer_options *o, struct transfer **ret, struct error *e);

/* Ends the thread; no call may be under way. Returns promptly even while a name is still
 * being looked up. */
void transfer_free(struct transfer *t);
DEFINE_CLEANUP(cleanup_transfer, struct transfer, transfer_free);

/* Performs one exchange. 0 when an answer of whatever status arrived whole.
 * -ETIMEDOUT the call's deadline; -ECANCELED; -ETIME it stalled; -ECONNREFUSED, -ECONNRESET
 * (also: cut short), -EHOSTUNREACH (also: name not found), -EPROTO (TLS or HTTP nonsense),
 * -EMSGSIZE a body past body_max, -ENOMEM. *ret is filled only on success; the caller
 * finishes it. */
int transfer_perform(struct transfer *t, const struct call *call,
	const struct http_request *request, struct http_response *ret, struct error *e);

/* Opens up to n connections to url's host before they are needed; does not wait. */
void transfer_warm(struct transfer *t, const char *url, unsigned n);

#endif
