#include "tests/unit/test.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fetch/credentials.h"

static int from_json(const char *text, struct credentials *ret)
{
	return credentials_from_json(text, strlen(text), "Token", ret);
}

static void a_service_answer_is_read(void **state)
{
	struct credentials c;
	assert_int_equal(from_json("{\"Code\":\"Success\",\"AccessKeyId\":\"ASIA1\","
				   "\"SecretAccessKey\":\"se/cr+et\",\"Token\":\"to==\","
				   "\"Expiration\":\"2024-05-06T07:08:09Z\"}",
				 &c),
		0);
	assert_string_equal(c.access_key, "ASIA1");
	assert_string_equal(c.secret_key, "se/cr+et");
	assert_string_equal(c.session_token, "to==");
	assert_int_equal(c.expires_s, 1714979289);
}

static void token_and_expiry_may_be_missing(void **state)
{
	struct credentials c;
	assert_int_equal(from_json("{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"S\","
				   "\"Token\":null,\"SessionToken\":\"other\"}",
				 &c),
		0);
	assert_string_equal(c.session_token, "");
	assert_true(c.expires_s == CREDS_NO_EXPIRY);
}

static void broken_answers_are_refused(void **state)
{
	static const char *const texts[] = {"", "{}", "[]", "{\"AccessKeyId\":\"A\"}",
		"{\"SecretAccessKey\":\"S\"}",
		"{\"AccessKeyId\":\"\",\"SecretAccessKey\":\"S\"}",
		"{\"AccessKeyId\":1,\"SecretAccessKey\":\"S\"}",
		"{\"AccessKeyId\":\"A\\r\\nX: y\",\"SecretAccessKey\":\"S\"}",
		"{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"S\",\"Token\":\"a b\"}",
		"{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"S\",\"Token\":7}",
		"{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"S\",\"Expiration\":"
		"\"soon\"}",
		"{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"S\",\"Expiration\":"
		"1714979289}"};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct credentials c = {.access_key = "kept"};
		assert_int_equal(from_json(texts[i], &c), -EBADMSG);
		assert_string_equal(c.access_key, "kept");
	}
}

static void caps_are_kept(void **state)
{
	static char longest[CREDS_TOKEN_MAX + 1];
	struct credentials c;
	memset(longest, 'x', CREDS_TOKEN_MAX);
	assert_int_equal(credentials_set(&c, "A", "S", longest, 1), -EBADMSG);
	longest[CREDS_TOKEN_MAX - 1] = '\0';
	assert_int_equal(credentials_set(&c, "A", "S", longest, 1), 0);
	assert_string_equal(c.session_token, longest);
	longest[CREDS_KEY_MAX] = '\0';
	assert_int_equal(credentials_set(&c, longest, "S", NULL, 1), -EBADMSG);
	assert_int_equal(credentials_set(&c, "A", longest, NULL, 1), -EBADMSG);
	longest[CREDS_KEY_MAX - 1] = '\0';
	assert_int_equal(credentials_set(&c, longest, longest, NULL, 1), 0);
	assert_string_equal(c.session_token, "");
}

static void keys_must_fit_into_a_header_line(void **state)
{
	static const char *const wrong[] = {
		"", "a b", "a\tb", "a\nb", "a\r", "\x7f", "\xc3\xa4", " a"};
	struct credentials c;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_int_equal(credentials_set(&c, wrong[i], "S", "T", 1), -EBADMSG);
		assert_int_equal(credentials_set(&c, "A", wrong[i], "T", 1), -EBADMSG);
		assert_int_equal(credentials_set(&c, "A", "S", wrong[i], 1),
			*wrong[i] ? -EBADMSG : 0);
	}
}

static void equality_is_of_keys(void **state)
{
	struct credentials a, b;
	assert_int_equal(credentials_set(&a, "A", "S", "T", 1), 0);
	assert_int_equal(credentials_set(&b, "A", "S", "T", 2), 0);
	assert_true(credentials_equal(&a, &b));
	assert_int_equal(credentials_set(&b, "A", "S", "U", 1), 0);
	assert_false(credentials_equal(&a, &b));
	assert_int_equal(credentials_set(&b, "A", "X", "T", 1), 0);
	assert_false(credentials_equal(&a, &b));
	assert_int_equal(credentials_set(&b, "AB", "S", "T", 1), 0);
	assert_false(credentials_equal(&a, &b));
	credentials_wipe(&b);
	assert_string_equal(b.access_key, "");
	assert_string_equal(b.secret_key, "");
	assert_string_equal(b.session_token, "");
}

static void timestamps_are_rfc3339(void **state)
{
	static const struct {
		const char *text;
		int64_t s;
	} right[] = {{"1970-01-01T00:00:00Z", 0}, {"2024-05-06T07:08:09Z", 1714979289},
		{"2024-05-06T07:08:09.123456Z", 1714979289},
		{"2024-05-06T09:08:09+02:00", 1714979289},
		{"2024-05-06T01:38:09-0530", 1714979289},
		{"9999-12-31T23:59:59Z", 253402300799}};
	static const char *const wrong[] = {"", "now", "2024-05-06",
		"2024-05-06 07:08:09Z", "2024-05-06T07:08:09", "2024-05-06T07:08:09z",
		"2024-05-06T07:08:09ZZ", "2024-13-06T07:08:09Z", "2024-05-06T25:08:09Z",
		"2024-05-06T07:08:09+2", "2024-05-06T07:08:09+24:00",
		"2024-05-06T07:08:09+02:60", "2024-05-06T07:08:09+02:0x",
		"2024-05-06T07:08:09+02:001", " 2024-05-06T07:08:09Z",
		"12024-05-06T07:08:09Z", "-024-05-06T07:08:09Z"};
	int64_t s = 42;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(parse_timestamp(wrong[i], &s), -EBADMSG);
	assert_int_equal(s, 42);
	for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
		assert_int_equal(parse_timestamp(right[i].text, &s), 0);
		assert_int_equal(s, right[i].s);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_service_answer_is_read),
		cmocka_unit_test(token_and_expiry_may_be_missing),
		cmocka_unit_test(broken_answers_are_refused),
		cmocka_unit_test(caps_are_kept),
		cmocka_unit_test(keys_must_fit_into_a_header_line),
		cmocka_unit_test(equality_is_of_keys),
		cmocka_unit_test(timestamps_are_rfc3339),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
