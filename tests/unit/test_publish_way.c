#include "tests/unit/test.h"

#include <errno.h>

#include "fetch/publish_way.h"

#define STREAM 8

static struct publish_way way(
	enum publish_condition asked, enum honour put, enum honour complete)
{
	struct publish_way w;
	struct probe_answer known = {.put = put, .complete = complete};
	assert_int_equal(publish_way(asked, &known, STREAM, &w), 0);
	return w;
}

static void parts_stream_where_both_are_atomic(void **state)
{
	struct publish_way w = way(PUBLISH_IF_ABSENT, HONOUR_ATOMIC, HONOUR_ATOMIC);
	assert_true(w.put_condition && w.multipart && w.complete_condition);
	assert_false(w.look_first);
	assert_int_equal(w.put_max, STREAM);
}

static void one_put_where_complete_is_not(void **state)
{
	static const enum honour weak[] = {HONOUR_UNKNOWN, HONOUR_NO, HONOUR_SEQUENTIAL};
	for (size_t i = 0; i < 3; i++) {
		struct publish_way w = way(PUBLISH_IF_ABSENT, HONOUR_ATOMIC, weak[i]);
		assert_true(w.put_condition);
		assert_false(w.multipart);
		assert_int_equal(w.put_max, PUT_SIZE_MAX);
	}
}

static void nothing_where_put_is_not_atomic(void **state)
{
	static const enum honour weak[] = {HONOUR_UNKNOWN, HONOUR_NO, HONOUR_SEQUENTIAL};
	for (size_t i = 0; i < 3; i++) {
		struct publish_way w;
		struct probe_answer known = {.put = weak[i], .complete = HONOUR_ATOMIC};
		assert_int_equal(
			publish_way(PUBLISH_IF_ABSENT, &known, STREAM, &w), -EOPNOTSUPP);
	}
}

static void overwriting_asks_nobody(void **state)
{
	struct publish_way w;
	assert_int_equal(publish_way(PUBLISH_OVERWRITE, NULL, STREAM, &w), 0);
	assert_true(w.multipart);
	assert_false(w.put_condition || w.complete_condition || w.look_first);
	assert_int_equal(w.put_max, STREAM);
}

static void unsafe_uses_what_there_is_and_looks(void **state)
{
	struct publish_way w =
		way(PUBLISH_UNSAFE_OVERWRITE, HONOUR_SEQUENTIAL, HONOUR_UNKNOWN);
	assert_true(w.put_condition && w.multipart && w.look_first);
	assert_false(w.complete_condition);
	assert_int_equal(w.put_max, PUT_SIZE_MAX);

	w = way(PUBLISH_UNSAFE_OVERWRITE, HONOUR_NO, HONOUR_NO);
	assert_true(w.multipart && w.look_first);
	assert_false(w.put_condition || w.complete_condition);
	assert_int_equal(w.put_max, STREAM);

	w = way(PUBLISH_UNSAFE_OVERWRITE, HONOUR_ATOMIC, HONOUR_ATOMIC);
	assert_true(w.put_condition && w.complete_condition);
	assert_int_equal(w.put_max, STREAM);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(parts_stream_where_both_are_atomic),
		cmocka_unit_test(one_put_where_complete_is_not),
		cmocka_unit_test(nothing_where_put_is_not_atomic),
		cmocka_unit_test(overwriting_asks_nobody),
		cmocka_unit_test(unsafe_uses_what_there_is_and_looks),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
