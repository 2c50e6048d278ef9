#include "tests/unit/test.h"

#include <errno.h>
#include <string.h>

#include "fetch/http_fields.h"

#define NOV_6_1994 INT64_C(784111777) /* RFC 9110's example date */

static void add(struct http_fields *f, const char *line)
{
	http_fields_add(f, line, strlen(line));
}

static struct http_fields fields_of(const char *const *lines)
{
	struct http_fields f;
	http_fields_init(&f);
	for (; *lines; lines++)
		add(&f, *lines);
	return f;
}

#define FIELDS(...) fields_of((const char *const[]){__VA_ARGS__, NULL})

static int range_of(const char *value, struct content_range *ret)
{
	return parse_content_range(value, strlen(value), ret);
}

static int date_of(const char *value, int64_t *ret)
{
	return parse_http_date(value, strlen(value), ret);
}

static void content_ranges_are_parsed(void **state)
{
	struct content_range r;
	assert_int_equal(range_of("bytes 42-1233/1234", &r), 0);
	assert_true(r.present && r.has_total && !r.unsatisfied);
	assert_true(r.first == 42 && r.last == 1233 && r.total == 1234);
	assert_int_equal(range_of("bytes 0-0/*", &r), 0);
	assert_true(!r.has_total && r.first == 0 && r.last == 0);
	assert_int_equal(range_of("bytes */47022", &r), 0);
	assert_true(r.unsatisfied && r.total == 47022);
	assert_int_equal(range_of("Bytes 1-2/3", &r), 0);
}

static void nonsense_content_ranges_are_refused(void **state)
{
	static const char *const bad[] = {"", "bytes", "bytes ", "bytes 1-2",
		"bytes 1-2/", "bytes 2-1/10", "bytes 0-10/10", "bytes */*",
		"bytes 1-2/3 ", "bytes  1-2/3", "bytes=1-2/3", "octets 1-2/3",
		"bytes -2/3", "bytes 1-/3", "bytes +1-2/3",
		"bytes 0-18446744073709551616/*", "bytes 0-18446744073709551615/*",
		"bytes 0-9/99999999999999999999", "bytes 0x1-2/3", "bytes 1-2/3,4"};
	struct content_range r = {.first = 7};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (range_of(bad[i], &r) != -EBADMSG)
			fail_msg("'%s' passed", bad[i]);
	assert_int_equal(r.first, 7);
}

static void a_range_reaches_the_last_number(void **state)
{
	struct content_range r;
	assert_int_equal(
		range_of("bytes 0-18446744073709551614/18446744073709551615", &r), 0);
	assert_true(r.last == UINT64_MAX - 1 && r.total == UINT64_MAX);
}

static void the_length_given_is_kept_to(void **state)
{
	struct content_range r;
	int64_t t;
	assert_int_equal(parse_content_range("bytes 1-2/35", 11, &r), 0);
	assert_int_equal(r.total, 3);
	assert_int_equal(parse_http_date("Sun, 06 Nov 1994 08:49:37 GMTx", 29, &t), 0);
	assert_int_equal(
		parse_http_date("Sun, 06 Nov 1994 08:49:37 GMTx", 30, &t), -EBADMSG);
}

static void the_three_forms_of_dates_are_one_time(void **state)
{
	int64_t t;
	static const char *const forms[] = {"Sun, 06 Nov 1994 08:49:37 GMT",
		"Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"};
	for (size_t i = 0; i < 3; i++) {
		t = 0;
		assert_int_equal(date_of(forms[i], &t), 0);
		assert_true(t == NOV_6_1994);
	}
	assert_int_equal(date_of("Thu, 29 Feb 2024 23:59:60 GMT", &t), 0);
	assert_true(t == 1709251200);
	assert_int_equal(date_of("Wednesday, 31-Dec-69 00:00:00 GMT", &t), 0);
	assert_true(t == INT64_C(3155673600)); /* 2069 */
	assert_int_equal(date_of("Thursday, 01-Jan-70 00:00:01 GMT", &t), 0);
	assert_true(t == 1);
}

static void nonsense_dates_are_refused(void **state)
{
	static const char *const bad[] = {"", "0", "Sun", "Sun, ", "Sun, 06 Nov 1994",
		"Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 UTC",
		"Sun, 6 Nov 1994 08:49:37 GMT", "Sun, 31 Nov 1994 08:49:37 GMT",
		"Sun, 00 Nov 1994 08:49:37 GMT", "Thu, 29 Feb 2023 00:00:00 GMT",
		"Sun, 06 Nov 1994 24:00:00 GMT", "Sun, 06 Nov 1994 08:60:00 GMT",
		"Sun, 06 Nov 1994 08:00:61 GMT", "Sun, 06 Nop 1994 08:49:37 GMT",
		"Sux, 06 Nov 1994 08:49:37 GMT", "Sunday Nov  6 08:49:37 1994",
		"Sunday, 06 Nov 1994 08:49:37 GMT", "Sun, 06-Nov-94 08:49:37 GMT"};
	int64_t t = 5;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (date_of(bad[i], &t) != -EBADMSG)
			fail_msg("'%s' passed", bad[i]);
	assert_int_equal(t, 5);
}

