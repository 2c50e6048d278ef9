#include "tests/unit/test.h"

#include <errno.h>

#include "fetch/base/cleanup.h"
#include "fetch/s3_endpoint.h"

static void expect(const char *endpoint, const char *region, const char *bucket,
	int path_style, const char *scheme_host, bool in_path)
{
	CLEANUP(s3_endpoint_finish) struct s3_endpoint found = {0};
	assert_int_equal(
		s3_endpoint_find(endpoint, region, bucket, path_style, &found, NULL), 0);
	assert_string_equal(found.scheme_host, scheme_host);
	assert_int_equal(found.path_style, in_path);
}

static void at_aws_the_bucket_is_in_the_host(void **state)
{
	expect(NULL, "eu-west-1", "ci", -1, "https://ci.s3.eu-west-1.amazonaws.com",
		false);
	expect(NULL, "cn-north-1", "ci", -1, "https://ci.s3.cn-north-1.amazonaws.com.cn",
		false);
}

static void a_bucket_with_dots_is_in_the_path(void **state)
{
	expect(NULL, "eu-west-1", "ci.example", -1, "https://s3.eu-west-1.amazonaws.com",
		true);
	expect(NULL, "eu-west-1", "ci.example", 0,
		"https://ci.example.s3.eu-west-1.amazonaws.com", false);
}

static void elsewhere_the_bucket_is_in_the_path_unless_said(void **state)
{
	expect("http://localhost:9000", "r", "ci", -1, "http://localhost:9000", true);
	expect("http://localhost:9000", "r", "ci", 0, "http://ci.localhost:9000", false);
	expect(NULL, "eu-west-1", "ci", 1, "https://s3.eu-west-1.amazonaws.com", true);
}

static void the_endpoint_is_told_without_the_bucket(void **state)
{
	CLEANUP(s3_endpoint_finish) struct s3_endpoint found = {0};
	assert_int_equal(s3_endpoint_find(NULL, "eu-west-1", "ci", -1, &found, NULL), 0);
	assert_string_equal(found.endpoint, "https://s3.eu-west-1.amazonaws.com");
}

static void a_region_that_is_none_goes_into_no_host(void **state)
{
	static const char *const bad[] = {"", "a.evil.example/", "EU", "a b"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct s3_endpoint found = {0};
		assert_int_equal(
			s3_endpoint_find(NULL, bad[i], "ci", -1, &found, NULL), -EINVAL);
		assert_null(found.endpoint);
	}
}

static void a_domain_ends_at_a_dot(void **state)
{
	assert_true(s3_endpoint_is_below("https://s3.eu.amazonaws.com", "amazonaws.com"));
	assert_true(s3_endpoint_is_below("https://amazonaws.com:443", "amazonaws.com"));
	assert_true(s3_endpoint_is_below("http://a.r2.example:80", "r2.example"));
	assert_false(s3_endpoint_is_below("https://notamazonaws.com", "amazonaws.com"));
	assert_false(s3_endpoint_is_below(
		"https://amazonaws.com.evil.example", "amazonaws.com"));
	assert_false(s3_endpoint_is_below("https://com", "amazonaws.com"));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(at_aws_the_bucket_is_in_the_host),
		cmocka_unit_test(a_bucket_with_dots_is_in_the_path),
		cmocka_unit_test(elsewhere_the_bucket_is_in_the_path_unless_said),
		cmocka_unit_test(the_endpoint_is_told_without_the_bucket),
		cmocka_unit_test(a_region_that_is_none_goes_into_no_host),
		cmocka_unit_test(a_domain_ends_at_a_dot),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
