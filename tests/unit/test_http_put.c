/* One PUT against a scripted server. Random numbers are zero, so our nonce is known. */
#include "tests/unit/test.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fetch/http_put.h"
#include "fetch/nonce.h"
#include "tests/unit/play.h"

#define OURS   "x-amz-meta-larder-nonce: 00000000000000000000000000000000\r\n"
#define THEIRS "x-amz-meta-larder-nonce: 11111111111111111111111111111111\r\n"

#define STORED       ANSWER("200 OK", "ETag: \"e\"\r\n", "")
#define EXISTS       ANSWER("412 Precondition Failed", "", "")
#define CONFLICT     ANSWER("409 Conflict", "", "")
#define GONE         ANSWER("404 Not Found", "", "")
#define OURS_THERE   ANSWER("200 OK", "ETag: \"e\"\r\n" OURS, "hello")
#define THEIRS_THERE ANSWER("200 OK", "ETag: \"t\"\r\n" THEIRS, "theirs")
#define UNANSWERED   "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab"

#define WITH_PLAY(p, retries, ...)                                                       \
	struct play *p __attribute__((cleanup(end_play))) =                              \
		play_begin(retries, ANSWERS(__VA_ARGS__))

static void end_play(struct play **p)
{
	play_end(*p);
}

static int put(const struct http_target *t, bool if_absent, struct publish_result *ret,
	struct error *e)
{
	char nonce[NONCE_SIZE];
	struct digest digest;
	assert_int_equal(nonce_new(nonce), 0);
	assert_int_equal(digest_of("hello", 5, &digest), 0);
	const struct http_put request = {
		.target = t,
		.if_absent = if_absent,
		.nonce = nonce,
		.identity = &digest,
		.data = "hello",
		.fd = -1,
		.len = 5,
		.sha256 = &digest,
	};
	return http_put_object(&request, CALL_PATIENT, ret, e);
}

static enum publish_outcome outcome(struct play *p)
{
	struct publish_result result;
	struct error e = {0};
	if (put(play_target(p), true, &result, &e) < 0)
		fail_msg("not put: %s", e.text);
	return result.outcome;
}

static int failure(struct play *p, bool if_absent)
{
	struct publish_result result;
	struct error e = {0};
	int r = put(play_target(p), if_absent, &result, &e);
	assert_int_equal(e.code, r);
	return r;
}

static void the_first_writer_wins(void **state)
{
	WITH_PLAY(p, 0, STORED);
	struct publish_result result;
	assert_int_equal(put(play_target(p), true, &result, NULL), 0);
	assert_int_equal(result.outcome, PUBLISHED);
	assert_string_equal(result.pin.etag, "\"e\"");
	assert_int_equal(result.pin.size, 5);
	assert_true(result.pin.has_identity);
	assert_true(play_asked(p, 1, "PUT /b/k HTTP/1.1"));
	assert_true(play_asked(p, 1, "if-none-match: *\r\n"));
	assert_true(play_asked(p, 1, "content-length: 5\r\n"));
	assert_true(play_asked(p, 1, OURS));
	assert_true(play_asked(p, 1,
		"x-amz-meta-larder-identity: 2cf24dba5fb0a30e26e83b2ac5b9e2"
		"9e1b161e5c1fa7425e73043362938b9824\r\n"));
	assert_true(play_sent(p, 1, "hello"));
}

static void an_etag_that_is_not_said_is_looked_up(void **state)
{
	WITH_PLAY(p, 0, ANSWER("201 Created", "", ""),
		ANSWER("200 OK", "ETag: \"f\"\r\n", "hello"));
	struct publish_result result;
	assert_int_equal(put(play_target(p), true, &result, NULL), 0);
	assert_int_equal(result.outcome, PUBLISHED);
	assert_string_equal(result.pin.etag, "\"f\"");
	assert_true(result.pin.has_identity);
}

static void overwriting_has_no_condition(void **state)
{
	WITH_PLAY(p, 0, STORED);
	struct publish_result result;
	assert_int_equal(put(play_target(p), false, &result, NULL), 0);
	assert_false(play_asked(p, 1, "if-none-match"));
}

static void somebody_elses_object_was_first(void **state)
{
	WITH_PLAY(p, 0, EXISTS, THEIRS_THERE);
	struct publish_result result;
	assert_int_equal(put(play_target(p), true, &result, NULL), 0);
	assert_int_equal(result.outcome, ALREADY_PUBLISHED);
	assert_string_equal(result.pin.etag, "\"t\"");
	assert_int_equal(result.pin.size, 6);
}

