/*
 * When credentials are refreshed, by whom, and what the others get meanwhile; on a clock
 * of the test's own.
 */
#include "tests/unit/test.h"

#include <pthread.h>
#include <stdatomic.h>

#include "tests/unit/creds_case.h"

#define NOW_S 1714979289 /* 2024-05-06T07:08:09Z */

static _Atomic int64_t now_s;

int64_t __wrap_clock_realtime_s(void);
int64_t __wrap_clock_realtime_s(void)
{
	return now_s;
}

/* A service that numbers the keys it hands out: K1, K2 ... */
struct service {
	struct http_script *script;
	_Atomic int64_t expires_s;
	_Atomic bool failing, silent;
	struct gate *gate;  /* passed before answering, when it is set */
	unsigned gate_from; /* the number of the first request that meets it */
	unsigned busy_to;   /* the number of the last request that it has no time for */
};

static bool serve(
	struct script_connection *c, const struct script_request *request, void *arg)
{
	struct service *s = arg;
	char body[512], when[64];
	time_t t = (time_t)s->expires_s;
	struct tm tm;
	if (s->gate && request->number >= s->gate_from)
		gate_wait(s->gate);
	if (request->number <= s->busy_to)
		return script_answer(c, "503 Busy", "", "busy", 4);
	if (s->silent)
		return script_hold(c);
	if (s->failing)
		return script_answer(c, "403 Forbidden", "", "no", 2);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &tm));
	snprintf(body, sizeof(body),
		"{\"AccessKeyId\":\"K%u\",\"SecretAccessKey\":\"S\",\"Expiration\":\"%"
		"s\"}",
		request->number, when);
	return script_answer(c, "200 OK", "", body, strlen(body));
}

static struct creds *serve_credentials(struct service *s, int64_t lifetime_s)
{
	struct creds *c;
	now_s = NOW_S;
	s->expires_s = NOW_S + lifetime_s;
	s->script = http_script_start(serve, s);
	setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", http_script_url(s->script, "/"), 1);
	assert_int_equal(creds_new(&settings, &c, NULL), 0);
	return c;
}

static void stop_serving(struct service *s, struct creds *c)
{
	creds_free(c);
	http_script_stop(s->script);
}

static void assert_key(struct creds *c, const char *expected)
{
	struct credentials got = {0};
	struct error e = {0};
	int r = creds_get(c, CALL_PATIENT, &got, &e);
	if (r < 0)
		print_error("%s\n", e.text);
	assert_int_equal(r, 0);
	assert_string_equal(got.access_key, expected);
}

static void assert_no_key(struct creds *c, const struct call *call, int expected)
{
	struct credentials got;
	struct error e = {0};
	assert_int_equal(creds_get(c, call, &got, &e), expected);
	assert_int_equal(e.code, expected);
	assert_true(strlen(e.text) > 0);
}

static void assert_requests(const struct service *s, unsigned expected)
{
	assert_int_equal(http_script_requests(s->script), expected);
}

static void good_ones_are_answered_from_memory(void **state)
{
	struct service s = {0};
	struct creds *c = serve_credentials(&s, 3600);
	assert_string_equal(creds_origin(c), "");
	assert_key(c, "K1");
	const char *origin = creds_origin(c);
	assert_non_null(strstr(origin, "container"));
	now_s += 3600 - 301;
	assert_key(c, "K1");
	assert_requests(&s, 1);
	now_s++;
	s.expires_s = now_s + 3600;
	assert_key(c, "K2");
	assert_key(c, "K2");
	assert_requests(&s, 2);
	assert_ptr_equal(creds_origin(c), origin);
	stop_serving(&s, c);
}

static void what_is_still_valid_survives_a_failure(void **state)
{
	struct service s = {0};
	struct creds *c = serve_credentials(&s, 3600);
	assert_key(c, "K1");
	now_s += 3600 - 200;
	s.failing = true;
	assert_key(c, "K1");
	assert_requests(&s, 2);
	now_s += 59; /* not tried again before a minute is over */
	assert_key(c, "K1");
	assert_requests(&s, 2);
	now_s++;
	assert_key(c, "K1");
	assert_requests(&s, 3);
	s.failing = false;
	s.expires_s = now_s + 3600;
	now_s += 60;
	assert_key(c, "K4");
	stop_serving(&s, c);
}

static void a_clock_set_back_postpones_nothing(void **state)
{
	struct service s = {0};
	struct creds *c = serve_credentials(&s, 100);
	assert_key(c, "K1");
	s.failing = true;
	now_s += 60;
	assert_key(c, "K1"); /* fails, and waits a minute */
	assert_requests(&s, 2);
	now_s -= 100;
	assert_key(c, "K1");
	assert_requests(&s, 3);
	stop_serving(&s, c);
}

