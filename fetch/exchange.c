#include "fetch/exchange.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "fetch/aws_origin.h"
#include "fetch/base/lock.h"
#include "fetch/base/log.h"
#include "fetch/creds.h"
#include "fetch/exchange_try.h"
#include "fetch/hedge.h"
#include "fetch/retry.h"
#include "fetch/retry_budget.h"
#include "fetch/s3_error.h"
#include "fetch/secret.h"

#define CLOCK_DIFFERS_S 300          /* seconds; S3 refuses more than 900 */
#define RATE_BYTES_MIN  (256u << 10) /* a smaller body came out of buffers */
#define SMOOTHING       8            /* one new value weighs 1 / 8 */

struct exchanger {
	struct transfer *transfer; /* owned */
	struct creds *creds;       /* borrowed; NULL: not signed */
	unsigned retries;

	pthread_mutex_t lock;
	/* Under lock. */
	struct exchange_place place;
	struct retry_budget budget;
	struct hedge hedge;
	struct store_stats stats;
};

/* One call of exchange_perform(), from its first try to its last. */
struct run {
	struct exchanger *x;
	const struct call *call;
	const struct exchange_request *request;
	char payload_sha256[DIGEST_HEX_SIZE];
	/* Of the last try: */
	struct exchange_place place;
	struct credentials *used;   /* owned, a secret block; NULL: not signed */
	struct s3_error refusal;    /* what an answer of 400 or more said */
	struct exchange_place next; /* where the answer said to go instead */
	bool hedged;                /* was asked twice */
	/* So far: */
	unsigned attempts;
	unsigned failures;
	unsigned moves;
	bool refreshed;
	bool clock_learned;
	bool retried; /* on the budget */
	bool fresh_connection;
};

/* --- counters -------------------------------------------------------------------- */

static void smooth(uint64_t *value, uint64_t sample)
{
	*value = *value ? *value - *value / SMOOTHING + sample / SMOOTHING : sample;
}

/* Somebody waits for these bytes, and asking twice does no harm. */
static bool may_hedge(const struct run *run)
{
	return run->request->sink && run->call->priority == PRIORITY_DEMAND &&
	       !strcmp(run->request->method, "GET");
}

static void count_answer(struct run *run, const struct http_response *response)
{
	struct exchanger *x = run->x;
	uint64_t body_ns = response->total_ns - response->first_byte_ns;
	LOCK_SCOPE(&x->lock);
	x->stats.received_bytes += response->received;
	x->stats.sent_bytes += run->request->body_len;
	if (response->first_byte_ns > response->connect_ns)
		smooth(&x->stats.round_trip_ns,
			response->first_byte_ns - response->connect_ns);
	if (response->received >= RATE_BYTES_MIN && body_ns)
		smooth(&x->stats.bytes_per_s,
			(uint64_t)((double)response->received * NS_PER_SECOND /
				   (double)body_ns));
	if (response->fields.has_date) {
		x->stats.clock_seen = true;
		x->stats.clock_ahead_s = response->fields.date_s - clock_realtime_s();
	}
	if (may_hedge(run))
		hedge_learn(&x->hedge, response->first_byte_ns, run->hedged);
}

/* response: NULL when there was none. A store that hangs must not be asked twice each
 * time. */
static void count_hedge(struct run *run, const struct http_response *response)
{
	struct exchanger *x = run->x;
	LOCK_SCOPE(&x->lock);
	x->stats.requests += run->hedged;
	x->stats.hedges += run->hedged;
	if (run->hedged && !response)
		hedge_charge(&x->hedge);
}

/* --- one try --------------------------------------------------------------------- */

static uint64_t begin_try(struct run *run)
{
	struct exchanger *x = run->x;
	LOCK_SCOPE(&x->lock);
	x->stats.requests++;
	x->stats.retries += run->attempts > 0;
	run->attempts++;
	run->hedged = false;
	run->place = x->place;
	return may_hedge(run) ? hedge_after(&x->hedge) : 0;
}

