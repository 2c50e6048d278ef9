#include "tests/unit/test.h"

#include <errno.h>
#include <string.h>

#include "fetch/http_answer.h"

static const struct http_target target = {.path = "/b/k", .key = "k", .store = "s3://b"};

static const struct pin pinned = {
	.etag = "\"v1\"",
	.version_id = "ver1",
	.size = 1000,
};

/* An answer with the fields given, lines split by '\n'. */
static struct http_response answer(int status, uint64_t received, const char *fields)
{
	struct http_response r = {.status = status, .received = received};
	http_fields_init(&r.fields);
	while (*fields) {
		size_t len = strcspn(fields, "\n");
		http_fields_add(&r.fields, fields, len);
		fields += len + (fields[len] == '\n');
	}
	return r;
}

static int open_answer(int status, uint64_t received, const char *fields, struct pin *ret)
{
	struct http_response r = answer(status, received, fields);
	return http_answer_opening(&target, &r, 100, ret, NULL);
}

static int range_answer(int status, uint64_t received, const char *fields)
{
	struct http_response r = answer(status, received, fields);
	return http_answer_range(&target, &r, &pinned, 200, 50, NULL);
}

static void a_suffix_fixes_the_pin(void **state)
{
	struct pin pin;
	assert_int_equal(
		open_answer(206, 100,
			"ETag: \"e\"\nContent-Range: bytes 900-999/1000\n"
			"Last-Modified: Thu, 01 Jan 1970 00:00:09 GMT\nx-amz-version-id: "
			"V\n"
			"x-amz-meta-larder-nonce: 0123456789abcdef0123456789abcdef",
			&pin),
		0);
	assert_string_equal(pin.etag, "\"e\"");
	assert_string_equal(pin.version_id, "V");
	assert_string_equal(pin.nonce, "0123456789abcdef0123456789abcdef");
	assert_int_equal(pin.size, 1000);
	assert_int_equal(pin.mtime_s, 9);
	assert_false(pin.has_identity);
}

static void a_suffix_longer_than_the_object_is_all_of_it(void **state)
{
	struct pin pin;
	assert_int_equal(open_answer(206, 7, "Content-Range: bytes 0-6/7", &pin), 0);
	assert_int_equal(pin.size, 7);
	assert_int_equal(open_answer(200, 7, "Content-Length: 7", &pin), 0);
	assert_int_equal(pin.size, 7);
	assert_int_equal(open_answer(200, 0, "ETag: \"e\"", &pin), 0);
	assert_int_equal(pin.size, 0);
}

static void other_bytes_than_the_last_are_no_opening(void **state)
{
	static const struct {
		uint64_t received;
		const char *fields;
	} bad[] = {
		{100, ""},
		{100, "Content-Range: bytes 900-999/*"},
		{100, "Content-Range: bytes */1000"},
		{100, "Content-Range: bytes 800-899/1000"},
		{100, "Content-Range: bytes 900-998/1000"},
		{50, "Content-Range: bytes 950-999/1000"},
		{99, "Content-Range: bytes 900-999/1000"},
		{101, "Content-Range: bytes 900-999/1000"},
		{100, "Content-Range: bytes 900-999/1000\nETag: oops"},
		{200, "Content-Range: bytes 800-999/1000"},
	};
	struct pin pin;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(
			open_answer(206, bad[i].received, bad[i].fields, &pin), -EBADMSG);
	assert_int_equal(open_answer(200, 6, "Content-Length: 7", &pin), -EBADMSG);
}

static void servers_without_suffix_ranges_are_asked_otherwise(void **state)
{
	struct pin pin;
	assert_int_equal(open_answer(200, 101, "Content-Length: 1000", &pin), -ERANGE);
	assert_int_equal(open_answer(416, 0, "Content-Range: bytes */0", &pin), -ERANGE);
}

