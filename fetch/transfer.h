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
 * some places are kept for PRIORITY_DEMAND. A prefetch that is hurried (cancel_hurry())
 * while it is in the queue is a demand from then on, behind those that are there already.
 *
 * One attempt is made: retrying, signing and redirects are fetch/exchange's. Never
 * followed: redirects. Never sent: Expect, Accept unless asked for.
 *
 * HTTP/1.1 is spoken, not HTTP/2: ranges in parallel want a connection each, because the
 * speed of one connection is what bounds a transfer from far away, and one lost packet
 * must not hold up the others. Proxies are taken from the environment (HTTPS_PROXY,
 * http_proxy, NO_PROXY) as curl does.
 */
#ifndef LARDER_FETCH_TRANSFER_H
#define LARDER_FETCH_TRANSFER_H

#include "fetch/base/buf.h"
#include "fetch/base/call.h"
#include "fetch/base/cleanup.h"
#include "fetch/base/error.h"
#include "fetch/http_fields.h"

#define HTTP_ERROR_BODY_MAX   (64u << 10) /* bytes kept of a body that is not the sink's */
#define HTTP_HEADER_BYTES_MAX (64u << 10) /* bytes of all field lines of one exchange */

/* One exchange. Everything is borrowed until transfer_perform() returns. */
struct http_request {
	const char *method;
	const char *url;
	const char *const *headers; /* "Name: value", NULL-ended; NULL: none */

	const void *body;     /* memory to send, or NULL */
	int body_fd;          /* else a file to send from, or -1 */
	uint64_t body_offset; /* in body_fd */
	uint64_t body_len;    /* bytes; 0: no body (PUT and POST then send Content-Length: 0) */

	void *sink;      /* where the body of a 200 or 206 goes; NULL: response->body */
	size_t sink_len; /* the most that is wanted; a longer body is cut off, and reported
	                    by received > sink_len */
	size_t body_max; /* without sink: most bytes of a 2xx in response->body;
	                    0: HTTP_ERROR_BODY_MAX */

	bool fresh_connection; /* reuse none, and no address that the name had before: the
	                          last try reached nobody, or stalled */
	uint64_t connect_timeout_ns; /* 0: the transfer's own */
	uint64_t stall_timeout_ns;   /* 0: the transfer's own; UINT64_MAX: none */

	uint64_t hedge_after_ns; /* no answer after so long: asked a second time, on another
	                            connection; the first to answer wins. 0: never. Only for
	                            a GET */
	bool *hedged; /* set when it is asked a second time, whatever comes of it; or NULL */
};

struct http_response {
	int status;                /* of the final answer */
	struct http_fields fields;
	struct buf body;           /* owned: whatever did not go into the sink; of answers
	                              other than 2xx the first HTTP_ERROR_BODY_MAX */
	uint64_t received;         /* bytes of body that arrived; of a body that was cut off
	                              as too long: more than the cap */
	uint64_t connect_ns;       /* from start until connected (DNS, TCP, TLS); near 0 when
	                              a connection was reused */
	uint64_t first_byte_ns;    /* from start to the first byte of the answer */
	uint64_t total_ns;
	bool hedged;               /* was asked twice */
	bool hedge_won;            /* the second answered first */
};

void http_response_finish(struct http_response *r);

struct transfer_options {
	unsigned concurrency;        /* 0 counts as 1 */
	uint64_t connect_timeout_ns; /* name, TCP and TLS; 0: 10 s */
	uint64_t stall_timeout_ns;   /* under 1 KB/s for so long, also before the first byte;
	                                0: never */
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
 *
 *   -ETIMEDOUT     the call's deadline
 *   -ECANCELED     the call was ended
 *   -ETIME         it stalled, or no connection within connect_timeout
 *   -ECONNREFUSED
 *   -ECONNRESET    also: cut short
 *   -EHOSTUNREACH  also: name not found
 *   -EPROTO        HTTP or TLS nonsense, too many header bytes: may be better next time
 *   -ECONNABORTED  TLS cannot be agreed on, or the certificate is not trusted: will not
 *   -EMSGSIZE      a body past body_max
 *   -EIO           the file to send cannot be read
 *   -EINVAL        the URL or a header line is not one
 *   -ENOMEM
 *
 * *ret is filled only on success; the caller finishes it. */
int transfer_perform(struct transfer *t, const struct call *call,
	const struct http_request *request, struct http_response *ret, struct error *e);

/* Wants n connections to url's host to be open before they are needed; does not wait.
 * What is done ahead is the TCP handshake, to the address that exchanges with that host
 * use (from their first connection on); no request is sent. */
void transfer_warm(struct transfer *t, const char *url, unsigned n);

#endif
