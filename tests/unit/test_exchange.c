/* Signing, retrying and mending against a scripted store. Pauses are of no length here:
 * random numbers are zero unless a test says otherwise. The credentials are the test's
 * own. */
#include "tests/unit/test.h"

#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>

#include "fetch/base/io.h"
#include "fetch/base/lock.h"
#include "fetch/creds.h"
#include "fetch/exchange.h"
#include "fetch/hedge.h"
#include "fetch/retry.h"
#include "tests/unit/http_script.h"

#define PATIENCE (120 * NS_PER_SECOND)
#define BRIEF    (40 * NS_PER_MS)
#define EMPTY    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define ABC      "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

static uint64_t random_number;

ssize_t __wrap_getrandom(void *buf, size_t len, unsigned flags);
ssize_t __wrap_getrandom(void *buf, size_t len, unsigned flags)
{
	assert_int_equal(len, sizeof(random_number));
	memcpy(buf, &random_number, len);
	return (ssize_t)len;
}

/* The latest pauses: when each was asked for, and until when. */
static struct {
	uint64_t asked_ns, until_ns;
} pauses[2];
static unsigned pause_count;

int __real_call_pause(const struct call *call, uint64_t until_ns);
int __wrap_call_pause(const struct call *call, uint64_t until_ns);
int __wrap_call_pause(const struct call *call, uint64_t until_ns)
{
	pauses[pause_count % 2].asked_ns = clock_monotonic_ns();
	pauses[pause_count++ % 2].until_ns = until_ns;
	return __real_call_pause(call, until_ns);
}

/* Credentials number 1, 2, ...: each refusal brings the next, a doubt does not. */
struct creds {
	int number;
	int refusals;
	int doubts;
	int failure; /* of creds_get(); 0: none */
};

int creds_get(struct creds *c, const struct call *call, struct credentials *ret,
	struct error *e)
{
	if (c->failure)
		return error_set(e, c->failure, "no credentials found");
	char key[32];
	snprintf(key, sizeof(key), "KEY%d", c->number);
	return credentials_set(ret, key, "terrible-secret", "token", CREDS_NO_EXPIRY);
}

void creds_refused(struct creds *c, const struct credentials *used)
{
	char key[32];
	snprintf(key, sizeof(key), "KEY%d", c->number);
	assert_string_equal(used->access_key, key);
	c->number++;
	c->refusals++;
}

void creds_doubted(struct creds *c, const struct credentials *used)
{
	c->doubts++;
}

const char *creds_origin(struct creds *c)
{
	return "the test";
}

/* --- the store's side ------------------------------------------------------------ */

/* Answers are given in order; the last one is repeated. */
struct play {
	const char *answers[8];
	unsigned count;
	pthread_barrier_t pair; /* of TOGETHER */
	pthread_mutex_t lock;
	char heads[64][2048]; /* under lock: what was asked, the first 64 */
	char bodies[64][64];
};

/* Status, fields, a line with "%" in place of their end, and the body; the length is
 * added. What begins with "HTTP/" is said as it is, and the connection then closed. */
#define ANSWER(status, fields, body) status "\r\n" fields "%" body
#define OK                           ANSWER("200 OK", "", "ok")
#define SLOWDOWN                                                                         \
	ANSWER("503 Slow Down", "",                                                      \
		"<Error><Code>SlowDown</Code><Message>Reduce your "                      \
		"rate.</Message></Error>")
#define CUT     "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab"
#define HANG    "hang"
#define HANG_UP ""
/* OK, once another one is to be answered so. */
#define TOGETHER "together"

static bool act(struct script_connection *c, const struct script_request *rq, void *arg)
{
	struct play *play = arg;
	unsigned i = rq->number - 1;
	pthread_mutex_lock(&play->lock);
	if (i < 64) {
		snprintf(play->heads[i], sizeof(play->heads[i]), "%s", rq->head);
		snprintf(play->bodies[i], sizeof(play->bodies[i]), "%s", rq->body);
	}
	pthread_mutex_unlock(&play->lock);
	const char *answer = play->answers[i < play->count ? i : play->count - 1];
	if (!strcmp(answer, HANG))
		return script_hold(c);
	if (!strcmp(answer, TOGETHER)) {
		pthread_barrier_wait(&play->pair);
		answer = OK;
	}
	const char *body = strchr(answer, '%');
	if (!body)
		return script_send(c, answer, strlen(answer)) && false;
	return script_say(c, "HTTP/1.1 %.*sContent-Length: %zu\r\n\r\n%s",
		(int)(body - answer), answer, strlen(body + 1), body + 1);
}

