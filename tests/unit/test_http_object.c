/* Objects over HTTP against a scripted server. The object is "0123456789". */
#include "tests/unit/test.h"

#include <errno.h>
#include <string.h>

#include "fetch/http_object.h"
#include "tests/unit/play.h"

#define E1       "ETag: \"v1\"\r\n"
#define E2       "ETag: \"v2\"\r\n"
#define TAIL4    ANSWER("206 Partial Content", E1 "Content-Range: bytes 6-9/10\r\n", "6789")
#define RANGE(e) ANSWER("206 Partial Content", e "Content-Range: bytes 2-4/10\r\n", "234")
#define CUT_RANGE                                                                        \
	"HTTP/1.1 206 Partial Content\r\n" E1                                            \
	"Content-Range: bytes 2-4/10\r\nContent-Length: 3\r\n\r\n2"
#define GONE    ANSWER("404 Not Found", "", "")
#define FAILED  ANSWER("412 Precondition Failed", "", "")
#define VERSION "x-amz-version-id: V/1\r\n"
#define TAIL4_V                                                                          \
	ANSWER("206 Partial Content", E1 VERSION "Content-Range: bytes 6-9/10\r\n",      \
		"6789")

#define WITH_PLAY(p, ...)                                                                \
	struct play *p __attribute__((cleanup(end_play))) =                              \
		play_begin(0, ANSWERS(__VA_ARGS__))

static void end_play(struct play **p)
{
	play_end(*p);
}

static int open_tail(struct play *p, size_t len, struct object **ret, bool *ret_denied,
	struct error *e)
{
	return http_open_object(play_target(p), CALL_PATIENT, len, ret, ret_denied, e);
}

static int open_failure(struct play *p, struct error *e)
{
	struct object *o = NULL;
	bool denied = false;
	int r = open_tail(p, 4, &o, &denied, e);
	assert_null(o);
	assert_int_equal(e->code, r);
	return r;
}

static struct object *opened(struct play *p, size_t len)
{
	struct object *o = NULL;
	struct error e = {0};
	if (open_tail(p, len, &o, NULL, &e) < 0)
		fail_msg("not opened: %s", e.text);
	return o;
}

static void assert_tail(const struct object *o, const char *expected)
{
	size_t len;
	const void *tail = object_tail(o, &len);
	assert_int_equal(len, strlen(expected));
	assert_memory_equal(tail, expected, len);
}

/* Reads bytes 2 to 4. */
static int read_range(struct object *o, struct error *e)
{
	char buf[3];
	int r = range_source_read(object_source(o), CALL_PATIENT, 2, 3, buf, e);
	if (r == 0)
		assert_memory_equal(buf, "234", 3);
	return r;
}

/* --- opening -------------------------------------------------------------------------
 */

static void one_suffix_range_opens(void **state)
{
	WITH_PLAY(p, TAIL4);
	CLEANUP(cleanup_object) struct object *o = opened(p, 4);
	assert_int_equal(play_requests(p), 1);
	assert_true(play_asked(p, 1, "GET /b/k HTTP/1.1"));
	assert_true(play_asked(p, 1, "range: bytes=-4\r\n"));
	assert_false(play_asked(p, 1, "if-match"));
	assert_string_equal(object_pin(o)->etag, "\"v1\"");
	assert_int_equal(object_pin(o)->size, 10);
	assert_tail(o, "6789");
}

static void a_short_object_comes_whole(void **state)
{
	WITH_PLAY(p, ANSWER("200 OK", E1, "0123456789"));
	CLEANUP(cleanup_object) struct object *o = opened(p, 100);
	assert_tail(o, "0123456789");
	assert_int_equal(object_source(o)->size, 10);
}

static void no_key_is_a_miss_and_so_is_a_forbidden_one(void **state)
{
	struct error e = {0};
	{
		WITH_PLAY(p, GONE);
		assert_int_equal(open_failure(p, &e), -ENOENT);
	}
	WITH_PLAY(p,
		ANSWER("403 Forbidden", "", "<Error><Code>AccessDenied</Code></Error>"));
	struct object *o = NULL;
	bool denied = false;
	assert_int_equal(open_tail(p, 4, &o, &denied, &e), -ENOENT);
	assert_true(denied);
}