static void refusals_have_their_codes(void **state)
{
	struct pin pin;
	assert_int_equal(open_answer(404, 0, "", &pin), -ENOENT);
	assert_int_equal(open_answer(410, 0, "", &pin), -ENOENT);
	assert_int_equal(open_answer(403, 0, "", &pin), -EACCES);
	assert_int_equal(open_answer(401, 0, "", &pin), -EACCES);
	assert_int_equal(open_answer(500, 0, "", &pin), -EIO);
	assert_int_equal(open_answer(204, 0, "", &pin), -EIO);
	assert_int_equal(open_answer(301, 0, "Location: http://h/elsewhere", &pin), -EIO);
}

static void a_missing_bucket_is_no_miss(void **state)
{
	static const char body[] = "<Error><Code>NoSuchBucket</Code></Error>";
	static const char sentence[] =
		"the bucket of 's3://b' does not exist; make it, or "
		"correct its name or the endpoint";
	struct pin pin;
	struct error e = {0}, of_write = {0};
	struct http_response r = answer(404, 0, "");
	r.body = BUF_INIT(sizeof(body));
	assert_int_equal(buf_append_str(&r.body, body), 0);
	assert_int_equal(http_answer_opening(&target, &r, 100, &pin, &e), -EIO);
	assert_string_equal(e.text, sentence);
	assert_int_equal(http_answer_write_refusal(&target, &r, &of_write), -EIO);
	assert_string_equal(of_write.text, sentence);
	buf_finish(&r.body);
}

static void writing_meets_no_miss(void **state)
{
	struct http_response r = answer(404, 0, "");
	assert_int_equal(http_answer_write_refusal(&target, &r, NULL), -EIO);
	r = answer(403, 0, "");
	assert_int_equal(http_answer_write_refusal(&target, &r, NULL), -EACCES);
}

static void an_answer_is_told_in_its_own_words(void **state)
{
	static const char body[] =
		"<Error><Code>SlowDown</Code><Message>Please wait</Message></Error>";
	struct error e = {0};
	struct http_response r = answer(503, 0, "");
	r.body = BUF_INIT(sizeof(body));
	assert_int_equal(buf_append_str(&r.body, body), 0);
	assert_int_equal(http_answer_refusal(&target, &r, &e), -EIO);
	assert_string_equal(
		e.text, "'s3://b' answered 503 for 'k': SlowDown: Please wait");
	buf_finish(&r.body);
}

static void a_redirect_to_a_directory_is_a_miss(void **state)
{
	struct pin pin;
	assert_int_equal(open_answer(301, 0, "Location: http://h/b/k/", &pin), -ENOENT);
	assert_int_equal(open_answer(301, 0, "Location: /b/k/", &pin), -ENOENT);
	assert_int_equal(open_answer(301, 0, "Location: http://h/b/kk/", &pin), -EIO);
	assert_int_equal(open_answer(301, 0, "Location: /", &pin), -EIO);
}

/* To a presigned URL, or to one with a password. */
static void a_redirect_shows_no_secret(void **state)
{
	static const char *const places[][2] = {
		{"Location: https://h/e/k?X-Amz-Signature=sesame", "'https://h/e/k...'"},
		{"Location: /e/k?X-Amz-Signature=sesame", "'/e/k...'"},
		{"Location: https://me:sesame@h/e/k", "'https://***@h/e/k'"},
		{"Location: //me:sesame@h/e/k", "'//***@h/e/k'"},
		{"Location: /e?sesame&to=http://h/", "'/e...'"},
		{"Location: e//me:sesame@h", "'***@h'"}};
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		struct pin pin;
		struct error e = {0};
		struct http_response r = answer(302, 0, places[i][0]);
		assert_int_equal(http_answer_opening(&target, &r, 100, &pin, &e), -EIO);
		assert_null(strstr(e.text, "sesame"));
		assert_non_null(strstr(e.text, places[i][1]));
	}
}