struct fixture {
	struct play play;
	struct creds creds;
	struct settings settings;
	struct http_script *server;
	struct exchanger *exchanger;
};

#define ANSWERS(...)                                                                     \
	(const char *const[])                                                            \
	{                                                                                \
		__VA_ARGS__, NULL                                                        \
	}

static struct fixture *begin(const char *region, const char *const *answers)
{
	struct fixture *f = calloc(1, sizeof(*f));
	pthread_mutex_init(&f->play.lock, NULL);
	pthread_barrier_init(&f->play.pair, NULL, 2);
	for (; answers[f->play.count]; f->play.count++)
		f->play.answers[f->play.count] = answers[f->play.count];
	f->creds.number = 1;
	settings_init(&f->settings);
	f->settings.concurrency = 4;
	f->settings.retries = 3;
	f->settings.stall_timeout_ns = 0;
	f->server = http_script_start(act, &f->play);
	struct exchanger_options o = {
		.scheme_host = http_script_origin(f->server),
		.region = region,
		.creds = &f->creds,
		.settings = &f->settings,
	};
	assert_int_equal(exchanger_new(&o, &f->exchanger, NULL), 0);
	return f;
}

static void end(struct fixture *f)
{
	exchanger_free(f->exchanger);
	http_script_stop(f->server);
	settings_finish(&f->settings);
	pthread_barrier_destroy(&f->play.pair);
	pthread_mutex_destroy(&f->play.lock);
	free(f);
}

static const struct exchange_request plain = {
	.method = "GET", .path = "/key", .body_fd = -1};

static int perform(struct fixture *f, const struct exchange_request *request,
	uint64_t patience, struct http_response *ret, unsigned *ret_attempts,
	struct error *e)
{
	struct call call = {.deadline_ns = clock_monotonic_ns() + patience};
	return exchange_perform(f->exchanger, &call, request, ret, ret_attempts, e);
}

/* Performs a request that must succeed; says with how many tries. */
static unsigned tries_of(struct fixture *f, const struct exchange_request *request)
{
	struct http_response response;
	struct error e = {0};
	unsigned attempts = 0;
	int r = perform(f, request, PATIENCE, &response, &attempts, &e);
	if (r < 0)
		fail_msg("failed: %s", e.text);
	assert_int_equal(response.status, 200);
	http_response_finish(&response);
	return attempts;
}

static int failure_of(
	struct fixture *f, const struct exchange_request *request, struct error *e)
{
	struct http_response response;
	int r = perform(f, request, PATIENCE, &response, NULL, e);
	assert_true(r < 0);
	assert_int_equal(e->code, r);
	assert_null(strstr(e->text, "terrible-secret"));
	return r;
}

static const char *head(struct fixture *f, unsigned number)
{
	return f->play.heads[number - 1];
}

static bool has(struct fixture *f, unsigned number, const char *text)
{
	LOCK_SCOPE(&f->play.lock);
	return strcasestr(head(f, number), text);
}

/* --- as it is sent --------------------------------------------------------------- */

static void unsigned_requests_carry_no_credentials(void **state)
{
	struct fixture *f = begin(NULL, ANSWERS(OK));
	static const char *const headers[] = {"range: bytes=-9", NULL};
	struct exchange_request request = plain;
	request.query = "versionId=1";
	request.headers = headers;
	assert_int_equal(tries_of(f, &request), 1);
	assert_true(has(f, 1, "GET /key?versionId=1 HTTP/1.1\r\n"));
	assert_true(has(f, 1, "\r\nrange: bytes=-9\r\n"));
	assert_true(has(f, 1, "\r\nhost: 127.0.0.1:"));
	assert_false(has(f, 1, "authorization"));
	assert_false(has(f, 1, "x-amz-"));
	end(f);
}

