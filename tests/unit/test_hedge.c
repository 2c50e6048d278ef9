#include "tests/unit/test.h"

#include "fetch/base/call.h"
#include "fetch/hedge.h"

#define MS NS_PER_MS

static void learn(struct hedge *h, unsigned n, uint64_t ns)
{
	for (unsigned i = 0; i < n; i++)
		hedge_learn(h, ns, false);
}

static void nothing_is_asked_twice_before_enough_is_known(void **state)
{
	struct hedge h = {0};
	assert_true(hedge_after(&h) == 0);
	learn(&h, HEDGE_LEAST - 1, 20 * MS);
	assert_true(hedge_after(&h) == 0);
	learn(&h, 1, 20 * MS);
	assert_true(hedge_after(&h) == 40 * MS);
}

static void a_few_slow_answers_do_not_move_it(void **state)
{
	struct hedge h = {0};
	for (int i = 0; i < 4 * HEDGE_SAMPLES; i++)
		hedge_learn(&h, i % 25 == 0 ? 900 * MS : 20 * MS, false);
	assert_true(hedge_after(&h) == 40 * MS);
}

static void a_store_that_slows_down_is_followed(void **state)
{
	struct hedge h = {0};
	learn(&h, HEDGE_SAMPLES, 20 * MS);
	learn(&h, HEDGE_SAMPLES / 8, 100 * MS);
	assert_true(hedge_after(&h) == 200 * MS);
	learn(&h, HEDGE_SAMPLES, 20 * MS);
	assert_true(hedge_after(&h) == 40 * MS);
}

static void what_is_fast_anyway_is_given_time(void **state)
{
	struct hedge h = {0};
	learn(&h, HEDGE_SAMPLES, MS / 10);
	assert_true(hedge_after(&h) == HEDGE_AFTER_MIN);
}

/* Asks twice whenever it is allowed to: how often is that in n requests? */
static unsigned greedy(struct hedge *h, unsigned n)
{
	unsigned hedged = 0;
	for (unsigned i = 0; i < n; i++) {
		bool twice = hedge_after(h) != 0;
		hedged += twice;
		hedge_learn(h, 20 * MS, twice);
	}
	return hedged;
}

static void the_share_is_kept_to(void **state)
{
	struct hedge h = {0};
	unsigned n = 100 * HEDGE_SHARE;
	assert_in_range(greedy(&h, n), n / HEDGE_SHARE - 5, n / HEDGE_SHARE);
	learn(&h, n, 20 * MS);
	assert_in_range(greedy(&h, HEDGE_SHARE), HEDGE_BURST, HEDGE_BURST + 1);
}

/* Sixteen at once may be under way when the credit ends: the debt is paid back. */
static void a_debt_is_paid_back(void **state)
{
	struct hedge h = {0};
	learn(&h, 10 * HEDGE_SHARE, 20 * MS);
	for (int i = 0; i < 16; i++)
		hedge_learn(&h, 20 * MS, true);
	assert_true(hedge_after(&h) == 0);
	learn(&h, (16 - HEDGE_BURST) * HEDGE_SHARE, 20 * MS);
	assert_true(hedge_after(&h) == 0);
	learn(&h, HEDGE_SHARE, 20 * MS);
	assert_true(hedge_after(&h) != 0);
}

static void what_is_not_answered_is_charged_too(void **state)
{
	struct hedge h = {0};
	learn(&h, 10 * HEDGE_SHARE, 20 * MS);
	for (int i = 0; i < HEDGE_BURST; i++) {
		assert_true(hedge_after(&h) != 0);
		hedge_charge(&h);
	}
	assert_true(hedge_after(&h) == 0);
	learn(&h, HEDGE_SHARE, 20 * MS);
	assert_true(hedge_after(&h) != 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_asked_twice_before_enough_is_known),
		cmocka_unit_test(a_few_slow_answers_do_not_move_it),
		cmocka_unit_test(a_store_that_slows_down_is_followed),
		cmocka_unit_test(what_is_fast_anyway_is_given_time),
		cmocka_unit_test(the_share_is_kept_to),
		cmocka_unit_test(a_debt_is_paid_back),
		cmocka_unit_test(what_is_not_answered_is_charged_too),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
