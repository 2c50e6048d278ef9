/* Whole publications against a scripted server. Random numbers are zero, so our nonce is
 * known. */
#include "tests/unit/test.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/http_publication.h"
#include "fetch/part_plan.h"
#include "fetch/store_impl.h"
#include "tests/unit/play.h"

#define OURS   "x-amz-meta-larder-nonce: 00000000000000000000000000000000\r\n"
#define THEIRS "x-amz-meta-larder-nonce: 11111111111111111111111111111111\r\n"

#define GONE         ANSWER("404 Not Found", "", "")
#define STORED       ANSWER("200 OK", "ETag: \"e\"\r\n", "")
#define EXISTS       ANSWER("412 Precondition Failed", "", "")
#define OURS_THERE   ANSWER("200 OK", "ETag: \"o\"\r\n" OURS, "ours")
#define THEIRS_THERE ANSWER("200 OK", "ETag: \"t\"\r\n" THEIRS, "theirs")
#define CREATED                                                                          \
	ANSWER("200 OK", "",                                                             \
		"<InitiateMultipartUploadResult><UploadId>up/1</UploadId>"               \
		"</InitiateMultipartUploadResult>")
#define PART ANSWER("200 OK", "ETag: \"p\"\r\n", "")
#define COMPLETED                                                                        \
	ANSWER("200 OK", "",                                                             \
		"  <CompleteMultipartUploadResult><ETag>&quot;m-3&quot;</ETag>"          \
		"</CompleteMultipartUploadResult>")
#define SAID_200(code) ANSWER("200 OK", "", "\n <Error><Code>" code "</Code></Error>")
#define ABORTED        ANSWER("204 No Content", "", "")
#define DENIED         ANSWER("403 Forbidden", "", "")

/* --- a store that says what the test wants --------------------------------------------
 */

struct fixture {
	struct store store;
	struct play *play;
	const char *scope;
	struct probe_answer answer;
	int probe_result;
	unsigned probed;
	struct publication *publication;
};

static int fixture_scope(struct store *s, struct buf *ret)
{
	return buf_append_str(ret, ((struct fixture *)s)->scope);
}

static int fixture_probe(struct store *s, const struct call *call, unsigned racers,
	unsigned rounds, struct probe_answer *ret, struct error *e)
{
	struct fixture *f = (struct fixture *)s;
	f->probed++;
	if (f->probe_result < 0)
		return error_set(e, f->probe_result, "the probe failed");
	*ret = f->answer;
	return 0;
}

static const struct store_ops fixture_ops = {
	.probe_scope = fixture_scope,
	.probe = fixture_probe,
};

static void fixture_end(struct fixture *f)
{
	publication_free(f->publication);
	play_end(f->play);
}

#define WITH_STORE(f, put_, complete_, ...)                                              \
	CLEANUP(fixture_end)                                                             \
	struct fixture f = {                                                             \
		.store = {.ops = &fixture_ops,                                           \
			.name = (char *)"s3://b",                                        \
			.settings = {.cache_dir = (char *)"", .concurrency = 4}},        \
		.scope = "s3 http://here b",                                             \
		.answer = {.put = put_, .complete = complete_},                          \
		.play = play_begin(0, ANSWERS(__VA_ARGS__))}

static int begin(struct fixture *f, enum publish_condition condition, struct error *e)
{
	const struct http_root root = {.exchanger = play_exchanger(f->play),
		.path = "/b",
		.store = f->store.name};
	const struct publish_options asked = {.condition = condition};
	const struct http_publication_options o = {.store = &f->store,
		.root = &root,
		.key = "k",
		.asked = &asked,
		.multipart = true};
	return http_publication_begin(&o, CALL_PATIENT, &f->publication, e);
}

static int write_bytes(struct fixture *f, size_t len, struct error *e)
{
	CLEANUP(cleanup_free) char *data = calloc(1, len + 1);
	int r = publication_write(f->publication, CALL_PATIENT, data, len, e);
	return r;
}

static int finish(struct fixture *f, struct publish_result *ret, struct error *e)
{
	struct digest identity = {{1}};
	return publication_finish(f->publication, CALL_PATIENT, &identity, ret, e);
}

/* begin, write, finish: the result of the first that fails. */
static int publish(struct fixture *f, enum publish_condition condition, size_t len,
	struct publish_result *ret, struct error *e)
{
	int r = begin(f, condition, e);
	if (r == 0)
		r = write_bytes(f, len, e);
	return r < 0 ? r : finish(f, ret, e);
}