static void signed_requests_carry_what_was_signed(void **state)
{
	struct fixture *f = begin("eu-west-3", ANSWERS(OK));
	static const char *const headers[] = {"range: bytes=-9", NULL};
	struct exchange_request request = plain;
	request.headers = headers;
	assert_int_equal(tries_of(f, &request), 1);
	assert_true(has(f, 1, "\r\nAuthorization: AWS4-HMAC-SHA256 Credential=KEY1/"));
	assert_true(has(f, 1, "/eu-west-3/s3/aws4_request"));
	assert_true(has(f, 1, "range;"));
	assert_true(has(f, 1, "\r\nx-amz-security-token: token\r\n"));
	assert_true(has(f, 1, "\r\nx-amz-content-sha256: " EMPTY "\r\n"));
	end(f);
}

static void bodies_are_hashed_where_they_lie(void **state)
{
	struct fixture *f = begin("r", ANSWERS(OK));
	CLEANUP(cleanup_close) int fd = memfd_create("body", MFD_CLOEXEC);
	assert_int_equal(pwrite_fully(fd, "xxabcxx", 7, 0), 0);
	struct exchange_request request = plain;
	request.method = "PUT";
	request.body = "abc";
	request.body_len = 3;
	tries_of(f, &request);
	request.body = NULL;
	request.body_fd = fd;
	request.body_offset = 2;
	tries_of(f, &request);
	request.payload_sha256 = "UNSIGNED-PAYLOAD";
	tries_of(f, &request);
	assert_true(has(f, 1, "\r\nx-amz-content-sha256: " ABC "\r\n"));
	assert_true(has(f, 2, "\r\nx-amz-content-sha256: " ABC "\r\n"));
	assert_true(has(f, 3, "\r\nx-amz-content-sha256: UNSIGNED-PAYLOAD\r\n"));
	assert_string_equal(f->play.bodies[1], "abc");
	end(f);
}

static void an_unreadable_body_is_not_sent(void **state)
{
	struct fixture *f = begin("r", ANSWERS(OK));
	CLEANUP(cleanup_close) int fd = memfd_create("body", MFD_CLOEXEC);
	struct exchange_request request = plain;
	struct error e = {0};
	request.method = "PUT";
	request.body_fd = fd;
	request.body_len = 3;
	assert_int_equal(failure_of(f, &request, &e), -EIO);
	assert_int_equal(http_script_requests(f->server), 0);
	end(f);
}

static void without_credentials_nothing_is_sent(void **state)
{
	struct fixture *f = begin("r", ANSWERS(OK));
	struct error e = {0};
	f->creds.failure = -EKEYREJECTED;
	assert_int_equal(failure_of(f, &plain, &e), -EKEYREJECTED);
	assert_string_equal(e.text, "no credentials found");
	assert_int_equal(http_script_requests(f->server), 0);
	end(f);
}

/* --- trying again ---------------------------------------------------------------- */

static void passing_trouble_is_invisible(void **state)
{
	struct fixture *f = begin(NULL, ANSWERS(SLOWDOWN, CUT, SLOWDOWN, OK));
	struct store_stats stats;
	assert_int_equal(tries_of(f, &plain), 4);
	exchange_stats(f->exchanger, &stats);
	assert_int_equal(stats.requests, 4);
	assert_int_equal(stats.retries, 3);
	assert_int_equal(stats.received_bytes, 2 * 72 + 2);
	assert_true(stats.round_trip_ns > 0);
	end(f);
}

static void a_failed_body_is_begun_again_in_the_sink(void **state)
{
	struct fixture *f = begin(NULL,
		ANSWERS("HTTP/1.1 206 P\r\nConnection: close\r\n\r\nxxxxxxxxxxxxxxxx",
			"HTTP/1.1 206 P\r\nContent-Length: 99\r\n\r\nyy", SLOWDOWN,
			ANSWER("200 OK", "", "good")));
	char sink[9] = "........";
	struct exchange_request request = plain;
	struct http_response response;
	request.sink = sink;
	request.sink_len = 8;
	/* Too long is an answer, and the caller's. */
	assert_int_equal(perform(f, &request, PATIENCE, &response, NULL, NULL), 0);
	assert_true(response.received > 8);
	http_response_finish(&response);
	assert_int_equal(perform(f, &request, PATIENCE, &response, NULL, NULL), 0);
	assert_true(response.received == 99);
	http_response_finish(&response);
	assert_int_equal(tries_of(f, &request), 2);
	assert_string_equal(sink, "good....");
	end(f);
}