static int get_credentials(struct run *run, struct error *e)
{
	struct exchanger *x = run->x;
	if (!x->creds)
		return 0;
	if (!run->used)
		run->used = secret_new(sizeof(*run->used));
	return run->used ? creds_get(x->creds, run->call, run->used, e) : -ENOMEM;
}

static int try_once(struct run *run, struct http_response *ret, struct error *e)
{
	int r = get_credentials(run, e);
	if (r < 0)
		return r;
	const struct exchange_try how = {
		.hedge_after_ns = begin_try(run),
		.place = &run->place,
		.credentials = run->used,
		.payload_sha256 = run->payload_sha256,
		.fresh_connection = run->fresh_connection || run->request->once,
		.hedged = &run->hedged,
	};
	run->refusal = (struct s3_error){0};
	r = exchange_send(run->x->transfer, run->call, run->request, &how, ret, e);
	count_hedge(run, r < 0 ? NULL : ret);
	if (r < 0)
		return r;
	count_answer(run, ret);
	if (ret->status >= 300)
		s3_error_parse(ret->body.data, ret->body.len, &run->refusal);
	return 0;
}

/* --- the facts ------------------------------------------------------------------- */

static int64_t skew_of(const struct run *run, const struct http_fields *fields)
{
	return fields->date_s - clock_realtime_s() - run->place.clock_offset_s;
}

/* In nanoseconds from now; a date is read against the clock of who sent it. */
static uint64_t retry_after_of(const struct run *run, const struct http_fields *fields)
{
	int64_t s = fields->retry_after_s;
	if (fields->retry_after_is_date)
		s -= fields->has_date ? fields->date_s
				      : clock_realtime_s() + run->place.clock_offset_s;
	if (s < 0)
		return 0;
	return (uint64_t)(s < RETRY_AFTER_MAX ? s : RETRY_AFTER_MAX) * NS_PER_SECOND;
}

/* Finds out where the answer sends us; false: nowhere else. */
static bool find_next(struct run *run, const struct http_fields *fields)
{
	const char *region =
		fields->bucket_region[0] ? fields->bucket_region : run->refusal.region;
	if (!region[0])
		return false;
	run->next = run->place;
	snprintf(run->next.region, sizeof(run->next.region), "%s", region);
	bool moved = aws_origin_move(
		run->place.origin, region, run->next.origin, sizeof(run->next.origin));
	return moved || (run->used && strcmp(region, run->place.region) != 0);
}

static uint64_t random_number(void)
{
	uint64_t n = 0;
	if (getrandom(&n, sizeof(n), GRND_NONBLOCK) != sizeof(n))
		n = clock_monotonic_ns() * UINT64_C(0x9E3779B97F4A7C15);
	return n;
}

static bool take_from_budget(struct exchanger *x, uint64_t now_ns)
{
	LOCK_SCOPE(&x->lock);
	return retry_budget_take(&x->budget, now_ns);
}

static void give_to_budget(struct exchanger *x, unsigned tokens)
{
	LOCK_SCOPE(&x->lock);
	retry_budget_give(&x->budget, tokens);
}

static struct retry_facts facts_of(
	struct run *run, int r, const struct http_response *response)
{
	const struct http_fields *fields = &response->fields;
	int64_t skew = fields->has_date ? skew_of(run, fields) : 0;
	return (struct retry_facts){
		.failures = run->failures + 1,
		.retries = run->x->retries,
		.once = run->request->once,
		.error = r,
		.status = response->status,
		.code = run->refusal.code,
		.is_signed = run->used,
		.refreshed = run->refreshed,
		.clock_learned = run->clock_learned,
		.clock_differs = skew > CLOCK_DIFFERS_S || skew < -CLOCK_DIFFERS_S,
		.has_date = fields->has_date,
		.can_move = r == 0 && find_next(run, fields),
		.moves = run->moves,
		.has_retry_after = fields->has_retry_after,
		.retry_after_ns =
			fields->has_retry_after ? retry_after_of(run, fields) : 0,
		.now_ns = clock_monotonic_ns(),
		.deadline_ns = run->call->deadline_ns,
		.random = random_number(),
	};
}

