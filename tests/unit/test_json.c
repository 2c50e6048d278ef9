#include "tests/unit/test.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/base/cleanup.h"
#include "fetch/json.h"

static int get(const char *text, const char *name, char *ret, size_t size)
{
	return json_get_string(text, strlen(text), name, ret, size);
}

static void strings_are_found_and_decoded(void **state)
{
	static const char text[] =
		" { \"Code\" : \"Success\", \"a\":\"\", \"Token\":\"x\\/y+z==\",\n"
		"\"esc\":"
		"\"\\\"\\\\\\b\\f\\n\\r\\t\\u0041\\u00e4\\u20AC\\ud83c\\udf5e\xc3\xa4\","
		"\n"
		"\"\\u006eamed\":\"by escape\" }\r\n";
	char value[64];
	assert_int_equal(get(text, "Code", value, sizeof(value)), 0);
	assert_string_equal(value, "Success");
	assert_int_equal(get(text, "a", value, sizeof(value)), 0);
	assert_string_equal(value, "");
	assert_int_equal(get(text, "Token", value, sizeof(value)), 0);
	assert_string_equal(value, "x/y+z==");
	assert_int_equal(get(text, "esc", value, sizeof(value)), 0);
	assert_string_equal(
		value, "\"\\\b\f\n\r\tA\xc3\xa4\xe2\x82\xac\xf0\x9f\x8d\x9e\xc3\xa4");
	assert_int_equal(get(text, "named", value, sizeof(value)), 0);
	assert_string_equal(value, "by escape");
}

static void only_the_outer_object_is_searched(void **state)
{
	static const char text[] = "{\"o\":{\"k\":\"in\",\"l\":[1,{\"k\":\"in\"}]},"
				   "\"n\":null,\"b\":[true,false,null,[],{},-0.5e+7],"
				   "\"k\":\"out\"}";
	char value[8];
	assert_int_equal(get(text, "k", value, sizeof(value)), 0);
	assert_string_equal(value, "out");
	assert_int_equal(get(text, "l", value, sizeof(value)), -ENOENT);
	assert_int_equal(get(text, "n", value, sizeof(value)), -ENOENT);
	assert_int_equal(get(text, "K", value, sizeof(value)), -ENOENT);
	assert_int_equal(get(text, "o", value, sizeof(value)), -EBADMSG);
	assert_int_equal(get(text, "b", value, sizeof(value)), -EBADMSG);
	assert_int_equal(get("{}", "k", value, sizeof(value)), -ENOENT);
}

static void integers_are_whole(void **state)
{
	static const char text[] = "{\"v\":1,\"n\":-9223372036854775808,\"z\":0,"
				   "\"big\":9223372036854775808,\"f\":1.0,\"e\":1e1,"
				   "\"s\":\"1\",\"t\":true,\"o\":{},"
				   "\"max\":9223372036854775807}";
	static const struct {
		const char *name;
		int r;
		int64_t value;
	} cases[] = {{"v", 0, 1}, {"n", 0, INT64_MIN}, {"z", 0, 0}, {"max", 0, INT64_MAX},
		{"big", -EBADMSG, 42}, {"f", -EBADMSG, 42}, {"e", -EBADMSG, 42},
		{"s", -EBADMSG, 42}, {"t", -EBADMSG, 42}, {"o", -EBADMSG, 42},
		{"absent", -ENOENT, 42}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int64_t n = 42;
		assert_int_equal(json_get_integer(text, strlen(text), cases[i].name, &n),
			cases[i].r);
		assert_true(n == cases[i].value);
	}
}