static void a_contradiction_is_asked_once_more(void **state)
{
	static const char wrong[] = ANSWER(
		"206 Partial Content", E1 "Content-Range: bytes 5-8/10\r\n", "5678");
	struct error e = {0};
	{
		WITH_PLAY(p, wrong, TAIL4);
		CLEANUP(cleanup_object) struct object *o = opened(p, 4);
		assert_non_null(o);
		assert_int_equal(play_requests(p), 2);
		assert_tail(o, "6789");
	}
	WITH_PLAY(p, wrong);
	assert_int_equal(open_failure(p, &e), -EIO);
	assert_int_equal(play_requests(p), 2);
}

static void without_suffix_ranges_two_requests_open(void **state)
{
	static const char whole[] = ANSWER("200 OK", E1, "0123456789");
	WITH_PLAY(p, whole, whole, TAIL4);
	CLEANUP(cleanup_object) struct object *o = opened(p, 4);
	assert_true(play_asked(p, 2, "HEAD /b/k"));
	assert_true(play_asked(p, 3, "range: bytes=6-9\r\n"));
	assert_true(play_asked(p, 3, "if-match: \"v1\"\r\n"));
	assert_tail(o, "6789");
}

static void without_any_ranges_it_is_an_error(void **state)
{
	struct error e = {0};
	WITH_PLAY(p, ANSWER("200 OK", E1, "0123456789"));
	assert_int_equal(open_failure(p, &e), -EIO);
	assert_non_null(strstr(e.text, "whole object where a range was asked for"));
}

static void an_empty_object_is_found_by_its_416(void **state)
{
	WITH_PLAY(
		p, ANSWER("416 Range Not Satisfiable", "", ""), ANSWER("200 OK", E1, ""));
	CLEANUP(cleanup_object) struct object *o = opened(p, 4);
	assert_int_equal(object_source(o)->size, 0);
	assert_string_equal(object_pin(o)->etag, "\"v1\"");
	assert_tail(o, "");
}

static void an_object_that_changes_while_it_is_opened_is_opened_anew(void **state)
{
	static const char whole[] = ANSWER("200 OK", E1, "0123456789");
	WITH_PLAY(p, whole, whole, FAILED, TAIL4);
	CLEANUP(cleanup_object) struct object *o = opened(p, 4);
	assert_int_equal(play_requests(p), 4);
	assert_tail(o, "6789");
}

static void a_weak_etag_binds_nothing(void **state)
{
	static const char weak[] = ANSWER("206 Partial Content",
		"ETag: W/\"v1\"\r\nContent-Range: bytes 6-9/10\r\n", "6789");
	static const char none[] =
		ANSWER("206 Partial Content", "Content-Range: bytes 6-9/10\r\n", "6789");
	struct error e = {0};
	{
		WITH_PLAY(p, weak);
		assert_int_equal(open_failure(p, &e), -EIO);
		assert_non_null(strstr(e.text, "only a weak ETag"));
	}
	WITH_PLAY(p, none);
	assert_int_equal(open_failure(p, &e), -EIO);
	assert_non_null(strstr(e.text, "no ETag"));
}

static void a_whole_object_needs_no_etag(void **state)
{
	WITH_PLAY(p, ANSWER("200 OK", "ETag: W/\"v1\"\r\n", "0123456789"), GONE);
	CLEANUP(cleanup_object) struct object *o = opened(p, 10);
	object_drop_tail(o);
	assert_int_equal(read_range(o, NULL), 0);
	assert_int_equal(play_requests(p), 1);
}

/* Whoever answers a range with 200 may do so always. What came by a 206 is not kept, for
 * it can be asked for again. */
static void without_any_ranges_what_came_whole_is_read(void **state)
{
	static const char whole[] = ANSWER("200 OK", E1, "0123456789");
	{
		WITH_PLAY(p, whole);
		CLEANUP(cleanup_object) struct object *o = opened(p, 10);
		object_drop_tail(o);
		assert_int_equal(read_range(o, NULL), 0);
		assert_int_equal(play_requests(p), 1);
	}
	WITH_PLAY(p,
		ANSWER("206 Partial Content", E1 "Content-Range: bytes 0-9/10\r\n",
			"0123456789"),
		RANGE(E1));
	CLEANUP(cleanup_object) struct object *o = opened(p, 10);
	object_drop_tail(o);
	assert_int_equal(read_range(o, NULL), 0);
	assert_int_equal(play_requests(p), 2);
}

