#include "tests/unit/test.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fetch/base/call.h"
#include "fetch/base/cleanup.h"
#include "fetch/settings.h"

static int begin(void **state)
{
	static struct settings s;
	for (size_t i = 0; i < settings_count; i++)
		for (const char *const *v = settings_table[i].variables; *v; v++)
			unsetenv(*v);
	unsetenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");
	settings_init(&s);
	*state = &s;
	return 0;
}

static int end(void **state)
{
	settings_finish(*state);
	return 0;
}

static void defaults_are_as_documented(void **state)
{
	struct settings *s = *state;
	assert_int_equal(settings_from_environment(s, NULL), 0);
	assert_null(s->endpoint_url);
	assert_null(s->region);
	assert_null(s->profile);
	assert_null(s->ca_bundle);
	assert_null(s->cache_dir);
	assert_false(s->path_style);
	assert_false(s->no_sign_request);
	assert_int_equal(s->concurrency, 16);
	assert_true(s->timeout_ns == 30 * NS_PER_SECOND);
	assert_true(s->stall_timeout_ns == 10 * NS_PER_SECOND);
	assert_int_equal(s->retries, 3);
	assert_true(s->cache_size == UINT64_C(10) << 30);
	for (size_t i = 0; i < settings_count; i++)
		assert_false(settings_given(s, settings_table[i].name));
}

static void options_are_set_by_name(void **state)
{
	struct settings *s = *state;
	static const char *const said[][2] = {{"endpoint-url", "HTTP://Host:9000/"},
		{"region", "eu-west-3"}, {"profile", "ci"}, {"path-style", NULL},
		{"no-sign-request", NULL}, {"ca-bundle", "/ca.pem"},
		{"concurrency", "32"}, {"timeout", "2m"}, {"stall-timeout", "500ms"},
		{"retries", "0"}, {"cache-dir", ""}, {"cache-size", "64k"}};
	assert_int_equal(sizeof(said) / sizeof(said[0]), settings_count);
	for (size_t i = 0; i < settings_count; i++) {
		assert_int_equal(settings_set(s, said[i][0], said[i][1], NULL), 0);
		assert_true(settings_given(s, said[i][0]));
	}
	assert_string_equal(s->endpoint_url, "http://host:9000");
	assert_string_equal(s->region, "eu-west-3");
	assert_string_equal(s->profile, "ci");
	assert_true(s->path_style);
	assert_true(s->no_sign_request);
	assert_string_equal(s->ca_bundle, "/ca.pem");
	assert_int_equal(s->concurrency, 32);
	assert_true(s->timeout_ns == 120 * NS_PER_SECOND);
	assert_true(s->stall_timeout_ns == 500 * NS_PER_MS);
	assert_int_equal(s->retries, 0);
	assert_string_equal(s->cache_dir, "");
	assert_true(s->cache_size == 65536);
}

static void wrong_values_are_named(void **state)
{
	struct settings *s = *state;
	static const char *const wrong[][2] = {{"timeout", "soon"}, {"timeout", "0"},
		{"timeout", ""}, {"timeout", NULL}, {"concurrency", "0"},
		{"concurrency", "1025"}, {"concurrency", "-1"}, {"retries", "101"},
		{"cache-size", "10X"}, {"region", "a b"}, {"region", ""}, {"profile", ""},
		{"ca-bundle", NULL}, {"endpoint-url", "localhost"},
		{"path-style", "yes"}};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct error e = {0};
		assert_int_equal(settings_set(s, wrong[i][0], wrong[i][1], &e), -EINVAL);
		assert_int_equal(strncmp(e.text, "--", 2), 0);
		assert_non_null(strstr(e.text, wrong[i][0]));
		assert_false(settings_given(s, wrong[i][0]));
	}
	assert_int_equal(settings_set(s, "bucket", "b", NULL), -ENOENT);
}

static void a_wrong_value_leaves_the_old_one(void **state)
{
	struct settings *s = *state;
	assert_int_equal(settings_set(s, "region", "first", NULL), 0);
	assert_int_equal(settings_set(s, "region", "not one!", NULL), -EINVAL);
	assert_string_equal(s->region, "first");
	assert_int_equal(settings_set(s, "region", "second", NULL), 0);
	assert_string_equal(s->region, "second");
}