static void retries_end_and_the_last_failure_is_told(void **state)
{
	struct fixture *f = begin(NULL, ANSWERS(HANG_UP, SLOWDOWN));
	struct error e = {0};
	assert_int_equal(failure_of(f, &plain, &e), -EIO);
	assert_non_null(strstr(e.text, "tried 4 times: 'http://127.0.0.1:"));
	assert_non_null(strstr(e.text, "answers 503 SlowDown: Reduce your rate."));
	assert_int_equal(http_script_requests(f->server), 4);
	end(f);
}

/* The whole of each, up to a bound that doubles: so who failed together does not come
 * back together. */
static void pauses_are_as_long_as_the_random_number_says(void **state)
{
	struct fixture *f = begin(NULL, ANSWERS(SLOWDOWN, SLOWDOWN, OK));
	uint64_t begun_ns = clock_monotonic_ns();
	random_number = RETRY_PAUSE_BASE_NS + NS_PER_MS; /* the second may be so long */
	pause_count = 0;
	assert_int_equal(tries_of(f, &plain), 3);
	assert_int_equal(pause_count, 2);
	assert_in_range(
		pauses[0].until_ns - (NS_PER_MS - 1), begun_ns, pauses[0].asked_ns);
	assert_in_range(pauses[1].until_ns - random_number, pauses[0].until_ns,
		pauses[1].asked_ns);
	random_number = 0;
	end(f);
}

struct waiter {
	pthread_t thread;
	struct fixture *f;
	struct call call;
	int result;
};

static void *wait_for_it(void *arg)
{
	struct waiter *w = arg;
	struct http_response response;
	w->result = exchange_perform(
		w->f->exchanger, &w->call, &plain, &response, NULL, NULL);
	if (w->result == 0)
		http_response_finish(&response);
	return NULL;
}

/* Another connection is idle meanwhile, and is not taken: it may be as dead. */
static void a_stalled_request_is_repeated_on_a_fresh_connection(void **state)
{
	struct fixture *f = begin(NULL, ANSWERS(TOGETHER, TOGETHER, HANG, OK));
	struct waiter w = {.f = f, .call = {.deadline_ns = DEADLINE_NONE}};
	struct exchange_request request = plain;
	assert_int_equal(pthread_create(&w.thread, NULL, wait_for_it, &w), 0);
	assert_int_equal(tries_of(f, &request), 1);
	pthread_join(w.thread, NULL);
	assert_int_equal(w.result, 0);
	assert_int_equal(http_script_connections(f->server), 2);
	request.stall_timeout_ns = BRIEF;
	assert_int_equal(tries_of(f, &request), 2);
	assert_int_equal(http_script_connections(f->server), 3);
	end(f);
}

static void a_store_that_hangs_does_not_outlast_the_deadline(void **state)
{
	struct fixture *f = begin(NULL, ANSWERS(HANG));
	struct http_response response;
	struct error e = {0};
	assert_int_equal(perform(f, &plain, BRIEF, &response, NULL, &e), -ETIMEDOUT);
	assert_int_equal(e.code, -ETIMEDOUT);
	end(f);
}

static void a_retry_after_beyond_the_deadline_is_not_waited_for(void **state)
{
	struct fixture *f =
		begin(NULL, ANSWERS(ANSWER("503 S", "Retry-After: 3600\r\n", "")));
	struct error e = {0};
	assert_int_equal(failure_of(f, &plain, &e), -EIO);
	assert_int_equal(http_script_requests(f->server), 1);
	end(f);
}

static void a_retry_after_that_is_a_past_date_is_now(void **state)
{
	struct fixture *f = begin(
		NULL, ANSWERS(ANSWER("503 S",
				      "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
				      "Retry-After: Sun, 06 Nov 1994 08:49:37 GMT\r\n",
				      ""),
			      OK));
	assert_int_equal(tries_of(f, &plain), 2);
	end(f);
}

