#include "tests/unit/test.h"

#include "fetch/base/call.h"
#include "fetch/stall.h"

#define T0     (UINT64_C(100) * NS_PER_SECOND)
#define WINDOW (UINT64_C(8) * NS_PER_SECOND) /* slices of a second; 8,000 bytes wanted   \
					      */

/* Lets the meter see `seconds` seconds with so many bytes in each; true: it stalled. */
static bool run(struct stall_meter *m, uint64_t *now, unsigned seconds, size_t bytes)
{
	for (unsigned i = 0; i < seconds; i++) {
		stall_count(m, bytes);
		*now += NS_PER_SECOND;
		if (stall_check(m, *now))
			return true;
	}
	return false;
}

static void silence_is_a_stall_after_one_window(void **state)
{
	struct stall_meter m;
	stall_init(&m, T0, WINDOW);
	assert_true(stall_next(&m) == T0 + NS_PER_SECOND);
	uint64_t now = T0;
	assert_false(run(&m, &now, 7, 0));
	assert_false(stall_check(&m, T0 + WINDOW - 1));
	assert_true(stall_check(&m, T0 + WINDOW));
}

static void the_least_rate_is_enough_and_less_is_not(void **state)
{
	struct stall_meter m;
	uint64_t now = T0;
	stall_init(&m, T0, WINDOW);
	assert_false(run(&m, &now, 50, 1000));
	assert_true(run(&m, &now, 1, 999));
}

static void a_burst_helps_for_one_window_only(void **state)
{
	struct stall_meter m;
	uint64_t now = T0;
	stall_init(&m, T0, WINDOW);
	assert_false(run(&m, &now, 20, 1 << 20));
	assert_false(run(&m, &now, 7, 0));
	assert_true(run(&m, &now, 1, 0));
}

static void a_burst_in_the_last_slice_counts(void **state)
{
	struct stall_meter m;
	uint64_t now = T0;
	stall_init(&m, T0, WINDOW);
	assert_false(run(&m, &now, 7, 0));
	assert_false(run(&m, &now, 1, 8000));
	assert_false(run(&m, &now, 7, 0));
	assert_true(run(&m, &now, 1, 0));
}

static void time_nobody_watched_is_forgiven(void **state)
{
	struct stall_meter m;
	stall_init(&m, T0, WINDOW);
	uint64_t now = T0 + NS_PER_SECOND + WINDOW;
	assert_false(stall_check(&m, now));
	assert_true(stall_next(&m) == now + NS_PER_SECOND);
	assert_false(run(&m, &now, 7, 0));
	assert_true(run(&m, &now, 1, 0));
}

static void a_late_look_still_sees_the_stall(void **state)
{
	struct stall_meter m;
	stall_init(&m, T0, WINDOW);
	assert_true(stall_check(&m, T0 + NS_PER_SECOND + WINDOW - 1));
}

static void a_short_window_works(void **state)
{
	struct stall_meter m;
	stall_init(&m, T0, 50 * NS_PER_MS);
	stall_count(&m, 49);
	assert_true(stall_check(&m, T0 + 50 * NS_PER_MS));
	stall_init(&m, T0, 50 * NS_PER_MS);
	stall_count(&m, 50);
	assert_false(stall_check(&m, T0 + 50 * NS_PER_MS));
	stall_init(&m, T0, STALL_SLICES); /* a window of nanoseconds wants one byte */
	assert_true(stall_check(&m, T0 + STALL_SLICES));
}

static void never_is_never(void **state)
{
	static const uint64_t windows[] = {
		0, STALL_NEVER, STALL_SLICES - 1, STALL_NEVER - 1};
	for (size_t i = 0; i < sizeof(windows) / sizeof(windows[0]); i++) {
		struct stall_meter m;
		stall_init(&m, UINT64_MAX / 2, windows[i]);
		assert_false(stall_check(&m, UINT64_MAX / 2 + 3 * WINDOW));
	}
	struct stall_meter m;
	stall_init(&m, T0, STALL_NEVER);
	assert_true(stall_next(&m) == UINT64_MAX);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(silence_is_a_stall_after_one_window),
		cmocka_unit_test(the_least_rate_is_enough_and_less_is_not),
		cmocka_unit_test(a_burst_helps_for_one_window_only),
		cmocka_unit_test(a_burst_in_the_last_slice_counts),
		cmocka_unit_test(time_nobody_watched_is_forgiven),
		cmocka_unit_test(a_late_look_still_sees_the_stall),
		cmocka_unit_test(a_short_window_works),
		cmocka_unit_test(never_is_never),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