static void the_environment_fills_what_was_not_said(void **state)
{
	struct settings *s = *state;
	setenv("LARDER_TIMEOUT", "5", 1);
	setenv("LARDER_CONCURRENCY", "4", 1);
	setenv("AWS_DEFAULT_REGION", "fallback", 1);
	setenv("AWS_PROFILE", "env", 1);
	assert_int_equal(settings_set(s, "timeout", "30s", NULL), 0);
	assert_int_equal(settings_from_environment(s, NULL), 0);
	assert_true(s->timeout_ns == 30 * NS_PER_SECOND); /* the default, but said */
	assert_int_equal(s->concurrency, 4);
	assert_string_equal(s->region, "fallback");
	assert_string_equal(s->profile, "env");
	assert_true(settings_given(s, "region"));
	assert_false(settings_given_by_option(s, "region"));
	assert_true(settings_given_by_option(s, "timeout"));
	assert_int_equal(settings_set(s, "region", "later", NULL), 0);
	assert_true(settings_given_by_option(s, "region"));
}

static void the_first_variable_that_is_not_empty_counts(void **state)
{
	struct settings *s = *state;
	setenv("AWS_ENDPOINT_URL_S3", "http://s3.example", 1);
	setenv("AWS_ENDPOINT_URL", "http://all.example", 1);
	setenv("AWS_REGION", "", 1);
	setenv("AWS_DEFAULT_REGION", "second", 1);
	assert_int_equal(settings_from_environment(s, NULL), 0);
	assert_string_equal(s->endpoint_url, "http://s3.example");
	assert_string_equal(s->region, "second");
}

static void endpoints_in_the_environment_can_be_hidden(void **state)
{
	struct settings *s = *state;
	setenv("AWS_ENDPOINT_URL", "http://all.example", 1);
	setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true", 1);
	assert_int_equal(settings_from_environment(s, NULL), 0);
	assert_null(s->endpoint_url);
}

static void a_wrong_variable_is_named(void **state)
{
	struct settings *s = *state;
	struct error e = {0};
	setenv("LARDER_TIMEOUT", "5 apples", 1);
	assert_int_equal(settings_from_environment(s, &e), -EINVAL);
	assert_int_equal(strncmp(e.text, "LARDER_TIMEOUT: ", 16), 0);
	assert_non_null(strstr(e.text, "'5 apples'"));
}

static void a_copy_is_its_own(void **state)
{
	struct settings *s = *state, copy;
	assert_int_equal(settings_set(s, "region", "r", NULL), 0);
	assert_int_equal(settings_set(s, "retries", "7", NULL), 0);
	assert_int_equal(settings_copy(&copy, s), 0);
	assert_int_equal(settings_set(s, "region", "other", NULL), 0);
	assert_string_equal(copy.region, "r");
	assert_int_equal(copy.retries, 7);
	assert_true(settings_given(&copy, "retries"));
	assert_null(copy.profile);
	settings_finish(&copy);
	assert_null(copy.region);
}

static void expect_cache_dir(struct settings *s, const char *expected)
{
	free(steal_pointer(s->cache_dir));
	assert_int_equal(settings_finish_defaults(s, NULL), 0);
	assert_string_equal(s->cache_dir, expected);
}

static void the_cache_goes_where_caches_go(void **state)
{
	struct settings *s = *state;
	setenv("HOME", "/home/me", 1);
	unsetenv("XDG_CACHE_HOME");
	expect_cache_dir(s, "/home/me/.cache/larder");
	setenv("XDG_CACHE_HOME", "relative", 1);
	expect_cache_dir(s, "/home/me/.cache/larder");
	setenv("XDG_CACHE_HOME", "/xdg", 1);
	expect_cache_dir(s, "/xdg/larder");
	setenv("LARDER_CACHE_DIR", "/own", 1);
	expect_cache_dir(s, "/own");
}

static void a_cache_that_was_chosen_stays(void **state)
{
	struct settings *s = *state;
	assert_int_equal(settings_set(s, "cache-dir", "", NULL), 0);
	assert_int_equal(settings_finish_defaults(s, NULL), 0);
	assert_string_equal(s->cache_dir, "");
}