static void a_pause_can_be_cancelled(void **state)
{
	struct fixture *f =
		begin(NULL, ANSWERS(ANSWER("503 S", "Retry-After: 300\r\n", "")));
	struct cancel cancel;
	cancel_init(&cancel);
	struct waiter w = {
		.f = f, .call = {.deadline_ns = DEADLINE_NONE, .cancel = &cancel}};
	assert_int_equal(pthread_create(&w.thread, NULL, wait_for_it, &w), 0);
	http_script_wait_requests(f->server, 1);
	cancel_fire(&cancel);
	pthread_join(w.thread, NULL);
	assert_int_equal(w.result, -ECANCELED);
	cancel_finish(&cancel);
	end(f);
}

static void what_must_be_done_once_is_done_once(void **state)
{
	struct fixture *f = begin(NULL, ANSWERS(OK, HANG_UP, OK, SLOWDOWN, OK));
	struct exchange_request request = plain;
	struct error e = {0};
	request.method = "POST";
	assert_int_equal(tries_of(f, &request), 1);
	request.once = true;
	assert_int_equal(failure_of(f, &request, &e), -EIO);
	assert_int_equal(http_script_requests(f->server), 2);
	assert_int_equal(tries_of(f, &request), 1);
	assert_int_equal(tries_of(f, &request), 2); /* slowed down: surely not done */
	end(f);
}

static void the_budget_ends_a_storm_and_lets_recover(void **state)
{
	struct fixture *f = begin(NULL, ANSWERS(HANG_UP));
	struct error e = {0};
	exchanger_free(f->exchanger);
	f->settings.retries = 1000000;
	struct exchanger_options o = {
		.scheme_host = http_script_origin(f->server),
		.settings = &f->settings,
	};
	assert_int_equal(exchanger_new(&o, &f->exchanger, NULL), 0);
	assert_int_equal(failure_of(f, &plain, &e), -EIO);
	unsigned storm = http_script_requests(f->server);
	assert_in_range(storm, 401, 600);
	assert_int_equal(failure_of(f, &plain, &e), -EIO);
	assert_in_range(http_script_requests(f->server), storm + 1, storm + 50);
	f->play.answers[0] = OK;
	assert_int_equal(tries_of(f, &plain), 1);
	end(f);
}

static void callers_answers_are_not_touched(void **state)
{
	static const char *const answers[] = {
		ANSWER("412 P", "", ""),
		ANSWER("404 N", "", "<Error><Code>NoSuchKey</Code><Key>k</Key></Error>"),
		ANSWER("403 F", "", "<Error><Code>AccessDenied</Code></Error>...."),
		ANSWER("501 N", "", ""),
		ANSWER("302 F", "Location: /elsewhere\r\n", ""),
	};
	for (size_t i = 0; i < 5; i++) {
		struct fixture *f = begin("r", ANSWERS(answers[i]));
		struct http_response response;
		assert_int_equal(perform(f, &plain, PATIENCE, &response, NULL, NULL), 0);
		assert_int_equal(response.status, atoi(answers[i]));
		assert_int_equal(http_script_requests(f->server), 1);
		assert_int_equal(f->creds.refusals, 0);
		http_response_finish(&response);
		end(f);
	}
}

/* --- mending --------------------------------------------------------------------- */

#define EXPIRED ANSWER("400 B", "", "<Error><Code>ExpiredToken</Code></Error>    ")

static void expired_credentials_are_refreshed_once(void **state)
{
	struct fixture *f = begin("r", ANSWERS(EXPIRED, OK));
	assert_int_equal(tries_of(f, &plain), 2);
	assert_int_equal(f->creds.refusals, 1);
	assert_true(has(f, 1, "Credential=KEY1/"));
	assert_true(has(f, 2, "Credential=KEY2/"));
	end(f);
}

/* It may be about something else, and is the caller's then. */
static void a_bare_400_throws_no_credentials_away(void **state)
{
	struct fixture *f = begin("r", ANSWERS(ANSWER("400 B", "", "")));
	struct http_response response;
	assert_int_equal(perform(f, &plain, PATIENCE, &response, NULL, NULL), 0);
	assert_int_equal(response.status, 400);
	http_response_finish(&response);
	assert_int_equal(http_script_requests(f->server), 2);
	assert_int_equal(f->creds.doubts, 1);
	assert_int_equal(f->creds.refusals, 0);
	end(f);
}