static void what_is_not_json_is_refused(void **state)
{
	static const char *const texts[] = {"", " ", "[]", "\"k\"", "1", "null", "{", "}",
		"{\"k\"", "{\"k\":", "{\"k\":\"v\"", "{\"k\":\"v\",", "{\"k\":\"v\",}",
		"{,\"k\":\"v\"}", "{\"k\":\"v\"}}", "{\"k\":\"v\"} x", "{k:\"v\"}",
		"{'k':'v'}", "{\"k\" \"v\"}", "{\"k\":\"v\" \"l\":1}", "{\"k\":v}",
		"{\"k\":\"v}", "{\"k\":\"\\\"}", "{\"k\":\"\\x41\"}", "{\"k\":\"\\u12\"}",
		"{\"k\":\"\\u12g4\"}", "{\"k\":\"\\u0000\"}", "{\"k\":\"\\ud800\"}",
		"{\"k\":\"\\ud800\\u0041\"}", "{\"k\":\"\\udc00\"}", "{\"k\":\"a\nb\"}",
		"{\"k\":\"\t\"}", "{\"k\":01}", "{\"k\":-}", "{\"k\":1.}", "{\"k\":.5}",
		"{\"k\":1e}", "{\"k\":+1}", "{\"k\":nul}", "{\"k\":True}", "{\"k\":[1,]}",
		"{\"k\":[1 2]}", "{\"k\":[}", "{\"k\":{]}", "{\"k\":\"v\",\"k\":\"v\"}",
		"\xef\xbb\xbf{\"k\":\"v\"}", "{\"k\":\"v\"}/* c */"};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		char value[8] = "kept";
		int r = get(texts[i], "k", value, sizeof(value));
		if (r != -EBADMSG)
			print_error("%s gave %d\n", texts[i], r);
		assert_int_equal(r, -EBADMSG);
		assert_string_equal(value, "kept");
	}
}

static void nuls_are_not_json(void **state)
{
	char value[8];
	assert_int_equal(json_get_string("{\"k\":\"v\"}\0", 10, "k", value, 8), -EBADMSG);
	assert_int_equal(
		json_get_string("{\"k\":\"v\0w\"}", 11, "k", value, 8), -EBADMSG);
	assert_int_equal(json_get_string("{\0\"k\":\"v\"}", 10, "k", value, 8), -EBADMSG);
	assert_int_equal(
		json_get_string("{\"k\":\"\\\0\"}", 10, "k", value, 8), -EBADMSG);
}

static void what_does_not_fit_is_refused(void **state)
{
	char value[4] = "old";
	assert_int_equal(get("{\"k\":\"1234\"}", "k", value, sizeof(value)), -EMSGSIZE);
	assert_string_equal(value, "old");
	assert_int_equal(get("{\"k\":\"\\u00e4x\"}", "k", value, sizeof(value)), 0);
	assert_string_equal(value, "\xc3\xa4x");
	assert_int_equal(
		get("{\"k\":\"\\u20acx\"}", "k", value, sizeof(value)), -EMSGSIZE);
}

static void long_names_are_no_match(void **state)
{
	char text[200] = "{\"", value[8];
	memset(text + 2, 'n', 100);
	strcat(text, "\":\"a\",\"k\":\"b\"}");
	assert_int_equal(get(text, "k", value, sizeof(value)), 0);
	assert_string_equal(value, "b");
}

static int nested(unsigned depth)
{
	CLEANUP(cleanup_free) char *text = calloc(1, 8 * (size_t)depth + 100);
	char value[8];
	strcpy(text, "{\"x\":");
	for (unsigned i = 1; i < depth; i++)
		strcat(text, i & 1 ? "[" : "{\"x\":");
	strcat(text, "1");
	for (unsigned i = depth - 1; i >= 1; i--)
		strcat(text, i & 1 ? "]" : "}");
	strcat(text, ",\"k\":\"v\"}");
	return get(text, "k", value, sizeof(value));
}

static void nesting_has_an_end(void **state)
{
	assert_int_equal(nested(JSON_DEPTH_MAX), 0);
	assert_int_equal(nested(JSON_DEPTH_MAX + 1), -EBADMSG);
	assert_int_equal(nested(5000), -EBADMSG);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(strings_are_found_and_decoded),
		cmocka_unit_test(only_the_outer_object_is_searched),
		cmocka_unit_test(integers_are_whole),
		cmocka_unit_test(what_is_not_json_is_refused),
		cmocka_unit_test(nuls_are_not_json),
		cmocka_unit_test(what_does_not_fit_is_refused),
		cmocka_unit_test(long_names_are_no_match),
		cmocka_unit_test(nesting_has_an_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
