#include "tests/unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fetch/base/cleanup.h"
#include "fetch/base/io.h"
#include "fetch/ini.h"

static struct ini parse(const char *text)
{
	struct ini ini;
	struct error e = {0};
	int r = ini_parse("test.ini", text, strlen(text), &ini, &e);
	if (r < 0)
		print_error("%s\n", e.text);
	assert_int_equal(r, 0);
	return ini;
}

static void assert_value(const struct ini *ini, const char *section, const char *key,
	const char *subkey, const char *expected)
{
	const char *value = ini_get(ini, section, key, subkey);
	if (!expected) {
		assert_null(value);
		return;
	}
	assert_non_null(value);
	assert_string_equal(value, expected);
}

static void properties_belong_to_sections(void **state)
{
	CLEANUP(ini_finish)
	struct ini ini =
		parse("[default]\nregion = a\n\n[profile ci]\nregion=b\nOutput : x\n"
		      "[ profile two ]\nregion =c=d:e\n[empty]\n");
	assert_value(&ini, "default", "region", NULL, "a");
	assert_value(&ini, "profile ci", "region", NULL, "b");
	assert_value(&ini, "profile ci", "OUTPUT", NULL, "x");
	assert_value(&ini, "profile two", "Region", NULL, "c=d:e");
	assert_value(&ini, "empty", "region", NULL, NULL);
	assert_value(&ini, "Default", "region", NULL, NULL);
	assert_value(&ini, "default", "regio", NULL, NULL);
}

static void section_names_are_tidied(void **state)
{
	CLEANUP(ini_finish)
	struct ini ini = parse("[\t profile \t  a ]\nk=1\n[profile \"b  c\"]\nk=2\n"
			       "[profile 'd\"e']\nk=3\n[profile \"f]\nk=4\n");
	assert_value(&ini, "profile a", "k", NULL, "1");
	assert_value(&ini, "profile b  c", "k", NULL, "2");
	assert_value(&ini, "profile d\"e", "k", NULL, "3");
	assert_value(&ini, "profile f", "k", NULL, "4");
}

static void properties_can_have_properties(void **state)
{
	CLEANUP(ini_finish)
	struct ini ini = parse("[profile x]\ns3 =\n  addressing_style = path\n\n"
			       "\t# why\n\tendpoint_url = http://h:1\nregion = r\n"
			       "[services y]\ns3 = # none\n  endpoint_url = http://i\n"
			       "sts =\n  endpoint_url = http://j\n");
	assert_value(&ini, "profile x", "s3", NULL, "");
	assert_value(&ini, "profile x", "s3", "addressing_style", "path");
	assert_value(&ini, "profile x", "S3", "Endpoint_URL", "http://h:1");
	assert_value(&ini, "profile x", "endpoint_url", NULL, NULL);
	assert_value(&ini, "profile x", "region", NULL, "r");
	assert_value(&ini, "services y", "s3", "endpoint_url", "http://i");
	assert_value(&ini, "services y", "sts", "endpoint_url", "http://j");
	assert_value(&ini, "services y", "s3", "region", NULL);
}

static void comments_are_not_values(void **state)
{
	CLEANUP(ini_finish)
	struct ini ini = parse("# c\n; c\n  # c\n[a] ; c\n#k = v\nx = 1 # c\ny = 1;2#3\n"
			       "z = a ;b\nsecret =#not a comment\nnone = # c\n");
	assert_value(&ini, "a", "#k", NULL, NULL);
	assert_value(&ini, "a", "x", NULL, "1");
	assert_value(&ini, "a", "y", NULL, "1;2#3");
	assert_value(&ini, "a", "z", NULL, "a");
	assert_value(&ini, "a", "secret", NULL, "#not a comment");
	assert_value(&ini, "a", "none", NULL, "");
}

static void an_indented_line_goes_on_with_a_value(void **state)
{
	CLEANUP(ini_finish)
	struct ini ini = parse("[a]\nk = one\n   two = 2 # c\n\n\tthree\nl = x\n");
	assert_value(&ini, "a", "k", NULL, "one\ntwo = 2\nthree");
	assert_value(&ini, "a", "l", NULL, "x");
}

static void an_indented_line_can_begin_a_section(void **state)
{
	CLEANUP(ini_finish) struct ini ini = parse("[a]\nk =\n[b]\n  k = v\n  l = w\n");
	assert_value(&ini, "a", "k", NULL, "");
	assert_value(&ini, "b", "k", NULL, "v\nl = w");
}

static void of_equal_ones_the_last_counts(void **state)
{
	CLEANUP(ini_finish)
	struct ini ini = parse("[a]\nk=1\nk=2\n[b]\nk=3\n[a]\nK=4\nl=5\n");
	assert_value(&ini, "a", "k", NULL, "4");
	assert_value(&ini, "a", "l", NULL, "5");
	assert_value(&ini, "b", "k", NULL, "3");
}