static void some_stores_say_304(void **state)
{
	WITH_PLAY(p, 0, ANSWER("304 Not Modified", "", ""), THEIRS_THERE);
	assert_int_equal(outcome(p), ALREADY_PUBLISHED);
}

static void a_retry_recognises_its_own_success(void **state)
{
	WITH_PLAY(p, 1, UNANSWERED, EXISTS, OURS_THERE);
	assert_int_equal(outcome(p), PUBLISHED);
	assert_int_equal(play_requests(p), 3);
}

static void a_lost_answer_is_looked_for(void **state)
{
	{
		WITH_PLAY(p, 0, UNANSWERED, OURS_THERE);
		assert_int_equal(outcome(p), PUBLISHED);
	}
	{
		WITH_PLAY(p, 0, UNANSWERED, THEIRS_THERE);
		assert_int_equal(failure(p, true), -EIO);
	}
	WITH_PLAY(p, 0, UNANSWERED, GONE);
	assert_int_equal(failure(p, true), -EIO);
}

#define NAMELESS(body) ANSWER("200 OK", "ETag: \"f\"\r\n", body)
#define ITS_BYTES(body)                                                                  \
	ANSWER("206 Partial Content", "ETag: \"f\"\r\nContent-Range: bytes 0-4/5\r\n",   \
		body)

/* A server of files keeps no nonce: the bytes themselves are looked at. */
static void a_lost_answer_is_looked_for_without_a_nonce(void **state)
{
	{
		WITH_PLAY(p, 0, UNANSWERED, NAMELESS("hello"), ITS_BYTES("hello"));
		struct publish_result result;
		assert_int_equal(put(play_target(p), true, &result, NULL), 0);
		assert_int_equal(result.outcome, ALREADY_PUBLISHED);
		assert_string_equal(result.pin.etag, "\"f\"");
		assert_true(play_asked(p, 3, "range: bytes=-5\r\n"));
	}
	{
		WITH_PLAY(p, 0, UNANSWERED, NAMELESS("hello"), ITS_BYTES("hullo"));
		assert_int_equal(failure(p, true), -EIO);
	}
	{
		WITH_PLAY(p, 0, UNANSWERED, NAMELESS("hell"));
		assert_int_equal(failure(p, true), -EIO);
		assert_int_equal(play_requests(p), 2);
	}
	WITH_PLAY(p, 0, UNANSWERED, NAMELESS("hello"), ITS_BYTES("hello"));
	struct publish_result result;
	assert_int_equal(put(play_target(p), false, &result, NULL), 0);
	assert_int_equal(result.outcome, PUBLISHED);
}

static void what_was_sent_from_a_file_is_compared_from_there(void **state)
{
	static const char *const there[] = {ITS_BYTES("hello"), ITS_BYTES("hullo")};
	for (int i = 0; i < 2; i++) {
		WITH_PLAY(p, 0, UNANSWERED, NAMELESS("hello"), there[i]);
		FILE *file = tmpfile();
		struct publish_result result;
		assert_non_null(file);
		assert_int_equal(fputs("hello", file) >= 0 && fflush(file) == 0, 1);
		const struct http_put request = {
			.target = play_target(p),
			.if_absent = true,
			.nonce = "00000000000000000000000000000000",
			.fd = fileno(file),
			.len = 5,
			.sha256 = &(struct digest){{0}},
		};
		assert_int_equal(http_put_object(&request, CALL_PATIENT, &result, NULL),
			i ? -EIO : 0);
		fclose(file);
	}
}

static void an_object_that_may_not_be_seen_is_somebody_elses(void **state)
{
	WITH_PLAY(p, 0, EXISTS, ANSWER("403 Forbidden", "", ""));
	struct publish_result result;
	assert_int_equal(put(play_target(p), true, &result, NULL), 0);
	assert_int_equal(result.outcome, ALREADY_PUBLISHED);
	assert_string_equal(result.pin.etag, "");
}

static void one_that_is_gone_again_is_put_again(void **state)
{
	WITH_PLAY(p, 0, EXISTS, GONE, STORED);
	assert_int_equal(outcome(p), PUBLISHED);
}