static struct publish_result published(
	struct fixture *f, enum publish_condition condition, size_t len)
{
	struct publish_result result;
	struct error e = {0};
	if (publish(f, condition, len, &result, &e) < 0)
		fail_msg("not published: %s", e.text);
	return result;
}

static int failure(
	struct fixture *f, enum publish_condition condition, size_t len, struct error *e)
{
	struct publish_result result;
	int r = publish(f, condition, len, &result, e);
	assert_true(r < 0);
	assert_int_equal(e->code, r);
	return r;
}

#define TWO_AND_A_HALF (size_t)(5 * PART_SIZE_MIN / 2)

/* --- one PUT --------------------------------------------------------------------------
 */

static void a_small_object_is_one_put(void **state)
{
	WITH_STORE(f, HONOUR_ATOMIC, HONOUR_NO, GONE, STORED);
	struct publish_result r = published(&f, PUBLISH_IF_ABSENT, 1000);
	assert_int_equal(r.outcome, PUBLISHED);
	assert_int_equal(f.probed, 1);
	assert_int_equal(play_requests(f.play), 2);
	assert_true(play_asked(f.play, 1, "HEAD /b/k"));
	assert_true(play_asked(f.play, 2, "PUT /b/k HTTP"));
	assert_true(play_asked(f.play, 2, "if-none-match: *"));
	uint64_t written, sent;
	publication_progress(f.publication, &written, &sent);
	assert_int_equal(written, 1000);
	assert_int_equal(sent, 1000);
}

static void a_larger_one_too_where_complete_is_not_conditional(void **state)
{
	WITH_STORE(f, HONOUR_ATOMIC, HONOUR_UNKNOWN, GONE, STORED);
	struct publish_result r = published(&f, PUBLISH_IF_ABSENT, TWO_AND_A_HALF);
	assert_int_equal(r.outcome, PUBLISHED);
	assert_true(play_asked(f.play, 2, "content-length: 20971520\r\n"));
}

static void an_early_look_saves_the_packing(void **state)
{
	WITH_STORE(f, HONOUR_ATOMIC, HONOUR_NO, THEIRS_THERE);
	struct error e = {0};
	assert_int_equal(begin(&f, PUBLISH_IF_ABSENT, &e), -EEXIST);
	assert_int_equal(f.probed, 0);
	assert_null(f.publication);
}

static void a_look_that_is_denied_stops_nobody(void **state)
{
	WITH_STORE(f, HONOUR_ATOMIC, HONOUR_NO, DENIED, DENIED, STORED);
	assert_int_equal(published(&f, PUBLISH_IF_ABSENT, 10).outcome, PUBLISHED);
}

static void nothing_is_left_of_what_is_given_up(void **state)
{
	WITH_STORE(f, HONOUR_ATOMIC, HONOUR_NO, GONE);
	assert_int_equal(begin(&f, PUBLISH_IF_ABSENT, NULL), 0);
	assert_int_equal(write_bytes(&f, 1000, NULL), 0);
	publication_free(steal_pointer(f.publication));
	assert_int_equal(play_requests(f.play), 1);
}

/* --- what the store honours ------------------------------------------------------------
 */

static void a_store_without_conditions_is_refused(void **state)
{
	static const enum honour weak[] = {HONOUR_NO, HONOUR_SEQUENTIAL};
	for (size_t i = 0; i < 2; i++) {
		WITH_STORE(f, weak[i], HONOUR_NO, GONE);
		struct error e = {0};
		assert_int_equal(begin(&f, PUBLISH_IF_ABSENT, &e), -EOPNOTSUPP);
		assert_non_null(strstr(e.text, "does not honour conditional writes"));
	}
}

static void a_probe_that_fails_is_a_failure(void **state)
{
	WITH_STORE(f, HONOUR_ATOMIC, HONOUR_NO, GONE);
	struct error e = {0};
	f.probe_result = -EACCES;
	assert_int_equal(begin(&f, PUBLISH_IF_ABSENT, &e), -EACCES);
}

static void unsafe_overwriting_looks_just_before_it_writes(void **state)
{
	{
		WITH_STORE(f, HONOUR_NO, HONOUR_NO, GONE, THEIRS_THERE);
		struct publish_result r = published(&f, PUBLISH_UNSAFE_OVERWRITE, 10);
		assert_int_equal(r.outcome, ALREADY_PUBLISHED);
		assert_string_equal(r.pin.etag, "\"t\"");
		assert_int_equal(play_requests(f.play), 2);
	}
	WITH_STORE(f, HONOUR_NO, HONOUR_NO, GONE, GONE, STORED);
	f.probe_result = -EACCES;
	assert_int_equal(published(&f, PUBLISH_UNSAFE_OVERWRITE, 10).outcome, PUBLISHED);
	assert_false(play_asked(f.play, 3, "if-none-match"));
}