static void refused_credentials_are_an_error_of_their_own(void **state)
{
	struct fixture *f = begin("r", ANSWERS(ANSWER("403 F", "",
					       "<Error><Code>SignatureDoesNotMatch</"
					       "Code><Message>No.</Message></Error>")));
	struct error e = {0};
	assert_int_equal(failure_of(f, &plain, &e), -EKEYREJECTED);
	assert_non_null(strstr(e.text, "refuses the credentials from the test: "
				       "SignatureDoesNotMatch: No."));
	assert_int_equal(http_script_requests(f->server), 2);
	assert_int_equal(f->creds.refusals, 1);
	end(f);
}

/* The Date of an answer, and how requests signed by it begin their x-amz-date. */
#define FUTURE       "Date: Thu, 01 Jan 2099 00:00:00 GMT\r\n"
#define FUTURE_STAMP "x-amz-date: 20990101T00"
#define SKEWED                                                                           \
	ANSWER("403 F", FUTURE, "<Error><Code>RequestTimeTooSkewed</Code></Error>    ")

static void a_skewed_clock_is_learned_for_all_later_requests(void **state)
{
	struct fixture *f = begin("r", ANSWERS(SKEWED, OK));
	assert_int_equal(tries_of(f, &plain), 2);
	assert_false(has(f, 1, FUTURE_STAMP));
	assert_true(has(f, 2, FUTURE_STAMP));
	assert_int_equal(tries_of(f, &plain), 1);
	assert_true(has(f, 3, FUTURE_STAMP));
	end(f);
}

static void a_bare_403_with_another_time_is_about_the_clock(void **state)
{
	struct fixture *f = begin("r", ANSWERS("HTTP/1.1 403 F\r\n" FUTURE "\r\n", OK));
	struct exchange_request request = plain;
	request.method = "HEAD";
	assert_int_equal(tries_of(f, &request), 2);
	assert_true(has(f, 2, FUTURE_STAMP));
	end(f);
}

/* No request could be signed for such a time, and so none would bring another. */
static void a_date_that_no_clock_shows_is_not_learned(void **state)
{
	static const char *const answers[] = {
		"HTTP/1.1 403 F\r\nDate: Mon, 01 Jan 0001 00:00:00 GMT\r\n\r\n",
		"HTTP/1.1 403 F\r\nDate: Fri, 31 Dec 9999 23:59:59 GMT\r\n\r\n",
	};
	for (size_t i = 0; i < 2; i++) {
		struct fixture *f = begin("r", ANSWERS(answers[i], OK));
		struct exchange_request request = plain;
		struct http_response response;
		request.method = "HEAD";
		assert_int_equal(
			perform(f, &request, PATIENCE, &response, NULL, NULL), 0);
		assert_int_equal(response.status, 403);
		http_response_finish(&response);
		assert_int_equal(tries_of(f, &plain), 1);
		assert_false(has(f, 2, "x-amz-date: 9999"));
		end(f);
	}
}

static void a_clock_that_cannot_be_learned_is_an_error(void **state)
{
	struct fixture *f = begin("r", ANSWERS(SKEWED));
	struct error e = {0};
	assert_int_equal(failure_of(f, &plain, &e), -EKEYREJECTED);
	assert_int_equal(http_script_requests(f->server), 2);
	end(f);
}

static void another_region_is_learned_for_all_later_requests(void **state)
{
	static const char *const answers[] = {
		ANSWER("301 M", "x-amz-bucket-region: eu-west-3\r\n", ""),
		ANSWER("400 B", "",
			"<Error><Code>AuthorizationHeaderMalformed</Code>"
			"<Region>eu-west-3</Region></Error> "),
	};
	for (size_t i = 0; i < 2; i++) {
		struct fixture *f = begin("us-east-1", ANSWERS(answers[i], OK));
		assert_int_equal(tries_of(f, &plain), 2);
		assert_true(has(f, 1, "/us-east-1/s3/"));
		assert_true(has(f, 2, "/eu-west-3/s3/"));
		assert_int_equal(tries_of(f, &plain), 1);
		assert_true(has(f, 3, "/eu-west-3/s3/"));
		end(f);
	}
}