static void an_answer_is_read(void **state)
{
	static const char hex[] =
		"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
	char identity[128] = "X-Amz-Meta-Larder-Identity: ";
	strcat(identity, hex);
	struct http_fields f = FIELDS("HTTP/1.1 206 Partial Content",
		"ETag:\t \"abc\" \t", "x-amz-version-id: null", identity,
		"x-amz-meta-larder-nonce: 0123456789abcdef0123456789abcdef",
		"content-range: bytes 0-9/100", "Content-Length: 10",
		"Date: Sun, 06 Nov 1994 08:49:37 GMT",
		"Last-Modified: Sun Nov  6 08:49:37 1994",
		"x-amz-bucket-region: eu-west-3", "Location: https://h/p?q",
		"Server: larder-test", "");
	char seen[DIGEST_HEX_SIZE];
	assert_false(f.malformed);
	assert_string_equal(f.etag, "\"abc\"");
	assert_string_equal(f.version_id, "null");
	assert_string_equal(f.nonce, "0123456789abcdef0123456789abcdef");
	assert_true(f.has_identity);
	digest_hex(&f.identity, seen);
	assert_string_equal(seen, hex);
	assert_true(f.content_range.present && f.content_range.total == 100);
	assert_true(f.has_content_length && f.content_length == 10);
	assert_true(f.has_date && f.date_s == NOV_6_1994);
	assert_true(f.last_modified_s == NOV_6_1994);
	assert_string_equal(f.bucket_region, "eu-west-3");
	assert_string_equal(f.location, "https://h/p?q");
}

static void an_empty_answer_has_nothing(void **state)
{
	struct http_fields f = FIELDS("HTTP/1.1 200 OK", "Colonless", "");
	struct http_fields none;
	http_fields_init(&none);
	assert_memory_equal(&f, &none, sizeof(f));
}

static void etags_are_checked(void **state)
{
	static const char *const good[] = {
		"ETag: \"\"", "ETag: W/\"x\"", "ETag: \"\x80\xff\"", "etag:\"a-b/c\""};
	static const char *const bad[] = {"ETag: abc", "ETag: \"abc", "ETag: abc\"",
		"ETag:", "ETag: \"", "ETag: w/\"x\"", "ETag: \"a\"b\"", "ETag: \"a b\"",
		"ETag: \"a\x7f\"", "ETag: \"a\", \"b\""};
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_false(FIELDS(good[i]).malformed);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct http_fields f = FIELDS(bad[i]);
		if (!f.malformed || f.etag[0])
			fail_msg("'%s' passed", bad[i]);
	}
	assert_true(etag_is_strong("\"a\""));
	assert_false(etag_is_strong("W/\"a\""));
	assert_false(etag_is_strong(""));
}

static void an_etag_at_its_cap_passes_and_past_it_not(void **state)
{
	char line[PIN_ETAG_SIZE + 64] = "ETag: \"";
	size_t head = strlen(line);
	memset(line + head, 'e', PIN_ETAG_SIZE);
	line[head + PIN_ETAG_SIZE - 3] = '"';
	struct http_fields f;
	http_fields_init(&f);
	http_fields_add(&f, line, head + PIN_ETAG_SIZE - 2);
	assert_false(f.malformed);
	assert_int_equal(strlen(f.etag), PIN_ETAG_SIZE - 1);
	line[head + PIN_ETAG_SIZE - 3] = 'e';
	line[head + PIN_ETAG_SIZE - 2] = '"';
	http_fields_init(&f);
	http_fields_add(&f, line, head + PIN_ETAG_SIZE - 1);
	assert_true(f.malformed);
	assert_string_equal(f.etag, "");
}

static void a_repeated_field_must_agree(void **state)
{
	static const char *const pairs[][2] = {
		{"ETag: \"a\"", "ETag: \"b\""},
		{"ETag: \"a\"", "ETag: \"ab\""},
		{"x-amz-version-id: 1", "x-amz-version-id: 2"},
		{"Content-Length: 1", "Content-Length: 2"},
		{"Content-Range: bytes 0-1/2", "Content-Range: bytes 0-1/3"},
		{"Content-Range: bytes 0-1/2", "Content-Range: bytes 0-1/*"},
		{"x-amz-meta-larder-nonce: 0123456789abcdef0123456789abcdef",
			"x-amz-meta-larder-nonce: 1123456789abcdef0123456789abcdef"},
	};
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		assert_false(FIELDS(pairs[i][0], pairs[i][0]).malformed);
		assert_true(FIELDS(pairs[i][0], pairs[i][1]).malformed);
	}
}