static struct retry_verdict judge(
	struct run *run, int r, const struct http_response *response)
{
	struct retry_facts facts = facts_of(run, r, response);
	if (retry_is_transient(&facts)) {
		run->failures++;
		facts.granted = facts.failures <= facts.retries &&
				take_from_budget(run->x, facts.now_ns);
	}
	struct retry_verdict v = retry_judge(&facts);
	if (facts.granted && v.action != RETRY_AGAIN)
		give_to_budget(run->x, BUDGET_RETRY);
	return v;
}

/* --- going on -------------------------------------------------------------------- */

static const char *refusal_words(const struct run *run, char ret[static 512])
{
	const struct s3_error *refusal = &run->refusal;
	snprintf(ret, 512, "%s%s%s%s", refusal->code[0] ? " " : "", refusal->code,
		refusal->message[0] ? ": " : "", refusal->message);
	return ret;
}

static void describe_answer(
	const struct run *run, const struct http_response *response, struct error *e)
{
	char words[512], wish[64] = "";
	if (response->fields.has_retry_after)
		snprintf(wish, sizeof(wish),
			", and is to be asked again in %" PRIu64 " s",
			retry_after_of(run, &response->fields) / NS_PER_SECOND);
	error_set(e, -EIO, "'%s' answers %d%s%s", run->place.origin, response->status,
		refusal_words(run, words), wish);
}

/* The last failure stands, with its own code only where that means something to the
 * caller. */
static int fail(struct run *run, int r, struct error *e)
{
	if (r == -ETIMEDOUT || r == -ECANCELED || r == -ENOMEM || r == -EKEYREJECTED)
		return r;
	if (run->attempts > 1)
		error_prefix(e, "tried %u times: ", run->attempts);
	e->code = -EIO;
	return -EIO;
}

static int reject(struct run *run, struct error *e)
{
	char words[512];
	return error_set(e, -EKEYREJECTED, "'%s' refuses the credentials from %s:%s",
		run->place.origin, creds_origin(run->x->creds),
		refusal_words(run, words));
}

static int pause_until(struct run *run, uint64_t at_ns, struct error *e)
{
	run->retried = true;
	log_debug("%s; trying again in %" PRIu64 " ms", e->text,
		(at_ns - clock_monotonic_ns()) / NS_PER_MS);
	int r = call_pause(run->call, at_ns);
	if (r < 0)
		error_prefix(e, r == -ECANCELED ? "ended while waiting to try again: "
						: "no time to try again: ");
	return r;
}

static void learn_clock(struct run *run, const struct http_response *response)
{
	LOCK_SCOPE(&run->x->lock);
	run->x->place.clock_offset_s = response->fields.date_s - clock_realtime_s();
	run->clock_learned = true;
}

static void move(struct run *run)
{
	LOCK_SCOPE(&run->x->lock);
	memcpy(run->x->place.origin, run->next.origin, sizeof(run->next.origin));
	memcpy(run->x->place.region, run->next.region, sizeof(run->next.region));
	run->moves++;
}

/* Prepares another try: 0; or the call's end. */
static int go_on(struct run *run, const struct retry_verdict *v, int r,
	const struct http_response *response, struct error *e)
{
	run->fresh_connection = v->fresh_connection;
	if (r == 0)
		describe_answer(run, response, e);
	switch (v->action) {
	case RETRY_AGAIN:
		return pause_until(run, v->at_ns, e);
	case RETRY_REFRESH:
		creds_refused(run->x->creds, run->used);
		run->refreshed = true;
		return 0;
	case RETRY_DOUBT:
		creds_doubted(run->x->creds, run->used);
		run->refreshed = true;
		return 0;
	case RETRY_LEARN_CLOCK:
		learn_clock(run, response);
		return 0;
	case RETRY_MOVE:
		move(run);
		return 0;
	case RETRY_REJECTED:
		return reject(run, e);
	default:
		return fail(run, r, e);
	}
}