/* Stands before the C library's for libcurl too: S3 is this test. */
int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
	struct addrinfo **ret)
{
	int (*real)(const char *, const char *, const struct addrinfo *,
		struct addrinfo **) = dlsym(RTLD_NEXT, "getaddrinfo");
	bool is_s3 = name && strstr(name, ".amazonaws.com");
	return real(is_s3 ? "127.0.0.1" : name, service, hints, ret);
}

static void another_region_has_another_host_at_aws(void **state)
{
	struct fixture *f = begin(NULL,
		ANSWERS(ANSWER("307 T", "x-amz-bucket-region: eu-west-3\r\n", ""), OK));
	const char *port = strrchr(http_script_origin(f->server), ':');
	char origin[128], host[128];
	snprintf(origin, sizeof(origin), "http://b.s3.us-east-1.amazonaws.com%s", port);
	exchanger_free(f->exchanger);
	struct exchanger_options o = {
		.scheme_host = origin,
		.settings = &f->settings,
	};
	assert_int_equal(exchanger_new(&o, &f->exchanger, NULL), 0);
	assert_int_equal(tries_of(f, &plain), 2);
	assert_int_equal(tries_of(f, &plain), 1);
	snprintf(
		host, sizeof(host), "\r\nhost: b.s3.us-east-1.amazonaws.com%s\r\n", port);
	assert_true(has(f, 1, host));
	snprintf(
		host, sizeof(host), "\r\nhost: b.s3.eu-west-3.amazonaws.com%s\r\n", port);
	assert_true(has(f, 2, host));
	assert_true(has(f, 3, host));
	end(f);
}

static void a_region_that_is_used_already_is_no_reason_to_go_on(void **state)
{
	struct fixture *f = begin("eu-west-3",
		ANSWERS(ANSWER("301 M", "x-amz-bucket-region: eu-west-3\r\n", "")));
	struct http_response response;
	assert_int_equal(perform(f, &plain, PATIENCE, &response, NULL, NULL), 0);
	assert_int_equal(response.status, 301);
	http_response_finish(&response);
	assert_int_equal(http_script_requests(f->server), 1);
	end(f);
}

static void connections_are_warmed_where_requests_go(void **state)
{
	struct fixture *f = begin(NULL, ANSWERS(OK));
	exchange_warm(f->exchanger, 3);
	assert_int_equal(tries_of(f, &plain), 1);
	http_script_wait_connections(f->server, 3);
	assert_int_equal(http_script_requests(f->server), 1);
	end(f);
}

/* --- hedging --------------------------------------------------------------------- */

/* Answers "/slow" only when it is asked a second time. */
static bool slow_or_quick(
	struct script_connection *c, const struct script_request *rq, void *arg)
{
	atomic_bool *asked = arg;
	if (!strcmp(rq->target, "/slow") && !atomic_exchange(asked, true))
		return script_hold(c);
	return script_answer(c, "200 OK", "", "ok", 2);
}

static int demand(struct exchanger *x, const char *path, uint64_t patience)
{
	char sink[8];
	struct exchange_request request = plain;
	struct http_response response;
	request.path = path;
	request.sink = sink;
	request.sink_len = sizeof(sink);
	struct call call = {.deadline_ns = clock_monotonic_ns() + patience};
	int r = exchange_perform(x, &call, &request, &response, NULL, NULL);
	if (r == 0)
		http_response_finish(&response);
	return r;
}

/* On a loaded machine quick answers may be late too, and use up what may be hedged; so
 * there is more than one try. */
static void a_late_answer_to_a_demand_is_overtaken(void **state)
{
	struct fixture *f = begin(NULL, ANSWERS(OK));
	atomic_bool asked;
	struct http_script *server = http_script_start(slow_or_quick, &asked);
	struct exchanger *x;
	struct exchanger_options o = {
		.scheme_host = http_script_origin(server),
		.settings = &f->settings,
	};
	struct store_stats stats;
	int r = -1;
	assert_int_equal(exchanger_new(&o, &x, NULL), 0);
	for (int i = 0; r < 0 && i < 20; i++) {
		for (int j = 0; j < 64; j++)
			assert_int_equal(demand(x, "/quick", PATIENCE), 0);
		atomic_store(&asked, false);
		r = demand(x, "/slow", NS_PER_SECOND);
	}
	assert_int_equal(r, 0);
	exchange_stats(x, &stats);
	assert_true(stats.hedges >= 1);
	assert_int_equal(stats.retries, 0);
	exchanger_free(x);
	http_script_stop(server);
	end(f);
}

