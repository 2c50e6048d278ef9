#include "tests/unit/test.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fetch/base/cleanup.h"
#include "fetch/origin.h"

static void origins_become_canonical(void **state)
{
	static const char *const cases[][2] = {
		{"http://host", "http://host"},
		{"HTTPS://Minio.Example:9000/", "https://minio.example:9000"},
		{"http://host:80", "http://host"},
		{"https://host:443", "https://host"},
		{"http://host:443", "http://host:443"},
		{"http://host:00080", "http://host"},
		{"http://127.0.0.1:1", "http://127.0.0.1:1"},
		{"http://[::1]:65535", "http://[::1]:65535"},
		{"https://[FE80::1]", "https://[fe80::1]"},
		{"https://under_score-1.example.", "https://under_score-1.example."},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CLEANUP(cleanup_free) char *origin = NULL;
		assert_int_equal(origin_parse(cases[i][0], &origin, NULL), 0);
		assert_string_equal(origin, cases[i][1]);
		assert_string_equal(origin_authority(origin), strstr(origin, "//") + 2);
	}
}

static void what_is_no_origin_is_refused(void **state)
{
	static const char *const cases[] = {"", "host", "host:9000", "ftp://host",
		"http:", "http:/host", "http://", "http:///", "http://:80",
		"http://host:", "http://host:0", "http://host:65536",
		"http://host:99999999999", "http://host:8x", "http://ho st",
		"http://ho\tst", "http://host\r\n", "http://h\xc3\xa4us", "http://a..b",
		"http://.a", "http://[::1", "http://[]", "http://[::1]x", "http://[::g]",
		"http://[fe80::1%25eth0]", "http://host/path", "http://host//",
		"http://host?", "http://host#", "http://%68ost"};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct error e = {0};
		char *origin = NULL;
		assert_int_equal(origin_parse(cases[i], &origin, &e), -EINVAL);
		assert_null(origin);
		assert_int_equal(e.text[0], '\'');
	}
}

static void a_long_host_is_refused(void **state)
{
	char url[ORIGIN_HOST_MAX + 16] = "http://";
	memset(url + 7, 'h', ORIGIN_HOST_MAX + 1);
	char *origin = NULL;
	assert_int_equal(origin_parse(url, &origin, NULL), -EINVAL);
	url[7 + ORIGIN_HOST_MAX] = '\0';
	assert_int_equal(origin_parse(url, &origin, NULL), 0);
	assert_string_equal(origin, url);
	free(origin);
}

static void what_follows_is_told(void **state)
{
	CLEANUP(cleanup_free) char *origin = NULL;
	const char *rest;
	assert_int_equal(origin_split("https://h:1/a/b?c#d", &origin, &rest, NULL), 0);
	assert_string_equal(origin, "https://h:1");
	assert_string_equal(rest, "/a/b?c#d");
}

static void passwords_are_refused_and_never_shown(void **state)
{
	static const char *const urls[] = {"https://me:sesame@host",
		"http://sesame@host/a", "https://me:pa/ss?sesame@host",
		"https://me%3Asesame%40host", "https://me:sesame@a@host",
		"https://host?X-Amz-Signature=sesame", "nonsense://me:sesame@host"};
	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
		struct error e = {0};
		char *origin = NULL;
		assert_int_equal(origin_parse(urls[i], &origin, &e), -EINVAL);
		assert_null(strstr(e.text, "sesame"));
		assert_non_null(strstr(e.text, "host"));
	}
}

static void a_url_is_shown_short(void **state)
{
	char shown[URL_DISPLAY_SIZE], url[2000] = "s3://bucket/";
	url_display("s3://bucket/prefix?region=x", shown);
	assert_string_equal(shown, "s3://bucket/prefix...");
	url_display("./plain", shown);
	assert_string_equal(shown, "./plain");
	memset(url + 12, 'x', sizeof(url) - 13);
	url_display(url, shown);
	assert_true(strlen(shown) < URL_DISPLAY_SIZE);
	assert_string_equal(shown + strlen(shown) - 3, "...");
	memset(url, 's', 1000);
	memcpy(url + 1000, "://me@", 6);
	url_display(url, shown);
	assert_true(strlen(shown) < URL_DISPLAY_SIZE);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(origins_become_canonical),
		cmocka_unit_test(what_is_no_origin_is_refused),
		cmocka_unit_test(a_long_host_is_refused),
		cmocka_unit_test(what_follows_is_told),
		cmocka_unit_test(passwords_are_refused_and_never_shown),
		cmocka_unit_test(a_url_is_shown_short),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