/* 0: *ret is the caller's. 1: try again. */
static int step(struct run *run, struct http_response *ret, struct error *e)
{
	struct http_response response = {0};
	int r = try_once(run, &response, e);
	struct retry_verdict v = judge(run, r, &response);
	if (v.action == RETRY_DONE) {
		give_to_budget(run->x, run->retried ? BUDGET_RETRY : BUDGET_SUCCESS);
		*ret = response;
		return 0;
	}
	r = go_on(run, &v, r, &response, e);
	http_response_finish(&response);
	return r < 0 ? r : 1;
}

int exchange_perform(struct exchanger *x, const struct call *call,
	const struct exchange_request *request, struct http_response *ret,
	unsigned *ret_attempts, struct error *e)
{
	struct run run = {.x = x, .call = call, .request = request};
	struct error why = {0};
	int r = x->creds ? exchange_hash_payload(request, run.payload_sha256, &why) : 0;
	if (r == 0)
		do
			r = step(&run, ret, &why);
		while (r > 0);
	secret_free(run.used);
	if (r < 0)
		error_copy(e, &why);
	else if (ret_attempts)
		*ret_attempts = run.attempts;
	return r;
}

void exchange_warm(struct exchanger *x, unsigned n)
{
	struct exchange_place place;
	pthread_mutex_lock(&x->lock);
	place = x->place;
	pthread_mutex_unlock(&x->lock);
	transfer_warm(x->transfer, place.origin, n);
}

void exchange_stats(struct exchanger *x, struct store_stats *ret)
{
	LOCK_SCOPE(&x->lock);
	*ret = x->stats;
	_Static_assert(sizeof(ret->region) == REGION_SIZE, "store.h has the same");
	if (x->creds)
		memcpy(ret->region, x->place.region, sizeof(ret->region));
}

/* --- its life -------------------------------------------------------------------- */

static int set_place(
	struct exchanger *x, const struct exchanger_options *o, struct error *e)
{
	const char *region = o->region ? o->region : "";
	if (strlen(o->scheme_host) >= sizeof(x->place.origin))
		return error_set(e, -EINVAL, "'%s' is too long", o->scheme_host);
	if (strlen(region) >= sizeof(x->place.region))
		return error_set(e, -EINVAL, "'%s' is too long for a region", region);
	strcpy(x->place.origin, o->scheme_host);
	strcpy(x->place.region, region);
	return 0;
}

int exchanger_new(
	const struct exchanger_options *o, struct exchanger **ret, struct error *e)
{
	CLEANUP(cleanup_exchanger) struct exchanger *x = calloc(1, sizeof(*x));
	if (!x)
		return -ENOMEM;
	const struct transfer_options transfer_options = {
		.concurrency = o->settings->concurrency,
		.stall_timeout_ns = o->settings->stall_timeout_ns,
		.ca_bundle = o->settings->ca_bundle,
	};
	pthread_mutex_init(&x->lock, NULL);
	x->creds = o->region ? o->creds : NULL;
	x->retries = o->settings->retries;
	retry_budget_init(&x->budget, clock_monotonic_ns());
	int r = set_place(x, o, e);
	if (r == 0)
		r = transfer_new(&transfer_options, &x->transfer, e);
	if (r == 0)
		*ret = steal_pointer(x);
	return r;
}

void exchanger_free(struct exchanger *x)
{
	if (!x)
		return;
	transfer_free(x->transfer);
	pthread_mutex_destroy(&x->lock);
	free(x);
}