static bool quick_or_never(
	struct script_connection *c, const struct script_request *rq, void *arg)
{
	if (strcmp(rq->target, "/quick") != 0)
		return script_hold(c);
	return script_answer(c, "200 OK", "", "ok", 2);
}

/* 64 answers allow for two second questions, whoever is asked. */
static void who_never_answers_is_asked_twice_no_more_often(void **state)
{
	enum { ANSWERED = 64, SILENT = 5 };
	struct fixture *f = begin(NULL, ANSWERS(OK));
	struct http_script *server = http_script_start(quick_or_never, NULL);
	struct exchanger *x;
	struct exchanger_options o = {
		.scheme_host = http_script_origin(server),
		.settings = &f->settings,
	};
	struct store_stats stats;
	assert_int_equal(exchanger_new(&o, &x, NULL), 0);
	for (int i = 0; i < ANSWERED; i++)
		assert_int_equal(demand(x, "/quick", PATIENCE), 0);
	for (int i = 0; i < SILENT; i++)
		assert_int_equal(demand(x, "/never", NS_PER_SECOND), -ETIMEDOUT);
	exchange_stats(x, &stats);
	assert_in_range(stats.hedges, 1, ANSWERED / HEDGE_SHARE);
	assert_int_equal(stats.requests, ANSWERED + SILENT + stats.hedges);
	assert_in_range(http_script_requests(server), ANSWERED, stats.requests);
	exchanger_free(x);
	http_script_stop(server);
	end(f);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(unsigned_requests_carry_no_credentials),
		cmocka_unit_test(signed_requests_carry_what_was_signed),
		cmocka_unit_test(bodies_are_hashed_where_they_lie),
		cmocka_unit_test(an_unreadable_body_is_not_sent),
		cmocka_unit_test(without_credentials_nothing_is_sent),
		cmocka_unit_test(passing_trouble_is_invisible),
		cmocka_unit_test(a_failed_body_is_begun_again_in_the_sink),
		cmocka_unit_test(retries_end_and_the_last_failure_is_told),
		cmocka_unit_test(pauses_are_as_long_as_the_random_number_says),
		cmocka_unit_test(a_stalled_request_is_repeated_on_a_fresh_connection),
		cmocka_unit_test(a_store_that_hangs_does_not_outlast_the_deadline),
		cmocka_unit_test(a_retry_after_beyond_the_deadline_is_not_waited_for),
		cmocka_unit_test(a_retry_after_that_is_a_past_date_is_now),
		cmocka_unit_test(a_pause_can_be_cancelled),
		cmocka_unit_test(what_must_be_done_once_is_done_once),
		cmocka_unit_test(the_budget_ends_a_storm_and_lets_recover),
		cmocka_unit_test(callers_answers_are_not_touched),
		cmocka_unit_test(expired_credentials_are_refreshed_once),
		cmocka_unit_test(a_bare_400_throws_no_credentials_away),
		cmocka_unit_test(refused_credentials_are_an_error_of_their_own),
		cmocka_unit_test(a_skewed_clock_is_learned_for_all_later_requests),
		cmocka_unit_test(a_bare_403_with_another_time_is_about_the_clock),
		cmocka_unit_test(a_date_that_no_clock_shows_is_not_learned),
		cmocka_unit_test(a_clock_that_cannot_be_learned_is_an_error),
		cmocka_unit_test(another_region_is_learned_for_all_later_requests),
		cmocka_unit_test(another_region_has_another_host_at_aws),
		cmocka_unit_test(a_region_that_is_used_already_is_no_reason_to_go_on),
		cmocka_unit_test(connections_are_warmed_where_requests_go),
		cmocka_unit_test(a_late_answer_to_a_demand_is_overtaken),
		cmocka_unit_test(who_never_answers_is_asked_twice_no_more_often),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
