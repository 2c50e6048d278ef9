#include "tests/unit/test.h"

#include <stdlib.h>
#include <string.h>

#include "archive/glob.h"

static void assert_matches(const char *pattern, const char *text)
{
	if (!glob_match(pattern, text))
		fail_msg("'%s' should match '%s'", pattern, text);
}

static void assert_differs(const char *pattern, const char *text)
{
	if (glob_match(pattern, text))
		fail_msg("'%s' should not match '%s'", pattern, text);
}

static void plain_text_matches_itself(void **state)
{
	assert_matches("", "");
	assert_matches("a/b.c", "a/b.c");
	assert_differs("a", "");
	assert_differs("", "a");
	assert_differs("a/b", "a/bc");
	assert_differs("a/bc", "a/b");
	assert_differs("A", "a");
}

static void a_star_stays_within_a_name(void **state)
{
	assert_matches("*", "");
	assert_matches("*", "abc");
	assert_matches("*.o", ".o");
	assert_matches("*.o", "x.o.o");
	assert_matches("a*c*e", "abcde");
	assert_matches("*/*.c", "src/x.c");
	assert_differs("*", "a/b");
	assert_differs("*.c", "src/x.c");
	assert_differs("src/*.c", "src/sub/x.c");
	assert_differs("a*c", "abcd");
	assert_matches("*aab", "aaaab");
}

static void two_stars_cross_slashes(void **state)
{
	assert_matches("**", "a/b/c");
	assert_matches("a/**", "a/b/c");
	assert_matches("**/c", "a/b/c");
	assert_matches("**/c", "c");
	assert_matches("a/**/c", "a/c");
	assert_matches("a/**/c", "a/x/y/c");
	assert_matches("a**z", "a/b/z");
	assert_matches("**/x*/**/*.c", "a/b/xy/d/e.c");
	assert_matches("**/x*/**/*.c", "xy/e.c");
	assert_matches("**/*ab", "aab/xab");
	assert_differs("**/c", "a/bc");
	assert_differs("a/**/c", "a/xc");
	assert_differs("a/**", "b/a/c");
	assert_differs("a/**/b/*/c", "a/b/c");
}

static void a_question_mark_is_one_character(void **state)
{
	assert_matches("?", "x");
	assert_matches("a?c", "abc");
	assert_matches("a?c", "a\xc3\xbc"
			      "c");
	assert_matches("?", "\xff"); /* no UTF-8: a byte */
	assert_differs("?", "");
	assert_differs("?", "/");
	assert_differs("??", "\xc3\xbc");
}

static void sets_have_ranges_and_can_be_negated(void **state)
{
	assert_matches("[abc]", "b");
	assert_matches("[a-cx-z]", "y");
	assert_differs("[a-cx-z]", "d");
	assert_matches("[!a-c]", "d");
	assert_matches("[^a-c]", "d");
	assert_differs("[!a-c]", "b");
	assert_differs("[!a]", "/");
	assert_differs("[+-9]", "/");
	assert_matches("[]]", "]");
	assert_matches("[!]]", "a");
	assert_matches("[a-]", "-");
	assert_matches("[\\]x]", "]");
	assert_matches("[\xc3\xa4-\xc3\xbc]", "\xc3\xb6");
	assert_differs("[\xc3\xa4-\xc3\xbc]", "\xc3\xa3");
	assert_matches("x[0-9][0-9]*", "x42y");
}

static void an_open_set_is_a_bracket(void **state)
{
	assert_matches("[abc", "[abc");
	assert_matches("a[", "a[");
	assert_differs("[abc", "a");
}

static void a_backslash_takes_away_the_meaning(void **state)
{
	assert_matches("\\*", "*");
	assert_differs("\\*", "a");
	assert_matches("a\\?", "a?");
	assert_matches("\\[a]", "[a]");
	assert_matches("\\\\", "\\");
	assert_matches("a\\", "a\\");
}

/* Exponential matchers need longer for this than anybody waits. */
static void many_stars_are_soon_done(void **state)
{
	char text[2001];
	memset(text, 'a', 2000);
	text[2000] = '\0';
	assert_differs("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", text);
	assert_differs("**a**a**a**a**a**a**a**a**a**a**a**a**a**a**b", text);
}

static bool excluded(const char *pattern, const char *path, bool is_directory)
{
	const char *lines[] = {"never-there", pattern, NULL};
	CLEANUP(cleanup_glob_set) struct glob_set *set = NULL;
	assert_int_equal(glob_set_new(lines, &set), 0);
	return glob_set_matches(set, path, is_directory);
}

static void without_a_slash_a_name_is_meant(void **state)
{
	assert_true(excluded("*.o", "a/b/c.o", false));
	assert_true(excluded("c.o", "c.o", false));
	assert_false(excluded("b", "a/b/c.o", false));
}

static void with_a_slash_a_path_is_meant(void **state)
{
	assert_true(excluded("a/*.o", "a/c.o", false));
	assert_false(excluded("b/c.o", "a/b/c.o", false));
	assert_true(excluded("/top", "top", false));
	assert_true(excluded("./top", "top", false));
	assert_false(excluded("/top", "a/top", false));
	assert_true(excluded("**/b/c.o", "a/b/c.o", false));
}

static void a_slash_behind_means_directories(void **state)
{
	assert_true(excluded("out/", "a/out", true));
	assert_false(excluded("out/", "a/out", false));
	assert_true(excluded("a/out/", "a/out", true));
	assert_false(excluded("a/out/", "b/a/out", true));
	assert_false(excluded("/", "a", true));
	assert_false(excluded("", "a", true));
}

static void no_patterns_exclude_nothing(void **state)
{
	CLEANUP(cleanup_glob_set) struct glob_set *set = NULL;
	assert_int_equal(glob_set_new(NULL, &set), 0);
	assert_false(glob_set_matches(set, "a", false));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_text_matches_itself),
		cmocka_unit_test(a_star_stays_within_a_name),
		cmocka_unit_test(two_stars_cross_slashes),
		cmocka_unit_test(a_question_mark_is_one_character),
		cmocka_unit_test(sets_have_ranges_and_can_be_negated),
		cmocka_unit_test(an_open_set_is_a_bracket),
		cmocka_unit_test(a_backslash_takes_away_the_meaning),
		cmocka_unit_test(many_stars_are_soon_done),
		cmocka_unit_test(without_a_slash_a_name_is_meant),
		cmocka_unit_test(with_a_slash_a_path_is_meant),
		cmocka_unit_test(a_slash_behind_means_directories),
		cmocka_unit_test(no_patterns_exclude_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