/* Each time, when that memory is dropped: bound to the pin as a range is. */
static void without_any_ranges_all_is_asked_for_again(void **state)
{
	static const char whole[] = ANSWER("200 OK", E1, "0123456789");
	static const struct {
		const char *answer;
		int code;
		unsigned requests;
	} cases[] = {
		{whole, 0, 1},
		{FAILED, -ESTALE, 1},
		{ANSWER("200 OK", E2, "0123456789"), -ESTALE, 1},
		{ANSWER("200 OK", "", "0123456789"), -EIO, 2},
		{ANSWER("200 OK", E1, "012345678"), -EIO, 2},
		{RANGE(E1), -EIO, 2},
		{GONE, -ENOENT, 1},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		WITH_PLAY(p, whole, cases[i].answer);
		CLEANUP(cleanup_object) struct object *o = opened(p, 10);
		assert_int_equal(object_held(o), 10);
		object_drop_tail(o);
		object_drop_whole(o);
		assert_int_equal(object_held(o), 0);
		assert_int_equal(read_range(o, NULL), cases[i].code);
		assert_int_equal(play_requests(p), 1 + cases[i].requests);
		assert_true(play_asked(p, 2, "if-match: \"v1\"\r\n"));
		assert_false(play_asked(p, 2, "range: "));
	}
}

static void what_no_etag_binds_is_not_dropped(void **state)
{
	WITH_PLAY(p, ANSWER("200 OK", "ETag: W/\"v1\"\r\n", "0123456789"), GONE);
	CLEANUP(cleanup_object) struct object *o = opened(p, 10);
	object_drop_tail(o);
	object_drop_whole(o);
	assert_int_equal(object_held(o), 10);
	assert_int_equal(read_range(o, NULL), 0);
	assert_int_equal(play_requests(p), 1);
}

/* --- ranges --------------------------------------------------------------------------
 */

static void a_range_is_bound_to_the_pin(void **state)
{
	WITH_PLAY(p, TAIL4, RANGE(E1));
	CLEANUP(cleanup_object) struct object *o = opened(p, 4);
	assert_int_equal(read_range(o, NULL), 0);
	assert_true(play_asked(p, 2, "range: bytes=2-4\r\n"));
	assert_true(play_asked(p, 2, "if-match: \"v1\"\r\n"));
}

static int read_answered(const char *answer, unsigned *ret_requests, struct error *e)
{
	WITH_PLAY(p, TAIL4, answer);
	CLEANUP(cleanup_object) struct object *o = opened(p, 4);
	int r = read_range(o, e);
	*ret_requests = play_requests(p) - 1;
	return r;
}

static void what_a_range_meets_has_its_code(void **state)
{
	static const struct {
		const char *answer;
		int code;
		unsigned requests;
	} cases[] = {
		{FAILED, -ESTALE, 1},
		{RANGE(E2), -ESTALE, 1},
		{GONE, -ENOENT, 1},
		{ANSWER("403 Forbidden", "", ""), -EACCES, 1},
		{ANSWER("200 OK", E2, "0123456789"), -ESTALE, 1},
		{ANSWER("200 OK", E1, "0123456789"), -EIO, 2},
		{ANSWER("206 Partial Content", E1 "Content-Range: bytes 2-4/10\r\n",
			 "23"),
			-EIO, 2},
		{RANGE(""), -EIO, 2},
		{CUT_RANGE, -EIO, 1},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct error e = {0};
		unsigned requests;
		assert_int_equal(
			read_answered(cases[i].answer, &requests, &e), cases[i].code);
		assert_int_equal(e.code, cases[i].code);
		if (requests != cases[i].requests)
			fail_msg("case %zu took %u requests", i, requests);
		assert_non_null(strstr(e.text, "'k'"));
	}
}

/* --- versions ------------------------------------------------------------------------
 */

static void an_overwritten_version_is_read_by_its_id(void **state)
{
	WITH_PLAY(p, TAIL4_V, FAILED, RANGE(E1 VERSION), RANGE(E1 VERSION));
	CLEANUP(cleanup_object) struct object *o = opened(p, 4);
	assert_int_equal(read_range(o, NULL), 0);
	assert_false(play_asked(p, 2, "versionId"));
	assert_true(play_asked(p, 3, "GET /b/k?versionId=V%2F1 "));
	assert_true(play_asked(p, 3, "if-match: \"v1\"\r\n"));
	assert_int_equal(read_range(o, NULL), 0);
	assert_true(play_asked(p, 4, "?versionId=V%2F1 "));
	assert_int_equal(play_requests(p), 4);
}

static void a_deleted_key_is_read_by_version_too(void **state)
{
	WITH_PLAY(p, TAIL4_V, GONE, RANGE(E1 VERSION));
	CLEANUP(cleanup_object) struct object *o = opened(p, 4);
	assert_int_equal(read_range(o, NULL), 0);
}