static void unsafe_overwriting_needs_no_answer_but_ends_when_told(void **state)
{
	static const int ends[] = {-ECANCELED, -ETIMEDOUT};
	WITH_STORE(f, HONOUR_NO, HONOUR_NO, GONE, GONE, STORED);
	f.probe_result = -EIO;
	assert_int_equal(published(&f, PUBLISH_UNSAFE_OVERWRITE, 10).outcome, PUBLISHED);
	for (size_t i = 0; i < 2; i++) {
		WITH_STORE(ended, HONOUR_NO, HONOUR_NO, GONE);
		struct error e = {0};
		ended.probe_result = ends[i];
		assert_int_equal(begin(&ended, PUBLISH_UNSAFE_OVERWRITE, &e), ends[i]);
		assert_int_equal(e.code, ends[i]);
	}
}

static void force_asks_nothing(void **state)
{
	WITH_STORE(f, HONOUR_NO, HONOUR_NO, STORED);
	assert_int_equal(published(&f, PUBLISH_OVERWRITE, 10).outcome, PUBLISHED);
	assert_int_equal(f.probed, 0);
	assert_int_equal(play_requests(f.play), 1);
	assert_false(play_asked(f.play, 1, "if-none-match"));
}

/* --- uploads of parts ------------------------------------------------------------------
 */

static void large_objects_are_uploaded_in_parts(void **state)
{
	WITH_STORE(f, HONOUR_ATOMIC, HONOUR_ATOMIC, GONE, CREATED, PART, PART, PART,
		COMPLETED);
	struct publish_result r = published(&f, PUBLISH_IF_ABSENT, TWO_AND_A_HALF);
	assert_int_equal(r.outcome, PUBLISHED);
	assert_string_equal(r.pin.etag, "\"m-3\"");
	assert_int_equal(r.pin.size, TWO_AND_A_HALF);
	assert_true(play_asked(f.play, 2, "POST /b/k?uploads= "));
	assert_true(play_asked(f.play, 2, OURS));
	assert_false(play_asked(f.play, 2, "if-none-match"));
	for (unsigned i = 3; i <= 5; i++)
		assert_true(play_asked(f.play, i, "&uploadId=up%2F1 "));
	assert_true(play_asked(f.play, 6, "POST /b/k?uploadId=up%2F1 "));
	assert_true(play_asked(f.play, 6, "if-none-match: *\r\n"));
	assert_true(play_sent(f.play, 6,
		"<Part><PartNumber>3</PartNumber><ETag>\"p\"</ETag></Part>"
		"</CompleteMultipartUpload>"));
	publication_free(steal_pointer(f.publication));
	assert_int_equal(play_requests(f.play), 6);
}

static void force_uploads_without_a_condition(void **state)
{
	WITH_STORE(f, HONOUR_NO, HONOUR_NO, CREATED, PART, PART, PART, COMPLETED);
	assert_int_equal(
		published(&f, PUBLISH_OVERWRITE, TWO_AND_A_HALF).outcome, PUBLISHED);
	assert_false(play_asked(f.play, 5, "if-none-match"));
}

/* How often, among the requests from the third on: a part on another connection may
 * arrive behind. */
static unsigned aborts(struct fixture *f)
{
	unsigned n = play_requests(f->play), found = 0;
	for (unsigned i = 3; i <= n; i++)
		found += play_asked(f->play, i, "DELETE /b/k?uploadId=up%2F1 ");
	return found;
}

static void an_upload_that_is_given_up_is_aborted(void **state)
{
	WITH_STORE(f, HONOUR_ATOMIC, HONOUR_ATOMIC, GONE, CREATED, PART, PART, ABORTED);
	assert_int_equal(begin(&f, PUBLISH_IF_ABSENT, NULL), 0);
	assert_int_equal(write_bytes(&f, TWO_AND_A_HALF, NULL), 0);
	publication_free(steal_pointer(f.publication));
	assert_in_range(play_requests(f.play), 3, 6); /* parts may not have been begun */
	assert_in_range(aborts(&f), 1, 2);
}

static void a_part_that_fails_ends_the_upload(void **state)
{
	WITH_STORE(f, HONOUR_ATOMIC, HONOUR_ATOMIC, GONE, CREATED, DENIED);
	struct error e = {0};
	assert_int_equal(failure(&f, PUBLISH_IF_ABSENT, TWO_AND_A_HALF, &e), -EACCES);
	publication_free(steal_pointer(f.publication));
	assert_in_range(aborts(&f), 1, 2);
}

