/*
 * The few HTTP exchanges that credentials need: STS on the network, container and
 * instance services on this machine.
 *
 * Two transfer threads, each started when it is first needed and ended with the refresh:
 * one that goes through proxies, and one that never does, for link-local services. Used
 * by one thread at a time.
 */
#ifndef LARDER_FETCH_CREDS_NET_H
#define LARDER_FETCH_CREDS_NET_H

#include <stdbool.h>

#include "fetch/base/call.h"
#include "fetch/base/error.h"
#include "fetch/transfer.h"

struct creds_net {
	const char *ca_bundle;     /* borrowed; NULL: the system's */
	uint64_t stall_timeout_ns; /* of what is far; 0: none */
	struct transfer *far;      /* owned; NULL until needed */
	struct transfer *near;     /* owned; the same */
};

void creds_net_finish(struct creds_net *n);

struct creds_request {
	const char *method;
	const char *url;
	const char *const *headers; /* "Name: value", NULL-ended; NULL: none */
	const void *body;
	size_t body_len;
	bool near;           /* on this machine or its link: no proxy, no patience */
	uint64_t timeout_ns; /* of one attempt; 0: while it does not stall */
	unsigned attempts;   /* at least 1 */
	/* Is an answer of another status to be taken as a 429? NULL: none is. */
	bool (*says_busy)(const struct http_response *answer);
};

/* Asks, and asks again after a 429, a 5xx, a broken connection or an attempt that stalled
 * or timed out, while attempts and the call's deadline last. 0 when an answer of whatever
 * status came: creds_answer_finish() it. -ETIMEDOUT the call's deadline, without waiting
 * for it where it comes before the next attempt; -ECANCELED, also between attempts;
 * -ENOMEM, -ETIME the last attempt stalled or timed out, -EIO other failures. */
int creds_net_ask(struct creds_net *n, const struct call *call,
	const struct creds_request *request, struct http_response *ret, struct error *e);

/* 429 and 5xx: no verdict on who asked. */
bool creds_status_is_busy(int status);

/* Wipes the body, for it may hold a secret. Accepts what is zeroed. */
void creds_answer_finish(struct http_response *r);

#endif