static void a_refusal_about_nothing_ends(void **state)
{
	static const char *answers[2 * HTTP_CONFLICTS_MAX + 2];
	for (size_t i = 0; i < HTTP_CONFLICTS_MAX; i++) {
		answers[2 * i] = EXISTS;
		answers[2 * i + 1] = GONE;
	}
	answers[2 * HTTP_CONFLICTS_MAX] = GONE;
	struct play *p __attribute__((cleanup(end_play))) = play_begin(0, answers);
	assert_int_equal(failure(p, true), -EIO);
}

static void a_conflict_is_waited_out(void **state)
{
	WITH_PLAY(p, 0, CONFLICT, CONFLICT, STORED);
	assert_int_equal(outcome(p), PUBLISHED);
}

static void a_store_may_say_409_for_what_exists(void **state)
{
	const char *answers[HTTP_CONFLICTS_MAX + 2] = {0};
	for (size_t i = 0; i < HTTP_CONFLICTS_MAX; i++)
		answers[i] = CONFLICT;
	answers[HTTP_CONFLICTS_MAX] = THEIRS_THERE;
	struct play *p __attribute__((cleanup(end_play))) = play_begin(0, answers);
	assert_int_equal(outcome(p), ALREADY_PUBLISHED);
	struct play *q __attribute__((cleanup(end_play))) = play_begin(0, answers);
	assert_int_equal(failure(q, false), -EIO);
}

static void conflicts_about_what_may_not_be_seen_fail(void **state)
{
	const char *answers[HTTP_CONFLICTS_MAX + 2] = {0};
	for (size_t i = 0; i < HTTP_CONFLICTS_MAX; i++)
		answers[i] = CONFLICT;
	answers[HTTP_CONFLICTS_MAX] = ANSWER("403 Forbidden", "", "");
	struct play *p __attribute__((cleanup(end_play))) = play_begin(0, answers);
	assert_int_equal(failure(p, true), -EIO);
}

static void refusals_have_their_codes(void **state)
{
	static const struct {
		const char *answer;
		int code;
	} cases[] = {
		{ANSWER("501 Not Implemented", "", ""), -EOPNOTSUPP},
		{ANSWER("405 Method Not Allowed", "", ""), -EOPNOTSUPP},
		{ANSWER("403 Forbidden", "", ""), -EACCES},
		{ANSWER("404 Not Found", "", ""), -EIO},
		{ANSWER("400 Bad Request", "", ""), -EIO},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		WITH_PLAY(p, 0, cases[i].answer);
		assert_int_equal(failure(p, true), cases[i].code);
	}
	for (size_t i = 0; i < 2; i++) { /* so writing is what is not known */
		WITH_PLAY(q, 0, cases[i].answer);
		assert_int_equal(failure(q, false), -EIO);
	}
	WITH_PLAY(p, 0, EXISTS, THEIRS_THERE); /* nothing was asked to be absent */
	assert_int_equal(failure(p, false), -EIO);
}

/* --- folders -------------------------------------------------------------------------
 */

static int ways_made;

static int make_way(const struct http_target *t, const struct call *call, struct error *e)
{
	return ++ways_made == 1;
}

static void a_missing_folder_is_made_once(void **state)
{
	WITH_PLAY(p, 0, CONFLICT, CONFLICT, STORED);
	struct http_target t = *play_target(p);
	t.make_way = make_way;
	struct publish_result result;
	assert_int_equal(put(&t, true, &result, NULL), 0);
	assert_int_equal(result.outcome, PUBLISHED);
	assert_int_equal(ways_made, 2);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_writer_wins),
		cmocka_unit_test(an_etag_that_is_not_said_is_looked_up),
		cmocka_unit_test(overwriting_has_no_condition),
		cmocka_unit_test(somebody_elses_object_was_first),
		cmocka_unit_test(some_stores_say_304),
		cmocka_unit_test(a_retry_recognises_its_own_success),
		cmocka_unit_test(a_lost_answer_is_looked_for),
		cmocka_unit_test(a_lost_answer_is_looked_for_without_a_nonce),
		cmocka_unit_test(what_was_sent_from_a_file_is_compared_from_there),
		cmocka_unit_test(an_object_that_may_not_be_seen_is_somebody_elses),
		cmocka_unit_test(one_that_is_gone_again_is_put_again),
		cmocka_unit_test(a_refusal_about_nothing_ends),
		cmocka_unit_test(a_conflict_is_waited_out),
		cmocka_unit_test(a_store_may_say_409_for_what_exists),
		cmocka_unit_test(conflicts_about_what_may_not_be_seen_fail),
		cmocka_unit_test(refusals_have_their_codes),
		cmocka_unit_test(a_missing_folder_is_made_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