static void what_has_ended_is_not_handed_out(void **state)
{
	struct service s = {0};
	struct creds *c = serve_credentials(&s, 3600);
	assert_key(c, "K1");
	now_s += 3600;
	s.failing = true;
	assert_no_key(c, CALL_PATIENT, -EKEYREJECTED);
	assert_no_key(c, CALL_PATIENT, -EKEYREJECTED);
	assert_requests(&s, 3);
	s.failing = false;
	s.expires_s = now_s + 3600;
	assert_key(c, "K4");
	stop_serving(&s, c);
}

/* Our clock may be the wrong one. */
static void fresh_ones_are_believed_for_a_minute(void **state)
{
	struct service s = {0};
	struct creds *c = serve_credentials(&s, -3600);
	assert_key(c, "K1");
	assert_key(c, "K1");
	now_s += 59;
	assert_key(c, "K1");
	now_s++;
	assert_key(c, "K2");
	assert_requests(&s, 2);
	stop_serving(&s, c);
}

static void refused_ones_are_asked_for_anew(void **state)
{
	struct service s = {0};
	struct creds *c = serve_credentials(&s, 3600);
	struct credentials used, other;
	assert_int_equal(creds_get(c, CALL_PATIENT, &used, NULL), 0);
	assert_int_equal(credentials_set(&other, "K0", "S", NULL, 0), 0);
	creds_refused(c, &other); /* somebody was late: those are gone already */
	assert_key(c, "K1");
	creds_refused(c, &used);
	assert_key(c, "K2");
	creds_refused(c, &used);
	assert_key(c, "K2");
	assert_requests(&s, 2);
	assert_int_equal(creds_get(c, CALL_PATIENT, &used, NULL), 0);
	creds_refused(c, &used);
	s.failing = true;
	assert_no_key(c, CALL_PATIENT, -EKEYREJECTED);
	stop_serving(&s, c);
}

static void doubted_ones_are_used_when_there_are_no_others(void **state)
{
	struct service s = {0};
	struct creds *c = serve_credentials(&s, 3600);
	struct credentials used, other;
	assert_int_equal(creds_get(c, CALL_PATIENT, &used, NULL), 0);
	assert_int_equal(credentials_set(&other, "K0", "S", NULL, 0), 0);
	creds_doubted(c, &other); /* those are gone already */
	assert_key(c, "K1");
	creds_doubted(c, &used);
	assert_key(c, "K2");
	assert_int_equal(creds_get(c, CALL_PATIENT, &used, NULL), 0);
	s.failing = true;
	creds_doubted(c, &used);
	assert_key(c, "K2");
	assert_requests(&s, 3);
	creds_doubted(c, &used); /* in vain, for a minute */
	assert_key(c, "K2");
	assert_requests(&s, 3);
	s.failing = false;
	now_s += 60;
	creds_doubted(c, &used);
	assert_key(c, "K4");
	stop_serving(&s, c);
}

static void doubted_ones_that_have_ended_are_not_handed_out(void **state)
{
	struct service s = {0};
	struct creds *c = serve_credentials(&s, 3600);
	struct credentials used;
	assert_int_equal(creds_get(c, CALL_PATIENT, &used, NULL), 0);
	creds_doubted(c, &used);
	s.failing = true;
	now_s += 3600;
	assert_no_key(c, CALL_PATIENT, -EKEYREJECTED);
	stop_serving(&s, c);
}

static void a_silent_service_costs_little_while_they_are_valid(void **state)
{
	struct service s = {0};
	struct creds *c = serve_credentials(&s, 3600);
	struct credentials got;
	assert_key(c, "K1");
	now_s += 3600 - 200;
	s.silent = true;
	struct call call = {.deadline_ns = clock_monotonic_ns() + 200 * NS_PER_MS};
	assert_int_equal(creds_get(c, &call, &got, NULL), 0);
	assert_string_equal(got.access_key, "K1");
	assert_int_equal(call_check(&call), 0); /* there is time left to use them */
	assert_key(c, "K1");
	assert_requests(&s, 2);
	stop_serving(&s, c);
}

static void giving_up_leaves_it_to_the_next(void **state)
{
	struct service s = {.silent = true};
	struct creds *c = serve_credentials(&s, 3600);
	struct call call = {.deadline_ns = clock_monotonic_ns() + 30 * NS_PER_MS};
	assert_no_key(c, &call, -ETIMEDOUT);
	s.silent = false;
	assert_key(c, "K2");
	stop_serving(&s, c);
}

/* --- several threads --------------------------------------------------------------- */

struct getter {
	pthread_t thread;
	struct creds *creds;
	struct call call;
	struct credentials got;
	int result;
};

static void *get_in_thread(void *arg)
{
	struct getter *g = arg;
	g->result = creds_get(g->creds, &g->call, &g->got, NULL);
	return NULL;
}