static void paths_become_absolute(void **state)
{
	struct settings *s = *state;
	CLEANUP(cleanup_free) char *here = getcwd(NULL, 0);
	assert_int_equal(settings_set(s, "cache-dir", "c", NULL), 0);
	assert_int_equal(settings_set(s, "ca-bundle", "certs/ca.pem", NULL), 0);
	assert_int_equal(settings_finish_defaults(s, NULL), 0);
	assert_int_equal(strncmp(s->cache_dir, here, strlen(here)), 0);
	assert_string_equal(s->cache_dir + strlen(here), "/c");
	assert_string_equal(s->ca_bundle + strlen(here), "/certs/ca.pem");
}

static void durations_have_units(void **state)
{
	static const struct {
		const char *text;
		uint64_t ms;
	} right[] = {{"30", 30000}, {"30s", 30000}, {"500ms", 500}, {"2m", 120000},
		{"1h", 3600000}, {"0", 0}, {"007", 7000}, {"8760h", 31536000000}};
	static const char *const wrong[] = {"", "s", "-1", "+1", " 1", "1 s", "1.5s",
		"1d", "1mss", "0x10", "8761h", "18446744073709551616",
		"99999999999999999999h"};
	uint64_t ns = 42;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(parse_duration(wrong[i], &ns), -EINVAL);
	assert_true(ns == 42);
	for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
		assert_int_equal(parse_duration(right[i].text, &ns), 0);
		assert_true(ns == right[i].ms * NS_PER_MS);
	}
}

static void sizes_are_powers_of_1024(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} right[] = {{"0", 0}, {"4096", 4096}, {"4096B", 4096}, {"64k", 65536},
		{"64K", 65536}, {"1M", 1 << 20}, {"1MB", 1 << 20}, {"1MiB", 1 << 20},
		{"10g", UINT64_C(10) << 30}, {"2T", UINT64_C(2) << 40},
		{"1P", UINT64_C(1) << 50}, {"9223372036854775807", INT64_MAX}};
	static const char *const wrong[] = {"", "k", "1 ", "1 k", "1kk", "1iB", "1X",
		"-1", "1.5G", "9223372036854775808", "8192P", "18446744073709551615"};
	uint64_t bytes = 42;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(parse_size(wrong[i], &bytes), -EINVAL);
	assert_true(bytes == 42);
	for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
		assert_int_equal(parse_size(right[i].text, &bytes), 0);
		assert_true(bytes == right[i].bytes);
	}
}

static void counts_stop_at_the_most(void **state)
{
	unsigned n = 42;
	assert_int_equal(parse_count("11", 10, &n), -EINVAL);
	assert_int_equal(parse_count("4294967296", 4294967295u, &n), -EINVAL);
	assert_int_equal(parse_count("ten", 10, &n), -EINVAL);
	assert_int_equal(parse_count("1 ", 10, &n), -EINVAL);
	assert_int_equal(n, 42);
	assert_int_equal(parse_count("10", 10, &n), 0);
	assert_int_equal(n, 10);
}

static void the_table_can_be_printed(void **state)
{
	for (size_t i = 0; i < settings_count; i++) {
		const struct setting_info *info = &settings_table[i];
		const char *argument = info->argument ? info->argument : "";
		assert_true((info->kind == SETTING_FLAG) == (info->argument == NULL));
		assert_true(
			strlen(info->name) + strlen(argument) + strlen(info->help) < 70);
		if (info->kind == SETTING_FLAG)
			assert_null(info->variables[0]);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(defaults_are_as_documented),
		TEST(options_are_set_by_name),
		TEST(wrong_values_are_named),
		TEST(a_wrong_value_leaves_the_old_one),
		TEST(the_environment_fills_what_was_not_said),
		TEST(the_first_variable_that_is_not_empty_counts),
		TEST(endpoints_in_the_environment_can_be_hidden),
		TEST(a_wrong_variable_is_named),
		TEST(a_copy_is_its_own),
		TEST(the_cache_goes_where_caches_go),
		TEST(a_cache_that_was_chosen_stays),
		TEST(paths_become_absolute),
		TEST(durations_have_units),
		TEST(sizes_are_powers_of_1024),
		TEST(counts_stop_at_the_most),
		TEST(the_table_can_be_printed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