static void windows_files_read_the_same(void **state)
{
	CLEANUP(ini_finish)
	struct ini ini = parse("\xef\xbb\xbf[a]\r\nk = v \t\r\n\r\ns3=\r\n  x = y\r\n");
	assert_value(&ini, "a", "k", NULL, "v");
	assert_value(&ini, "a", "s3", "x", "y");
}

static void the_last_line_needs_no_end(void **state)
{
	CLEANUP(ini_finish) struct ini ini = parse("[a]\nk=v");
	assert_value(&ini, "a", "k", NULL, "v");
	CLEANUP(ini_finish) struct ini nothing = parse("");
	assert_value(&nothing, "a", "k", NULL, NULL);
}

static void long_tokens_stay_whole(void **state)
{
	size_t len = 20000;
	CLEANUP(cleanup_free) char *text = calloc(1, len + 100);
	strcpy(text, "[default]\naws_session_token = ");
	char *token = text + strlen(text);
	memset(token, 'T', len);
	strcat(token, "\n");
	CLEANUP(ini_finish) struct ini ini = parse(text);
	token[len] = '\0';
	assert_value(&ini, "default", "aws_session_token", NULL, token);
}

static void what_cannot_be_read_names_its_line(void **state)
{
	static const struct {
		const char *text, *line;
	} cases[] = {
		{"k = v\n", "line 1 "},
		{"\n\n[a\nk=v\n", "line 3 "},
		{"[a] b\n", "line 1 "},
		{"[]\n", "line 1 "},
		{"[ \t]\n", "line 1 "},
		{"[a]\nsesame\n", "line 2 "},
		{"[a]\n= sesame\n", "line 2 "},
		{"[a]\ns3 =\n  sesame\n", "line 3 "},
		{"[a]\ns3 =\n  x = 1\n  sesame\n", "line 4 "},
		{"\xff\xfe[\n", "line 1 "},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ini ini;
		struct error e = {0};
		assert_int_equal(ini_parse("some.ini", cases[i].text,
					 strlen(cases[i].text), &ini, &e),
			-EINVAL);
		assert_int_equal(
			strncmp(e.text, cases[i].line, strlen(cases[i].line)), 0);
		assert_non_null(strstr(e.text, "'some.ini'"));
		assert_null(strstr(e.text, "sesame"));
	}
}

static void binary_files_are_refused(void **state)
{
	struct ini ini;
	assert_int_equal(ini_parse("x", "[a]\nk=v\0w", 9, &ini, NULL), -EINVAL);
	assert_int_equal(ini_parse("x", "[\0a\0]\0", 6, &ini, NULL), -EINVAL);
}

static void caps_are_kept(void **state)
{
	CLEANUP(cleanup_free) char *text = malloc(INI_TEXT_MAX + 1);
	struct ini ini;
	memset(text, '\n', INI_TEXT_MAX + 1);
	assert_int_equal(ini_parse("x", text, INI_TEXT_MAX + 1, &ini, NULL), -EFBIG);
	assert_int_equal(ini_parse("x", text, INI_TEXT_MAX, &ini, NULL), 0);
	ini_finish(&ini);
	memcpy(text, "[a]\n", 4);
	for (size_t i = 0; i <= INI_ENTRIES_MAX; i++)
		memcpy(text + 4 + 3 * i, "k=\n", 3);
	size_t len = 4 + 3 * INI_ENTRIES_MAX;
	struct error e = {0};
	assert_int_equal(ini_parse("x", text, len + 3, &ini, &e), -EFBIG);
	assert_non_null(strstr(e.text, "16384"));
	assert_int_equal(ini_parse("x", text, len, &ini, NULL), 0);
	ini_finish(&ini);
}

static void files_are_loaded(void **state)
{
	char path[] = "/tmp/test_ini_XXXXXX";
	struct ini ini;
	struct error e = {0};
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write_fully(fd, "[a]\nk=v\n", 8), 0);
	assert_int_equal(ini_load(path, &ini, NULL), 0);
	assert_value(&ini, "a", "k", NULL, "v");
	ini_finish(&ini);
	assert_int_equal(ftruncate(fd, INI_TEXT_MAX + 1), 0);
	assert_int_equal(ini_load(path, &ini, &e), -EFBIG);
	close(fd);
	unlink(path);
	assert_int_equal(ini_load(path, &ini, &e), -ENOENT);
	assert_non_null(strstr(e.text, path));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(properties_belong_to_sections),
		cmocka_unit_test(section_names_are_tidied),
		cmocka_unit_test(properties_can_have_properties),
		cmocka_unit_test(comments_are_not_values),
		cmocka_unit_test(an_indented_line_goes_on_with_a_value),
		cmocka_unit_test(an_indented_line_can_begin_a_section),
		cmocka_unit_test(of_equal_ones_the_last_counts),
		cmocka_unit_test(windows_files_read_the_same),
		cmocka_unit_test(the_last_line_needs_no_end),
		cmocka_unit_test(long_tokens_stay_whole),
		cmocka_unit_test(what_cannot_be_read_names_its_line),
		cmocka_unit_test(binary_files_are_refused),
		cmocka_unit_test(caps_are_kept),
		cmocka_unit_test(files_are_loaded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