static void start(struct getter *g, struct creds *c, struct cancel *cancel)
{
	g->creds = c;
	g->call = (struct call){.deadline_ns = DEADLINE_NONE, .cancel = cancel};
	assert_int_equal(pthread_create(&g->thread, NULL, get_in_thread, g), 0);
}

static void assert_ended(struct getter *g, int result, const char *key)
{
	pthread_join(g->thread, NULL);
	assert_int_equal(g->result, result);
	if (key)
		assert_string_equal(g->got.access_key, key);
}

static void others_use_what_is_valid_while_one_refreshes(void **state)
{
	struct service s = {.gate = gate_new(), .gate_from = 2};
	struct creds *c = serve_credentials(&s, 3600);
	static struct getter g;
	assert_key(c, "K1");
	now_s += 3600 - 200;
	s.expires_s = now_s + 3600;
	start(&g, c, NULL);
	http_script_wait_requests(s.script, 2);
	assert_key(c, "K1");
	assert_key(c, "K1");
	assert_requests(&s, 2);
	gate_open(s.gate);
	assert_ended(&g, 0, "K2");
	assert_key(c, "K2");
	stop_serving(&s, c);
	gate_free(s.gate);
}

/* Else all but one would be refused again, if they were. */
static void all_wait_for_those_that_replace_doubted_ones(void **state)
{
	struct service s = {.gate = gate_new(), .gate_from = 2};
	struct creds *c = serve_credentials(&s, 3600);
	struct credentials used;
	struct call call = {.deadline_ns = clock_monotonic_ns() + 30 * NS_PER_MS};
	static struct getter one, two;
	assert_int_equal(creds_get(c, CALL_PATIENT, &used, NULL), 0);
	creds_doubted(c, &used);
	start(&one, c, NULL);
	http_script_wait_requests(s.script, 2);
	assert_int_equal(creds_get(c, &call, &used, NULL), 0);
	assert_string_equal(used.access_key, "K1");
	assert_int_equal(
		call_check(&call), -ETIMEDOUT); /* he had waited for better ones */
	start(&two, c, NULL);
	gate_open(s.gate);
	assert_ended(&one, 0, "K2");
	assert_ended(&two, 0, "K2");
	assert_requests(&s, 2);
	stop_serving(&s, c);
	gate_free(s.gate);
}

static void with_nothing_valid_all_wait_for_one(void **state)
{
	struct service s = {.gate = gate_new(), .gate_from = 1};
	struct creds *c = serve_credentials(&s, 3600);
	static struct getter g[4];
	for (size_t i = 0; i < 4; i++)
		start(&g[i], c, NULL);
	http_script_wait_requests(s.script, 1);
	gate_open(s.gate);
	for (size_t i = 0; i < 4; i++)
		assert_ended(&g[i], 0, "K1");
	assert_requests(&s, 1);
	stop_serving(&s, c);
	gate_free(s.gate);
}

static void who_waits_for_another_has_his_own_patience(void **state)
{
	struct service s = {.gate = gate_new(), .gate_from = 1};
	struct creds *c = serve_credentials(&s, 3600);
	struct call call = {.deadline_ns = clock_monotonic_ns() + 30 * NS_PER_MS};
	struct cancel cancel;
	static struct getter one, two;
	cancel_init(&cancel);
	start(&one, c, NULL);
	http_script_wait_requests(s.script, 1);
	assert_no_key(c, &call, -ETIMEDOUT);
	start(&two, c, &cancel);
	cancel_fire(&cancel);
	assert_ended(&two, -ECANCELED, NULL);
	assert_requests(&s, 1);
	gate_open(s.gate);
	assert_ended(&one, 0, "K1");
	stop_serving(&s, c);
	gate_free(s.gate);
	cancel_finish(&cancel);
}

/* Whoever refreshes is cancelled: one of those who wait goes on. */
static void a_refresh_that_is_cancelled_is_taken_over(void **state)
{
	struct service s = {.gate = gate_new(), .gate_from = 1};
	struct creds *c = serve_credentials(&s, 3600);
	struct cancel cancel;
	static struct getter one, two;
	cancel_init(&cancel);
	start(&one, c, &cancel);
	http_script_wait_requests(s.script, 1);
	start(&two, c, NULL);
	cancel_fire(&cancel);
	assert_ended(&one, -ECANCELED, NULL);
	gate_open(s.gate);
	assert_ended(&two, 0, "K2");
	stop_serving(&s, c);
	cancel_finish(&cancel);
	gate_free(s.gate);
}

