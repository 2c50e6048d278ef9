#include "fetch/creds_net.h"

#include <errno.h>
#include <stdlib.h>

#include "fetch/origin.h"
#include "fetch/secret.h"

#define BODY_MAX   (64u << 10)          /* bytes of an answer */
#define PAUSE_NS   (50 * NS_PER_MS)     /* at most, before the second attempt; doubles */
#define CONNECT_NS (10 * NS_PER_SECOND) /* to connect, where an attempt has no limit */

void creds_net_finish(struct creds_net *n)
{
	transfer_free(n->far);
	transfer_free(n->near);
	n->far = n->near = NULL;
}

void creds_answer_finish(struct http_response *r)
{
	secret_buf_finish(&r->body);
	http_response_finish(r);
}

static int get_transfer(
	struct creds_net *n, bool near, struct transfer **ret, struct error *e)
{
	struct transfer **t = near ? &n->near : &n->far;
	/* A near service's attempts have a limit, which may be a longer one. */
	struct transfer_options o = {.concurrency = 1,
		.connect_timeout_ns = CONNECT_NS,
		.stall_timeout_ns = near ? 0 : n->stall_timeout_ns,
		.ca_bundle = n->ca_bundle,
		.no_proxy = near};
	int r = *t ? 0 : transfer_new(&o, t, e);
	if (r == 0)
		*ret = *t;
	return r;
}

/* The call's deadline, or the attempt's where that is earlier. */
static struct call limit_call(const struct call *call, uint64_t timeout_ns)
{
	struct call limited = *call;
	uint64_t until_ns = clock_monotonic_ns() + timeout_ns;
	if (timeout_ns && until_ns < call->deadline_ns)
		limited.deadline_ns = until_ns;
	return limited;
}

static int refuse_to_ask(const struct creds_request *q, int r, struct error *e)
{
	char shown[URL_DISPLAY_SIZE];
	url_display(q->url, shown);
	return error_set_errno(e, r, "cannot ask '%s'", shown);
}

static int attempt(struct transfer *t, const struct call *call,
	const struct creds_request *q, struct http_response *ret, struct error *e)
{
	struct http_request http = {.method = q->method,
		.url = q->url,
		.headers = q->headers,
		.body = q->body,
		.body_fd = -1,
		.body_len = q->body_len,
		.body_max = BODY_MAX};
	int r = call_check(call);
	if (r < 0)
		return refuse_to_ask(q, r, e);
	struct call limited = limit_call(call, q->timeout_ns);
	r = transfer_perform(t, &limited, &http, ret, e);
	return r == -ETIMEDOUT && call_check(call) == 0 ? -ETIME : r;
}

bool creds_status_is_busy(int status)
{
	return status == 429 || status >= 500;
}

static bool is_worth_another(
	int r, const struct creds_request *q, const struct http_response *answer)
{
	if (r == 0)
		return creds_status_is_busy(answer->status) ||
		       (q->says_busy && q->says_busy(answer));
	return r == -ECONNREFUSED || r == -ECONNRESET || r == -EHOSTUNREACH ||
	       r == -EPROTO || r == -ETIME;
}

/* Many jobs start at once: no two of them come back in step. As call_pause(). */
static int pause_after(const struct call *call, const struct creds_request *q,
	unsigned number, struct error *e)
{
	uint64_t most_ns = PAUSE_NS << (number < 6 ? number : 6);
	uint32_t most_us = (uint32_t)(most_ns / 1000);
	uint64_t pause_ns =
		most_ns / 2 + arc4random_uniform(most_us / 2 + 1) * UINT64_C(1000);
	int r = call_pause(call, clock_monotonic_ns() + pause_ns);
	return r < 0 ? refuse_to_ask(q, r, e) : 0;
}

static bool has_own_code(int r)
{
	return r == -ETIMEDOUT || r == -ECANCELED || r == -ENOMEM || r == -ETIME;
}

int creds_net_ask(struct creds_net *n, const struct call *call,
	const struct creds_request *request, struct http_response *ret, struct error *e)
{
	struct transfer *t;
	int r = get_transfer(n, request->near, &t, e);
	for (unsigned i = 0; r == 0; i++) {
		struct http_response answer = {0};
		r = attempt(t, call, request, &answer, e);
		bool again = i + 1 < request->attempts &&
			     is_worth_another(r, request, &answer);
		if (r == 0 && !again) {
			*ret = answer;
			return 0;
		}
		creds_answer_finish(&answer);
		if (again)
			r = pause_after(call, request, i, e);
	}
	return has_own_code(r) ? r : -EIO;
}
