#include "tests/unit/test.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/key.h"
#include "fetch/key_choice.h"
#include "tests/unit/memory_store.h"

static void choose(struct key_choice *c, const char *scope, const char *key,
	const char *first, const char *second)
{
	const char *const prefixes[] = {first, second};
	assert_int_equal(key_choice_init(c, scope, key, prefixes,
				 second  ? 2
				 : first ? 1
					 : 0,
				 NULL),
		0);
}

static void refuses(const char *scope, const char *key, const char *named)
{
	struct key_choice c;
	struct error e = {0};
	assert_int_equal(key_choice_init(&c, scope, key, NULL, 0, &e), -EINVAL);
	assert_non_null(strstr(e.text, named));
}

/* Notes what is tried, and finds one of them. */
struct attempts {
	char text[512];
	const char *there;
};

static int attempt(void *arg, const char *key, struct error *e)
{
	struct attempts *a = arg;
	size_t len = strlen(a->text);
	snprintf(a->text + len, sizeof(a->text) - len, "%s ", key);
	return a->there && !strcmp(a->there, key)
		       ? 0
		       : error_set(e, -ENOENT, "there is no '%s'", key);
}

static void put(struct memory_store *s, const char *key, int64_t mtime_s)
{
	memory_put(s, key, "x", 1);
	s->keys[s->count - 1].mtime_s = mtime_s;
}

static struct memory_store *store_with_keys(void)
{
	struct memory_store *s = memory_store_new();
	put(s, "main/npm-1", 10);
	put(s, "main/npm-2", 30);
	put(s, "main/npm-3", 20);
	put(s, "npm-9", 99);
	put(s, "pr/npm-0", 5);
	put(s, "pr-12/npm-8", 98);
	return s;
}

static void expect(const char *scope, const char *key, const char *prefix,
	const char *there, int wanted, const char *tried)
{
	CLEANUP(cleanup_memory_store) struct memory_store *s = store_with_keys();
	CLEANUP(key_choice_finish) struct key_choice c;
	struct attempts a = {.there = there};
	const struct call call = {.deadline_ns = DEADLINE_NONE};
	choose(&c, scope, key, prefix, NULL);
	assert_int_equal(key_choice_find(&c, &s->base, &call, attempt, &a, NULL), wanted);
	assert_string_equal(a.text, tried);
}

static void test_the_order(void **state)
{
	expect(NULL, "k", NULL, "k", 0, "k ");
	expect("", "k", NULL, NULL, -ENOENT, "k ");
	expect("pr:main", "k", NULL, "main/k", 0, "pr/k main/k ");
	expect("pr:main", "k", NULL, NULL, -ENOENT, "pr/k main/k ");
	/* exact in a trusted scope stands above a prefix in the own */
	expect("pr:main", "k", "npm-", NULL, -ENOENT, "pr/k main/k pr/npm-0 main/npm-2 ");
	expect("none:main", "k", "npm-", "main/npm-2", 0, "none/k main/k main/npm-2 ");
}

static void test_prefixes_are_anchored(void **state)
{
	expect("pr", "k", "", NULL, -ENOENT, "pr/k pr/npm-0 "); /* not pr-12's */
	expect("pr", "k", "pm-", NULL, -ENOENT, "pr/k ");
	expect("main", "npm-", NULL, NULL, -ENOENT, "main/npm- "); /* exact is exact */
	expect(NULL, "k", "npm-", NULL, -ENOENT, "k npm-9 ");
}

static void test_every_prefix_in_a_scope_before_the_next(void **state)
{
	CLEANUP(key_choice_finish) struct key_choice c;
	choose(&c, "a:b/c", "k", "p", "q");
	assert_int_equal(c.prefixes.len, 4);
	assert_string_equal(c.prefixes.data[0], "a/p");
	assert_string_equal(c.prefixes.data[1], "a/q");
	assert_string_equal(c.prefixes.data[2], "b/c/p");
	assert_string_equal(c.prefixes.data[3], "b/c/q");
	assert_string_equal(key_choice_own(&c), "a/k");
	assert_true(key_choice_is_exact(&c, "b/c/k"));
	assert_false(key_choice_is_exact(&c, "k"));
	assert_false(key_choice_is_exact(&c, "a/kk"));
}

static void test_the_first_miss_is_told(void **state)
{
	CLEANUP(cleanup_memory_store) struct memory_store *s = store_with_keys();
	CLEANUP(key_choice_finish) struct key_choice c;
	struct attempts a = {0};
	struct error e = {0};
	const struct call call = {.deadline_ns = DEADLINE_NONE};
	choose(&c, "pr:main", "k", "npm-", NULL);
	assert_int_equal(key_choice_find(&c, &s->base, &call, attempt, &a, &e), -ENOENT);
	assert_string_equal(e.text, "there is no 'pr/k'");
}

static void test_a_store_that_cannot_be_listed(void **state)
{
	CLEANUP(cleanup_memory_store) struct memory_store *s = store_with_keys();
	CLEANUP(key_choice_finish) struct key_choice c;
	struct attempts a = {0};
	struct error e = {0};
	const struct call call = {.deadline_ns = DEADLINE_NONE};
	s->list_result = -EOPNOTSUPP;
	choose(&c, NULL, "k", "npm-", NULL);
	assert_int_equal(key_choice_find(&c, &s->base, &call, attempt, &a, &e), -EINVAL);
	assert_non_null(strstr(e.text, "--fallback-key"));
	s->list_result = -EACCES;
	assert_int_equal(key_choice_find(&c, &s->base, &call, attempt, &a, &e), -EACCES);
}

static void test_what_is_no_scope(void **state)
{
	refuses("a::b", "k", "'a::b'");
	refuses(":a", "k", "':a'");
	refuses("a:", "k", "'a:'");
	refuses("a/../b", "k", "'a/../b'");
	refuses("/a", "k", "'/a'");
	refuses(".larder", "k", "'.larder'");
	refuses("a", "", "empty");
	refuses("a", "../k", "'../k'");
	refuses("a:b:c:d:e:f:g:h:i:j:k:l:m:n:o:p:q", "k", "16 scopes");
	char longest[KEY_MAX + 1] = "";
	for (size_t i = 0; i < KEY_MAX; i++)
		longest[i] = i % 200 == 199 ? '/' : 'x';
	refuses("scope", longest, "1024");
	assert_int_equal(key_check(longest, NULL), 0);
}

static void test_what_no_key_begins_with(void **state)
{
	static const char *const bad[] = {"../x", "/", "a//", "a/../", "\n", ".larder/"};
	static const char *const good[] = {"a/", ".", "..", ".larder", "a-"};
	struct key_choice c;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct error e = {0};
		assert_int_equal(
			key_choice_init(&c, NULL, "k", &bad[i], 1, &e), -EINVAL);
		assert_non_null(strstr(e.text, "no key begins with"));
	}
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(key_choice_init(&c, NULL, "k", &good[i], 1, NULL), 0);
		key_choice_finish(&c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_order),
		cmocka_unit_test(test_prefixes_are_anchored),
		cmocka_unit_test(test_every_prefix_in_a_scope_before_the_next),
		cmocka_unit_test(test_the_first_miss_is_told),
		cmocka_unit_test(test_a_store_that_cannot_be_listed),
		cmocka_unit_test(test_what_is_no_scope),
		cmocka_unit_test(test_what_no_key_begins_with),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