static void bad_pinning_fields_are_seen(void **state)
{
	static const char *const bad[] = {"Content-Length: -1", "Content-Length: 1, 1",
		"Content-Length:", "Content-Length: 99999999999999999999",
		"Content-Range: bytes */*", "Content-Range:", "x-amz-version-id: a b",
		"x-amz-version-id:", "x-amz-meta-larder-nonce: short",
		"x-amz-meta-larder-identity: short", "ETag : abc",
		("x-amz-meta-larder-identity: "
		 "ga7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (!FIELDS(bad[i]).malformed)
			fail_msg("'%s' passed", bad[i]);
}

static void a_fold_is_blamed_on_its_field(void **state)
{
	assert_true(FIELDS("ETag: \"a\"", " \"b\"").malformed);
	assert_true(FIELDS("ETag: \"a\"", "\tx", "").malformed);
	assert_false(FIELDS("Server: a", " b").malformed);
	assert_false(FIELDS("ETag: \"a\"", "Server: a", " b").malformed);
}

static void other_fields_are_forgiven(void **state)
{
	char location[LOCATION_SIZE + 32] = "Location: ";
	memset(location + strlen(location), 'l', LOCATION_SIZE);
	struct http_fields f = FIELDS("Date: yesterday", "Last-Modified: 0",
		"Retry-After: soon", "x-amz-bucket-region: a.b",
		"x-amz-bucket-region:", location, "Location: a b", "Retry-After:");
	struct http_fields none;
	http_fields_init(&none);
	assert_memory_equal(&f, &none, sizeof(f));
	f = FIELDS("Date: Sun, 06 Nov 1994 08:49:37 GMT",
		"Date: Sun, 06 Nov 1994 08:49:38 GMT");
	assert_true(f.date_s == NOV_6_1994 && !f.malformed);
}

static void retry_after_is_a_delay_or_a_date(void **state)
{
	struct http_fields f = FIELDS("Retry-After: 120");
	assert_true(f.has_retry_after && !f.retry_after_is_date);
	assert_int_equal(f.retry_after_s, 120);
	f = FIELDS("Retry-After: Sun, 06 Nov 1994 08:49:37 GMT");
	assert_true(f.has_retry_after && f.retry_after_is_date);
	assert_true(f.retry_after_s == NOV_6_1994);
	f = FIELDS("Retry-After: 99999999999999999999999");
	assert_true(f.has_retry_after && f.retry_after_s == RETRY_AFTER_MAX);
	f = FIELDS("Retry-After: 2147483648");
	assert_true(f.has_retry_after && f.retry_after_s == RETRY_AFTER_MAX);
	assert_false(FIELDS("Retry-After: -1").has_retry_after);
	assert_false(FIELDS("Retry-After: 1.5").has_retry_after);
}

static void a_date_that_no_clock_shows_is_none(void **state)
{
	assert_false(FIELDS("Date: Mon, 01 Jan 0001 00:00:00 GMT").has_date);
	assert_false(FIELDS("Date: Wed, 31 Dec 1969 23:59:59 GMT").has_date);
	assert_true(FIELDS("Date: Thu, 01 Jan 1970 00:00:00 GMT").has_date);
	assert_true(FIELDS("Date: Tue, 31 Dec 2999 23:59:59 GMT").has_date);
	assert_false(FIELDS("Date: Wed, 01 Jan 3000 00:00:00 GMT").has_date);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(content_ranges_are_parsed),
		cmocka_unit_test(nonsense_content_ranges_are_refused),
		cmocka_unit_test(a_range_reaches_the_last_number),
		cmocka_unit_test(the_length_given_is_kept_to),
		cmocka_unit_test(the_three_forms_of_dates_are_one_time),
		cmocka_unit_test(nonsense_dates_are_refused),
		cmocka_unit_test(a_date_that_no_clock_shows_is_none),
		cmocka_unit_test(an_answer_is_read),
		cmocka_unit_test(an_empty_answer_has_nothing),
		cmocka_unit_test(etags_are_checked),
		cmocka_unit_test(an_etag_at_its_cap_passes_and_past_it_not),
		cmocka_unit_test(a_repeated_field_must_agree),
		cmocka_unit_test(bad_pinning_fields_are_seen),
		cmocka_unit_test(a_fold_is_blamed_on_its_field),
		cmocka_unit_test(other_fields_are_forgiven),
		cmocka_unit_test(retry_after_is_a_delay_or_a_date),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
