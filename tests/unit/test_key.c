#include "tests/unit/test.h"

#include <errno.h>
#include <string.h>

#include "fetch/key.h"

static void accepts_what_people_use(void **state)
{
	static const char *const keys[] = { "a", "npm-linux-x64-0a1b", "main/node_modules",
		"a b+c=d:@%", "\xc3\xa4/\xf0\x9f\x8d\x9e", "...", ".hidden/.x", ".larderx" };
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		assert_int_equal(key_check(keys[i], NULL), 0);
}

static void refuses_what_cannot_be_a_path(void **state)
{
	static const char *const keys[] = { "", "/a", "a/", "a//b", ".", "..", "a/../b",
		"a/./b", "tab\there", "\x7f", "a\xc2\x9bz", "\xc2\x80", ".larder",
		".larder/probe" };
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		struct error e = { 0 };
		assert_int_equal(key_check(keys[i], &e), -EINVAL);
		assert_int_equal(e.code, -EINVAL);
		assert_true(strlen(e.text) > 10);
	}
}

static void refuses_what_is_not_utf8(void **state)
{
	static const char *const keys[] = { "\xff", "a\xc3", "\xc0\xaf", "\xed\xa0\x80",
		"\xf4\x90\x80\x80", "\xe0\x80\x80" };
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		assert_int_equal(key_check(keys[i], NULL), -EINVAL);
}

static void knows_its_limits(void **state)
{
	char key[KEY_MAX + 2];
	memset(key, 'x', sizeof(key));
	for (size_t i = 200; i < sizeof(key); i += 200)
		key[i] = '/';
	key[KEY_MAX] = '\0';
	assert_int_equal(key_check(key, NULL), 0);
	key[KEY_MAX] = 'x';
	key[KEY_MAX + 1] = '\0';
	assert_int_equal(key_check(key, NULL), -EINVAL);
	memset(key, 'y', 256);
	key[255] = '\0';
	assert_int_equal(key_check(key, NULL), 0);
	key[255] = 'y';
	key[256] = '\0';
	assert_int_equal(key_check(key, NULL), -EINVAL);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepts_what_people_use),
		cmocka_unit_test(refuses_what_cannot_be_a_path),
		cmocka_unit_test(refuses_what_is_not_utf8),
		cmocka_unit_test(knows_its_limits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
