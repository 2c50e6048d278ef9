#include "tests/unit/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/base/cleanup.h"
#include "fetch/base/controls.h"
#include "fetch/base/error.h"
#include "fetch/base/json_out.h"

static const struct {
	const char *text, *want;
} cases[] = {
	{"", ""},
	{"plain ~", "plain ~"},
	{"\x1b[31m\t\n\x01\x7f", "?[31m????"},
	{"a\xc2\x9b"
	 "31mb",
		"a??31mb"},
	{"\xc2\x80\xc2\x9f\xc2\xa0", "????\xc2\xa0"},
	{"\xc3\x9b\xe2\x86\x92\xf0\x9f\x8d\x9e", "\xc3\x9b\xe2\x86\x92\xf0\x9f\x8d\x9e"},
	{"cut off \xc2", "cut off \xc2"},
	{"\xc2\x1b", "\xc2?"},
};

#define CASES (sizeof(cases) / sizeof(cases[0]))

static void they_are_blotted_and_nothing_else_is(void **state)
{
	for (size_t i = 0; i < CASES; i++) {
		char text[64];
		snprintf(text, sizeof(text), "%s", cases[i].text);
		controls_blot(text, strlen(text));
		assert_string_equal(text, cases[i].want);
	}
}

static void what_lies_behind_the_end_is_not_looked_at(void **state)
{
	char text[] = "\xc2\x9b\x1b";
	controls_blot(text, 1);
	assert_string_equal(text, "\xc2\x9b\x1b");
}

static void no_sentence_holds_one(void **state)
{
	for (size_t i = 0; i < CASES; i++) {
		struct error e = {0};
		char want[64];
		error_set(&e, -1, "'%s'", cases[i].text);
		snprintf(want, sizeof(want), "'%s'", cases[i].want);
		assert_string_equal(e.text, want);
	}
}

static void json_escapes_them(void **state)
{
	CLEANUP(cleanup_free) char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	json_string(out, "\x1b\x7f\xc2\x9b\xc2\xa0");
	fclose(out);
	assert_string_equal(text, "\"\\u001b\\u007f\\u009b\xc2\xa0\"");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(they_are_blotted_and_nothing_else_is),
		cmocka_unit_test(what_lies_behind_the_end_is_not_looked_at),
		cmocka_unit_test(no_sentence_holds_one),
		cmocka_unit_test(json_escapes_them),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