/* Whoever refreshes has no time to wait for a busy service: others may have. */
static void a_refresh_without_time_for_a_pause_is_taken_over(void **state)
{
	struct service s = {.gate = gate_new(), .gate_from = 1, .busy_to = 1};
	struct creds *c = serve_credentials(&s, 3600);
	struct getter one = {
		.creds = c, .call.deadline_ns = clock_monotonic_ns() + 600 * NS_PER_MS};
	static struct getter two;
	pthread_create(&one.thread, NULL, get_in_thread, &one);
	http_script_wait_requests(s.script, 1);
	start(&two, c, NULL);
	call_pause(CALL_PATIENT, one.call.deadline_ns - 15 * NS_PER_MS);
	gate_open(s.gate); /* the first pause takes 25 ms at least */
	assert_ended(&one, -ETIMEDOUT, NULL);
	assert_ended(&two, 0, "K2");
	stop_serving(&s, c);
	gate_free(s.gate);
}

static void *get_and_refuse(void *arg)
{
	struct credentials got;
	for (int i = 0; i < 20; i++) {
		if (creds_get(arg, CALL_PATIENT, &got, NULL) < 0)
			return arg;
		if (i % 5 == 0)
			creds_refused(arg, &got);
	}
	return NULL;
}

static void many_threads_get_and_refuse(void **state)
{
	struct service s = {0};
	struct creds *c = serve_credentials(&s, 3600);
	pthread_t threads[8];
	for (size_t i = 0; i < 8; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, get_and_refuse, c), 0);
	for (size_t i = 0; i < 8; i++) {
		void *failed;
		pthread_join(threads[i], &failed);
		assert_null(failed);
	}
	assert_true(http_script_requests(s.script) <= 1 + 8 * 4);
	stop_serving(&s, c);
}

/* --- files ------------------------------------------------------------------------- */

static void write_key(const char *key)
{
	char text[256];
	snprintf(text, sizeof(text), "[default]\naws_access_key_id=%s\n%s\n", key,
		*key ? "aws_secret_access_key=S" : "broken");
	aws_write(".aws/credentials", text);
}

static void files_that_change_are_read_anew(void **state)
{
	struct creds *c;
	now_s = NOW_S;
	write_key("F1");
	assert_int_equal(creds_new(&settings, &c, NULL), 0);
	assert_key(c, "F1");
	write_key("F2");
	assert_key(c, "F2");
	write_key(""); /* somebody is at it */
	assert_key(c, "F2");
	assert_key(c, "F2");
	write_key("F3");
	assert_key(c, "F3");
	unlink(aws_path(".aws/credentials"));
	assert_key(c, "F3");
	creds_free(c);
}

static void refused_keys_of_a_file_are_read_anew(void **state)
{
	struct creds *c;
	struct credentials used;
	now_s = NOW_S;
	write_key("F1");
	assert_int_equal(creds_new(&settings, &c, NULL), 0);
	assert_int_equal(creds_get(c, CALL_PATIENT, &used, NULL), 0);
	creds_refused(c, &used);
	assert_key(c, "F1"); /* it still says so */
	creds_refused(c, &used);
	unlink(aws_path(".aws/credentials"));
	assert_no_key(c, CALL_PATIENT, -EKEYREJECTED);
	creds_free(c);
}

static void the_source_that_answered_stays(void **state)
{
	struct creds *c;
	struct credentials used;
	now_s = NOW_S;
	write_key("F1");
	assert_int_equal(creds_new(&settings, &c, NULL), 0);
	assert_int_equal(creds_get(c, CALL_PATIENT, &used, NULL), 0);
	setenv("AWS_ACCESS_KEY_ID", "E", 1);
	setenv("AWS_SECRET_ACCESS_KEY", "S", 1);
	creds_refused(c, &used);
	assert_key(c, "F1");
	creds_free(c);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(good_ones_are_answered_from_memory),
		TEST(what_is_still_valid_survives_a_failure),
		TEST(a_clock_set_back_postpones_nothing),
		TEST(what_has_ended_is_not_handed_out),
		TEST(fresh_ones_are_believed_for_a_minute),
		TEST(refused_ones_are_asked_for_anew),
		TEST(doubted_ones_are_used_when_there_are_no_others),
		TEST(doubted_ones_that_have_ended_are_not_handed_out),
		TEST(a_silent_service_costs_little_while_they_are_valid),
		TEST(giving_up_leaves_it_to_the_next),
		TEST(others_use_what_is_valid_while_one_refreshes),
		TEST(all_wait_for_those_that_replace_doubted_ones),
		TEST(with_nothing_valid_all_wait_for_one),
		TEST(who_waits_for_another_has_his_own_patience),
		TEST(a_refresh_that_is_cancelled_is_taken_over),
		TEST(a_refresh_without_time_for_a_pause_is_taken_over),
		TEST(many_threads_get_and_refuse),
		TEST(files_that_change_are_read_anew),
		TEST(refused_keys_of_a_file_are_read_anew),
		TEST(the_source_that_answered_stays),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
