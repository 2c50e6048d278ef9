/*
 * What to do after one try of a request. Pure: facts, time and a random number go in, a
 * verdict comes out; fetch/exchange acts on it.
 *
 * Transient failures are tried again after a pause with full jitter: a random time in
 * [0, min(RETRY_PAUSE_MOST, RETRY_PAUSE_BASE * 2^n)], so that readers who failed together
 * do not come back together. A Retry-After is obeyed (RFC 9110 section 10.2.3), and a
 * fraction of jitter added behind it. Never past the deadline: what cannot be tried before
 * it fails now. Where there is none, a Retry-After of more than RETRY_AFTER_MOST fails: a
 * store that is down for a day would hold a job for as long, without a word.
 *
 * Errors a store makes of our credentials, clock or region are mended and the request is
 * tried again at once, each only so often in one call; this does not count as a retry.
 */
#ifndef LARDER_FETCH_RETRY_H
#define LARDER_FETCH_RETRY_H

#include <stdbool.h>
#include <stdint.h>

#define RETRY_PAUSE_BASE_NS UINT64_C(250000000)   /* 250 ms */
#define RETRY_PAUSE_MOST_NS UINT64_C(10000000000) /* 10 s */
#define RETRY_AFTER_MOST_NS UINT64_C(300000000000) /* 5 min; without a deadline */
#define RETRY_MOVES_MAX     2                     /* to another region, in one call */

enum retry_action {
	RETRY_DONE,        /* the answer is the caller's */
	RETRY_AGAIN,       /* at verdict.at_ns */
	RETRY_REFRESH,     /* with fresh credentials, now */
	RETRY_DOUBT,       /* with fresh credentials if there are any, now */
	RETRY_LEARN_CLOCK, /* with the store's idea of the time, now */
	RETRY_MOVE,        /* in the region (and at the host) the answer names, now */
	RETRY_FAIL,        /* it failed as often as it may */
	RETRY_REJECTED,    /* the credentials, mended where possible, are refused */
};

struct retry_facts {
	unsigned failures; /* tries of this call that failed transiently, this one included */
	unsigned retries;  /* how many such may be followed by another */
	bool granted;      /* the budget allows one more (asked only if transient) */
	bool once;         /* not idempotent: only what surely had no effect is repeated */

	int error;        /* what transfer_perform() returned; 0: answered */
	int status;       /* of the answer */
	const char *code; /* S3's, from the body; "" when there is none */

	bool is_signed;
	bool refreshed;     /* credentials, in this call */
	bool clock_learned; /* in this call */
	bool clock_differs; /* the answer's Date is far from the time signed with */
	bool has_date;
	bool can_move;  /* the answer names a region or host that was not asked */
	unsigned moves; /* in this call */

	bool has_retry_after;
	uint64_t retry_after_ns; /* from now */
	uint64_t now_ns;
	uint64_t deadline_ns;
	uint64_t random; /* uniform */
};

struct retry_verdict {
	enum retry_action action;
	uint64_t at_ns; /* of RETRY_AGAIN: monotonic, not after the deadline */
	bool fresh_connection; /* to where the name leads by now */
};

/* May this go away by itself? Then, and only then, the budget is asked. */
bool retry_is_transient(const struct retry_facts *f);

struct retry_verdict retry_judge(const struct retry_facts *f);

#endif