static void a_version_that_cannot_be_read_leaves_the_first_verdict(void **state)
{
	static const char *const second[] = {
		GONE, ANSWER("403 Forbidden", "", ""), FAILED};
	for (size_t i = 0; i < sizeof(second) / sizeof(second[0]); i++) {
		struct error e = {0};
		WITH_PLAY(p, TAIL4_V, FAILED, second[i]);
		CLEANUP(cleanup_object) struct object *o = opened(p, 4);
		assert_int_equal(read_range(o, &e), -ESTALE);
		assert_non_null(strstr(e.text, "another version now"));
	}
}

static void a_version_removed_later_is_stale(void **state)
{
	WITH_PLAY(p, TAIL4_V, FAILED, RANGE(E1 VERSION), GONE);
	CLEANUP(cleanup_object) struct object *o = opened(p, 4);
	assert_int_equal(read_range(o, NULL), 0);
	assert_int_equal(read_range(o, NULL), -ESTALE);
}

/* --- looking -------------------------------------------------------------------------
 */

static void a_look_is_a_head(void **state)
{
	struct pin pin;
	WITH_PLAY(p, ANSWER("200 OK", E1, "0123456789"));
	assert_int_equal(
		http_stat_object(play_target(p), CALL_PATIENT, &pin, NULL, NULL), 0);
	assert_true(play_asked(p, 1, "HEAD /b/k"));
	assert_int_equal(pin.size, 10);
}

/* HEAD's answers have no body to say why. */
static void a_refused_head_is_asked_again_with_get(void **state)
{
	static const char refused[] = ANSWER("403 Forbidden", "", "");
	static const char *const useless[] = {refused, ANSWER("400 Bad Request", "", "")};
	struct pin pin;
	bool denied = false;
	for (size_t i = 0; i < 2; i++) {
		WITH_PLAY(p, useless[i],
			ANSWER("206 Partial Content",
				E1 "Content-Range: bytes 9-9/10\r\n", "9"));
		assert_int_equal(http_stat_object(play_target(p), CALL_PATIENT, &pin,
					 &denied, NULL),
			0);
		assert_int_equal(pin.size, 10);
		assert_false(denied);
	}
	WITH_PLAY(p, refused);
	assert_int_equal(
		http_stat_object(play_target(p), CALL_PATIENT, &pin, &denied, NULL),
		-ENOENT);
	assert_true(denied);
	assert_true(play_asked(p, 2, "GET /b/k"));
}

static void a_head_that_does_not_tell_the_size_is_made_up_for(void **state)
{
	static const char untold[] = "HTTP/1.1 200 OK\r\n" E1 "\r\n";
	struct pin pin;
	WITH_PLAY(p, untold, ANSWER("200 OK", E1, ""));
	assert_int_equal(
		http_stat_object(play_target(p), CALL_PATIENT, &pin, NULL, NULL), 0);
	assert_true(play_asked(p, 2, "GET /b/k"));
	assert_int_equal(pin.size, 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_suffix_range_opens),
		cmocka_unit_test(a_short_object_comes_whole),
		cmocka_unit_test(no_key_is_a_miss_and_so_is_a_forbidden_one),
		cmocka_unit_test(a_contradiction_is_asked_once_more),
		cmocka_unit_test(without_suffix_ranges_two_requests_open),
		cmocka_unit_test(without_any_ranges_it_is_an_error),
		cmocka_unit_test(an_empty_object_is_found_by_its_416),
		cmocka_unit_test(
			an_object_that_changes_while_it_is_opened_is_opened_anew),
		cmocka_unit_test(a_weak_etag_binds_nothing),
		cmocka_unit_test(a_whole_object_needs_no_etag),
		cmocka_unit_test(without_any_ranges_what_came_whole_is_read),
		cmocka_unit_test(without_any_ranges_all_is_asked_for_again),
		cmocka_unit_test(what_no_etag_binds_is_not_dropped),
		cmocka_unit_test(a_range_is_bound_to_the_pin),
		cmocka_unit_test(what_a_range_meets_has_its_code),
		cmocka_unit_test(an_overwritten_version_is_read_by_its_id),
		cmocka_unit_test(a_deleted_key_is_read_by_version_too),
		cmocka_unit_test(a_version_that_cannot_be_read_leaves_the_first_verdict),
		cmocka_unit_test(a_version_removed_later_is_stale),
		cmocka_unit_test(a_look_is_a_head),
		cmocka_unit_test(a_head_that_does_not_tell_the_size_is_made_up_for),
		cmocka_unit_test(a_refused_head_is_asked_again_with_get),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