/* S3 may store it after the first abort. */
static void a_part_that_is_cut_off_is_aborted_again(void **state)
{
	WITH_STORE(f, HONOUR_ATOMIC, HONOUR_ATOMIC, GONE, CREATED, PLAY_SILENCE,
		PLAY_SILENCE, ABORTED);
	assert_int_equal(begin(&f, PUBLISH_IF_ABSENT, NULL), 0);
	assert_int_equal(write_bytes(&f, TWO_AND_A_HALF, NULL), 0);
	play_wait_requests(f.play, 4);
	publication_free(steal_pointer(f.publication));
	assert_int_equal(play_requests(f.play), 6);
	assert_int_equal(aborts(&f), 2);
}

static void an_upload_whose_parts_were_answered_is_aborted_once(void **state)
{
	WITH_STORE(f, HONOUR_ATOMIC, HONOUR_ATOMIC, GONE, CREATED, PART, PART, PART,
		DENIED, ABORTED);
	struct error e = {0};
	assert_int_equal(failure(&f, PUBLISH_IF_ABSENT, TWO_AND_A_HALF, &e), -EACCES);
	publication_free(steal_pointer(f.publication));
	assert_int_equal(play_requests(f.play), 7);
	assert_int_equal(aborts(&f), 1);
}

static void nothing_is_completed_after_a_write_that_failed(void **state)
{
	WITH_STORE(f, HONOUR_ATOMIC, HONOUR_ATOMIC, GONE, DENIED, PART, COMPLETED);
	struct publish_result result;
	struct error e = {0};
	assert_int_equal(begin(&f, PUBLISH_IF_ABSENT, NULL), 0);
	assert_int_equal(write_bytes(&f, TWO_AND_A_HALF, NULL), -EACCES);
	assert_int_equal(write_bytes(&f, 1, NULL), -EACCES);
	assert_int_equal(finish(&f, &result, &e), -EACCES);
	assert_non_null(strstr(e.text, "a write failed before"));
	assert_int_equal(play_requests(f.play), 2);
}

/* Publishes in parts to a store that ends with these answers. */
static int complete_with(const char *complete, const char *look, const char *more,
	struct publish_result *ret, struct error *e)
{
	WITH_STORE(f, HONOUR_ATOMIC, HONOUR_ATOMIC, GONE, CREATED, PART, PART, PART,
		complete, look, more);
	return publish(&f, PUBLISH_IF_ABSENT, TWO_AND_A_HALF, ret, e);
}

static void assert_outcome(
	const char *complete, const char *look, enum publish_outcome expected)
{
	struct publish_result result;
	struct error e = {0};
	if (complete_with(complete, look, ABORTED, &result, &e) < 0)
		fail_msg("'%s': %s", complete, e.text);
	assert_int_equal(result.outcome, expected);
}

static void assert_failure(const char *complete, const char *look, int expected)
{
	struct publish_result result;
	struct error e = {0};
	assert_int_equal(complete_with(complete, look, ABORTED, &result, &e), expected);
	assert_int_equal(e.code, expected);
}

#define CONFLICT   ANSWER("409 Conflict", "", "")
#define UNANSWERED "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab"
#define NONSENSE   ANSWER("200 OK", "", "<html/>")

static void whoever_was_first_is_found_out(void **state)
{
	assert_outcome(EXISTS, THEIRS_THERE, ALREADY_PUBLISHED);
	assert_outcome(EXISTS, OURS_THERE, PUBLISHED);
	assert_outcome(CONFLICT, THEIRS_THERE, ALREADY_PUBLISHED);
	assert_outcome(GONE, OURS_THERE, PUBLISHED);
	assert_outcome(SAID_200("PreconditionFailed"), THEIRS_THERE, ALREADY_PUBLISHED);
	assert_outcome(SAID_200("NoSuchUpload"), OURS_THERE, PUBLISHED);
	assert_outcome(UNANSWERED, OURS_THERE, PUBLISHED);
	assert_outcome(NONSENSE, OURS_THERE, PUBLISHED);
}

static void what_was_not_completed_is_a_failure(void **state)
{
	assert_failure(EXISTS, GONE, -EIO);
	assert_failure(CONFLICT, GONE, -EAGAIN);
	assert_failure(SAID_200("ConditionalRequestConflict"), GONE, -EAGAIN);
	assert_failure(SAID_200("EntityTooSmall"), GONE, -EIO);
	assert_failure(UNANSWERED, GONE, -EIO);
	assert_failure(NONSENSE, THEIRS_THERE, -EIO);
	assert_failure(ANSWER("501 Not Implemented", "", ""), GONE, -EOPNOTSUPP);
	assert_failure(DENIED, GONE, -EACCES);
}

