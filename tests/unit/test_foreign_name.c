#include "archive/foreign_name.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "archive/format.h"
#include "tests/unit/test.h"

static void expect(const char *name, const char *wanted)
{
	struct buf out = BUF_INIT(FOREIGN_NAME_LIMIT + 1);
	enum foreign_name_fault fault;
	assert_int_equal(foreign_name(name, strlen(name), &out, &fault), 0);
	assert_string_equal(buf_str(&out), wanted);
	buf_finish(&out);
}

static void refuse(const char *name, size_t len, enum foreign_name_fault wanted)
{
	struct buf out = BUF_INIT(FOREIGN_NAME_LIMIT + 1);
	enum foreign_name_fault fault = FOREIGN_NAME_FINE;
	assert_int_equal(foreign_name(name, len, &out, &fault), -EINVAL);
	assert_int_equal(fault, wanted);
	buf_finish(&out);
}

static void ordinary_names_stay(void **state)
{
	(void)state;
	expect("a", "a");
	expect("a/b/c", "a/b/c");
	expect("..a/b../...", "..a/b../...");
	expect("a\\..\\b", "a\\..\\b");
	expect("\xff\n ", "\xff\n ");
}

static void what_stands_before_is_dropped(void **state)
{
	(void)state;
	expect("/a/b", "a/b");
	expect("./a", "a");
	expect("../../../home/x", "home/x");
	expect("/../a", "a");
	expect("./.././/../a", "a");
}

static void what_means_nothing_vanishes(void **state)
{
	(void)state;
	expect("a//b/./c/", "a/b/c");
	expect("a/.", "a");
}

static void the_empty_name_is_the_root(void **state)
{
	(void)state;
	expect("", "");
	expect(".", "");
	expect("./", "");
	expect("/", "");
	expect("../..", "");
}

static void climbing_back_is_refused(void **state)
{
	(void)state;
	refuse("a/..", 4, FOREIGN_NAME_ASCENDS);
	refuse("a/../b", 6, FOREIGN_NAME_ASCENDS);
	refuse("../a/../../b", 12, FOREIGN_NAME_ASCENDS);
}

static void limits_hold(void **state)
{
	(void)state;
	char *name = malloc(FOREIGN_NAME_LIMIT + 1);
	assert_non_null(name);
	memset(name, 'x', FOREIGN_NAME_LIMIT + 1);
	struct buf out = BUF_INIT(FOREIGN_NAME_LIMIT + 1);
	enum foreign_name_fault fault;
	assert_int_equal(foreign_name(name, 255, &out, &fault), 0);
	assert_int_equal(out.len, 255);
	refuse(name, 256, FOREIGN_NAME_LONG);
	for (size_t i = 200; i < FOREIGN_NAME_LIMIT; i += 200)
		name[i] = '/';
	assert_int_equal(foreign_name(name, FOREIGN_NAME_LIMIT, &out, &fault), 0);
	assert_int_equal(out.len, FOREIGN_NAME_LIMIT);
	refuse(name, FOREIGN_NAME_LIMIT + 1, FOREIGN_NAME_LONG);
	refuse("a\0b", 3, FOREIGN_NAME_NUL);
	buf_finish(&out);
	free(name);
}

/* "d/d/d", with one that vanishes for good measure. */
static void depth_is_limited(void **state)
{
	(void)state;
	char *name = malloc(2 * DEPTH_LIMIT + 8);
	assert_non_null(name);
	strcpy(name, "./");
	for (size_t i = 0; i <= DEPTH_LIMIT; i++)
		strcpy(name + 2 + 2 * i, "d/");
	refuse(name, strlen(name), FOREIGN_NAME_DEEP);
	struct buf out = BUF_INIT(FOREIGN_NAME_LIMIT + 1);
	enum foreign_name_fault fault;
	assert_int_equal(foreign_name(name, strlen(name) - 2, &out, &fault), 0);
	assert_int_equal(out.len, 2 * DEPTH_LIMIT - 1);
	buf_finish(&out);
	free(name);
}

static void every_fault_has_a_reason(void **state)
{
	(void)state;
	assert_non_null(strstr(foreign_name_reason(FOREIGN_NAME_ASCENDS), "'..'"));
	assert_non_null(strstr(foreign_name_reason(FOREIGN_NAME_LONG), "long"));
	assert_non_null(strstr(foreign_name_reason(FOREIGN_NAME_DEEP), "directories"));
	assert_non_null(strstr(foreign_name_reason(FOREIGN_NAME_NUL), "NUL"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ordinary_names_stay),
		cmocka_unit_test(what_stands_before_is_dropped),
		cmocka_unit_test(what_means_nothing_vanishes),
		cmocka_unit_test(the_empty_name_is_the_root),
		cmocka_unit_test(climbing_back_is_refused),
		cmocka_unit_test(limits_hold),
		cmocka_unit_test(depth_is_limited),
		cmocka_unit_test(every_fault_has_a_reason),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