static void a_look_needs_a_size(void **state)
{
	struct pin pin;
	struct http_response r = answer(200, 0, "Content-Length: 12\nETag: W/\"w\"");
	assert_int_equal(http_answer_look(&target, &r, &pin, NULL), 0);
	assert_int_equal(pin.size, 12);
	assert_string_equal(pin.etag, "W/\"w\"");
	r = answer(200, 0, "ETag: \"e\"");
	assert_int_equal(http_answer_look(&target, &r, &pin, NULL), -EBADMSG);
	r = answer(404, 0, "");
	assert_int_equal(http_answer_look(&target, &r, &pin, NULL), -ENOENT);
}

#define RIGHT "ETag: \"v1\"\nContent-Range: bytes 200-249/1000"

static void the_range_of_the_pinned_object_is_taken(void **state)
{
	assert_int_equal(range_answer(206, 50, RIGHT), 0);
	assert_int_equal(range_answer(206, 50, RIGHT "\nx-amz-version-id: ver1"), 0);
}

static void another_version_is_stale(void **state)
{
	assert_int_equal(range_answer(412, 0, ""), -ESTALE);
	assert_int_equal(range_answer(416, 0, ""), -ESTALE);
	assert_int_equal(
		range_answer(206, 50, "ETag: \"v2\"\nContent-Range: bytes 200-249/1000"),
		-ESTALE);
	assert_int_equal(range_answer(206, 50,
				 "ETag: W/\"v1\"\nContent-Range: bytes 200-249/1000"),
		-ESTALE);
	assert_int_equal(
		range_answer(206, 50, "ETag: \"v1\"\nContent-Range: bytes 200-249/1001"),
		-ESTALE);
	assert_int_equal(
		range_answer(206, 50, RIGHT "\nx-amz-version-id: ver2"), -ESTALE);
	assert_int_equal(range_answer(200, 50, "ETag: \"v2\""), -ESTALE);
}

static void an_answer_that_is_not_the_range_is_never_taken(void **state)
{
	static const struct {
		int status;
		uint64_t received;
		const char *fields;
	} bad[] = {
		{206, 50, "ETag: \"v1\""},
		{206, 50, "Content-Range: bytes 200-249/1000"},
		{206, 50, "ETag: \"v1\"\nContent-Range: bytes 200-249/*"},
		{206, 50, "ETag: \"v1\"\nContent-Range: bytes 201-250/1000"},
		{206, 50, "ETag: \"v1\"\nContent-Range: bytes 200-250/1000"},
		{206, 50, "ETag: \"v1\"\nContent-Range: bytes 0-49/1000"},
		{206, 49, RIGHT},
		{206, 51, RIGHT},
		{206, 50, RIGHT "\nETag: \"v2\""},
		{200, 50, "ETag: \"v1\""},
		{200, 50, ""},
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(
			range_answer(bad[i].status, bad[i].received, bad[i].fields),
			-EBADMSG);
	assert_int_equal(range_answer(404, 0, ""), -ENOENT);
	assert_int_equal(range_answer(403, 0, ""), -EACCES);
	assert_int_equal(range_answer(304, 0, ""), -EIO);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_suffix_fixes_the_pin),
		cmocka_unit_test(a_suffix_longer_than_the_object_is_all_of_it),
		cmocka_unit_test(other_bytes_than_the_last_are_no_opening),
		cmocka_unit_test(servers_without_suffix_ranges_are_asked_otherwise),
		cmocka_unit_test(refusals_have_their_codes),
		cmocka_unit_test(a_missing_bucket_is_no_miss),
		cmocka_unit_test(writing_meets_no_miss),
		cmocka_unit_test(an_answer_is_told_in_its_own_words),
		cmocka_unit_test(a_redirect_to_a_directory_is_a_miss),
		cmocka_unit_test(a_redirect_shows_no_secret),
		cmocka_unit_test(a_look_needs_a_size),
		cmocka_unit_test(the_range_of_the_pinned_object_is_taken),
		cmocka_unit_test(another_version_is_stale),
		cmocka_unit_test(an_answer_that_is_not_the_range_is_never_taken),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
