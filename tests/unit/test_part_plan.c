#include "tests/unit/test.h"

#include "fetch/part_plan.h"

#define MIB UINT64_C(1048576)
#define GIB (UINT64_C(1024) * MIB)
#define TIB (UINT64_C(1024) * GIB)

static uint64_t capacity(const struct part_plan *plan)
{
	uint64_t sum = 0;
	for (unsigned n = 1; n <= PARTS_MAX; n++)
		sum += part_plan_size(plan, n);
	return sum;
}

static unsigned parts_for(const struct part_plan *plan, uint64_t size)
{
	unsigned n = 0;
	for (uint64_t sum = 0; sum < size; n++)
		sum += part_plan_size(plan, n + 1);
	return n;
}

static void five_tebibytes_always_fit(void **state)
{
	static const uint64_t guesses[] = {
		0, 1, GIB, 100 * GIB, TIB, 5 * TIB, UINT64_MAX};
	for (size_t i = 0; i < sizeof(guesses) / sizeof(guesses[0]); i++) {
		struct part_plan plan = part_plan_for(guesses[i], false);
		assert_true(capacity(&plan) >= 5 * TIB);
	}
}

static void each_part_is_one_that_s3_takes(void **state)
{
	static const uint64_t guesses[] = {0, 1, GIB, TIB, UINT64_MAX};
	for (size_t i = 0; i < sizeof(guesses) / sizeof(guesses[0]); i++) {
		struct part_plan plan = part_plan_for(guesses[i], false);
		for (unsigned n = 1; n <= PARTS_MAX; n++) {
			assert_true(part_plan_size(&plan, n) >= PART_SIZE_MIN);
			assert_true(part_plan_size(&plan, n) <= PART_SIZE_MAX);
		}
	}
	struct part_plan plan = part_plan_for(0, false);
	assert_int_equal(part_plan_size(&plan, 0), 0);
	assert_int_equal(part_plan_size(&plan, PARTS_MAX + 1), 0);
}

static void small_objects_have_small_parts(void **state)
{
	struct part_plan plan = part_plan_for(100 * MIB, false);
	assert_int_equal(parts_for(&plan, 100 * MIB), 13);
	plan = part_plan_for(0, false);
	assert_int_equal(part_plan_size(&plan, 1), PART_SIZE_MIN);
}

static void a_right_guess_gives_equal_parts(void **state)
{
	static const uint64_t sizes[] = {GIB, 50 * GIB, TIB, 5 * TIB};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct part_plan plan = part_plan_for(sizes[i], false);
		unsigned last = parts_for(&plan, sizes[i]);
		assert_int_equal(part_plan_size(&plan, last), plan.first);
	}
}

static void parts_stay_equal_where_they_must(void **state)
{
	struct part_plan plan = part_plan_for(0, true);
	for (unsigned n = 1; n <= PARTS_MAX; n++)
		assert_int_equal(part_plan_size(&plan, n), 64 * MIB);
	plan = part_plan_for(TIB, true);
	assert_true(capacity(&plan) >= TIB);
	assert_int_equal(part_plan_size(&plan, PARTS_MAX), plan.first);
}

static void memory_in_flight_is_bounded(void **state)
{
	assert_int_equal(part_plan_in_flight(8 * MIB, 100), 8);
	assert_int_equal(part_plan_in_flight(8 * MIB, 4), 4);
	assert_int_equal(part_plan_in_flight(64 * MIB, 16), 3);
	assert_int_equal(part_plan_in_flight(4 * GIB, 16), 3);
	assert_int_equal(part_plan_in_flight(8 * MIB, 0), 1);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(five_tebibytes_always_fit),
		cmocka_unit_test(each_part_is_one_that_s3_takes),
		cmocka_unit_test(small_objects_have_small_parts),
		cmocka_unit_test(a_right_guess_gives_equal_parts),
		cmocka_unit_test(parts_stay_equal_where_they_must),
		cmocka_unit_test(memory_in_flight_is_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
