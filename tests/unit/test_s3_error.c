#include "tests/unit/test.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fetch/aws_origin.h"
#include "fetch/s3_error.h"

static int parse(const char *text, struct s3_error *ret)
{
	return s3_error_parse(text, strlen(text), ret);
}

static void an_error_document_is_read(void **state)
{
	struct s3_error e;
	assert_int_equal(parse("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
			       "<Error><Code>AuthorizationHeaderMalformed</Code>"
			       "<Message>the region 'us-east-1' is wrong; expecting "
			       "'eu-west-3'</Message><Region>eu-west-3</Region>"
			       "<RequestId>1</RequestId></Error>",
				 &e),
		0);
	assert_string_equal(e.code, "AuthorizationHeaderMalformed");
	assert_string_equal(
		e.message, "the region 'us-east-1' is wrong; expecting 'eu-west-3'");
	assert_string_equal(e.region, "eu-west-3");
}

static void blanks_before_it_and_other_wrappings_are_borne(void **state)
{
	struct s3_error e;
	assert_int_equal(parse("  \n\r\n<Error><Code>SlowDown</Code></Error>", &e), 0);
	assert_string_equal(e.code, "SlowDown");
	assert_string_equal(e.message, "");
	assert_int_equal(
		parse("<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/\"><Error>"
		      "<Type>Sender</Type><Code>ExpiredTokenException</Code></Error>"
		      "</ErrorResponse>",
			&e),
		0);
	assert_string_equal(e.code, "ExpiredTokenException");
}

static void a_cut_document_still_has_its_code(void **state)
{
	struct s3_error e;
	assert_int_equal(parse("<Error><Code>SlowDown</Code><Message>Ple", &e), 0);
	assert_string_equal(e.code, "SlowDown");
	assert_string_equal(e.message, "");
}

static void what_is_no_error_document_is_refused(void **state)
{
	static const char *const bad[] = {"", "<html><body>503</body></html>", "<Error/>",
		"<Error><Code></Code></Error>", "<Error><Code>Slow Down\n</Code></Error>",
		"<Error><Code>Sl", "<Error><Error><Code>A</Code></Error></Error>",
		"<Errors><Code>A</Code></Errors>", "<Code>A</Code>",
		"<!DOCTYPE x [<!ENTITY a 'b'>]><Error><Code>&a;</Code></Error>",
		"<Error><Code>"
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
		"</Code></Error>"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct s3_error e, none = {0};
		memset(&e, 'x', sizeof(e));
		if (parse(bad[i], &e) != -EBADMSG)
			fail_msg("'%s' passed", bad[i]);
		assert_memory_equal(&e, &none, sizeof(e));
	}
}

static void regions_that_could_not_be_one_are_left_out(void **state)
{
	struct s3_error e;
	assert_int_equal(
		parse("<Error><Region>evil.example/</Region><Code>A.b1</Code></Error>",
			&e),
		0);
	assert_string_equal(e.region, "");
	assert_string_equal(e.code, "A.b1");
}

static void a_long_message_is_cut(void **state)
{
	char text[2 * S3_MESSAGE_SIZE];
	struct s3_error e;
	snprintf(text, sizeof(text),
		"<Error><Code>A</Code><Message>%0400d</Message></Error>", 7);
	assert_int_equal(parse(text, &e), 0);
	assert_int_equal(strlen(e.message), S3_MESSAGE_SIZE - 1);
}

/* --- where a region's S3 is ------------------------------------------------------------
 */

static void aws_hosts_change_their_region(void **state)
{
	static const char *const moved[][2] = {
		{"https://s3.us-east-1.amazonaws.com",
			"https://s3.eu-west-3.amazonaws.com"},
		{"https://s3.amazonaws.com", "https://s3.eu-west-3.amazonaws.com"},
		{"https://b.s3.amazonaws.com", "https://b.s3.eu-west-3.amazonaws.com"},
		{"https://b.s3.us-east-1.amazonaws.com",
			"https://b.s3.eu-west-3.amazonaws.com"},
		{"http://a.b.s3.us-east-1.amazonaws.com:8080",
			"http://a.b.s3.eu-west-3.amazonaws.com:8080"},
		{"https://b.s3-us-west-2.amazonaws.com",
			"https://b.s3.eu-west-3.amazonaws.com"},
		{"https://b.s3.dualstack.us-east-1.amazonaws.com",
			"https://b.s3.dualstack.eu-west-3.amazonaws.com"},
		{"https://b.s3-fips.us-east-1.amazonaws.com",
			"https://b.s3-fips.eu-west-3.amazonaws.com"},
		{"https://b.s3.cn-north-1.amazonaws.com.cn",
			"https://b.s3.eu-west-3.amazonaws.com.cn"},
		{"https://s3.s3.us-east-1.amazonaws.com",
			"https://s3.s3.eu-west-3.amazonaws.com"},
	};
	for (size_t i = 0; i < sizeof(moved) / sizeof(moved[0]); i++) {
		char got[128];
		bool changed =
			aws_origin_move(moved[i][0], "eu-west-3", got, sizeof(got));
		assert_string_equal(got, moved[i][1]);
		assert_true(changed);
	}
}

static void other_hosts_stay(void **state)
{
	static const char *const stay[] = {"http://127.0.0.1:7480",
		"https://minio.example", "https://s3.example.com",
		"https://b.s3-accelerate.amazonaws.com",
		"https://sts.us-east-1.amazonaws.com", "https://amazonaws.com",
		"https://s3.us-east-1.amazonaws.com.evil.example",
		"https://evil-amazonaws.com", "https://s3.eu-west-3.amazonaws.com"};
	for (size_t i = 0; i < sizeof(stay) / sizeof(stay[0]); i++) {
		char got[128];
		assert_false(aws_origin_move(stay[i], "eu-west-3", got, sizeof(got)));
		assert_string_equal(got, stay[i]);
	}
	char tight[36];
	assert_false(aws_origin_move(
		"https://s3.amazonaws.com", "eu-west-3-very-long", tight, sizeof(tight)));
	assert_string_equal(tight, "https://s3.amazonaws.com");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_error_document_is_read),
		cmocka_unit_test(blanks_before_it_and_other_wrappings_are_borne),
		cmocka_unit_test(a_cut_document_still_has_its_code),
		cmocka_unit_test(what_is_no_error_document_is_refused),
		cmocka_unit_test(regions_that_could_not_be_one_are_left_out),
		cmocka_unit_test(a_long_message_is_cut),
		cmocka_unit_test(aws_hosts_change_their_region),
		cmocka_unit_test(other_hosts_stay),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