static void a_store_without_uploads_in_parts_is_a_failure(void **state)
{
	WITH_STORE(f, HONOUR_NO, HONOUR_NO, CREATED, PART, PART, PART,
		ANSWER("501 Not Implemented", "", ""), ABORTED);
	struct error e = {0};
	assert_int_equal(failure(&f, PUBLISH_OVERWRITE, TWO_AND_A_HALF, &e), -EIO);
	assert_non_null(strstr(e.text, "does not take uploads in parts"));
}

static void a_passing_failure_behind_a_200_is_tried_again(void **state)
{
	static const char slow[] = SAID_200("SlowDown");
	struct error e = {0};
	assert_outcome(slow, COMPLETED, PUBLISHED);
	WITH_STORE(f, HONOUR_ATOMIC, HONOUR_ATOMIC, CREATED, PART, PART, PART, slow, slow,
		slow, slow, slow, GONE);
	assert_int_equal(failure(&f, PUBLISH_OVERWRITE, TWO_AND_A_HALF, &e), -EIO);
	assert_non_null(strstr(e.text, "fails to complete"));
}

static void force_is_no_success_while_theirs_is_there(void **state)
{
	WITH_STORE(f, HONOUR_NO, HONOUR_NO, CREATED, PART, PART, PART, CONFLICT,
		THEIRS_THERE, ABORTED);
	struct error e = {0};
	assert_int_equal(failure(&f, PUBLISH_OVERWRITE, TWO_AND_A_HALF, &e), -EAGAIN);
}

static void an_etag_that_is_not_said_is_looked_up(void **state)
{
	struct publish_result result;
	assert_int_equal(
		complete_with(ANSWER("200 OK", "", "<CompleteMultipartUploadResult/>"),
			OURS_THERE, ABORTED, &result, NULL),
		0);
	assert_int_equal(result.outcome, PUBLISHED);
	assert_string_equal(result.pin.etag, "\"o\"");
}

static void the_etag_of_a_nonsensical_part_is_not_taken(void **state)
{
	WITH_STORE(
		f, HONOUR_ATOMIC, HONOUR_ATOMIC, GONE, CREATED, ANSWER("200 OK", "", ""));
	struct error e = {0};
	assert_int_equal(failure(&f, PUBLISH_IF_ABSENT, TWO_AND_A_HALF, &e), -EIO);
}

static void an_upload_without_an_id_is_none(void **state)
{
	WITH_STORE(f, HONOUR_ATOMIC, HONOUR_ATOMIC, GONE, NONSENSE);
	struct error e = {0};
	assert_int_equal(failure(&f, PUBLISH_IF_ABSENT, TWO_AND_A_HALF, &e), -EIO);
	assert_int_equal(play_requests(f.play), 2);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_small_object_is_one_put),
		cmocka_unit_test(a_larger_one_too_where_complete_is_not_conditional),
		cmocka_unit_test(an_early_look_saves_the_packing),
		cmocka_unit_test(a_look_that_is_denied_stops_nobody),
		cmocka_unit_test(nothing_is_left_of_what_is_given_up),
		cmocka_unit_test(a_store_without_conditions_is_refused),
		cmocka_unit_test(a_probe_that_fails_is_a_failure),
		cmocka_unit_test(unsafe_overwriting_looks_just_before_it_writes),
		cmocka_unit_test(unsafe_overwriting_needs_no_answer_but_ends_when_told),
		cmocka_unit_test(force_asks_nothing),
		cmocka_unit_test(large_objects_are_uploaded_in_parts),
		cmocka_unit_test(force_uploads_without_a_condition),
		cmocka_unit_test(an_upload_that_is_given_up_is_aborted),
		cmocka_unit_test(a_part_that_fails_ends_the_upload),
		cmocka_unit_test(a_part_that_is_cut_off_is_aborted_again),
		cmocka_unit_test(an_upload_whose_parts_were_answered_is_aborted_once),
		cmocka_unit_test(nothing_is_completed_after_a_write_that_failed),
		cmocka_unit_test(whoever_was_first_is_found_out),
		cmocka_unit_test(what_was_not_completed_is_a_failure),
		cmocka_unit_test(a_store_without_uploads_in_parts_is_a_failure),
		cmocka_unit_test(a_passing_failure_behind_a_200_is_tried_again),
		cmocka_unit_test(force_is_no_success_while_theirs_is_there),
		cmocka_unit_test(an_etag_that_is_not_said_is_looked_up),
		cmocka_unit_test(the_etag_of_a_nonsensical_part_is_not_taken),
		cmocka_unit_test(an_upload_without_an_id_is_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
