#include "tests/unit/test.h"

#include "archive/audience.h"

#define EPOCH 256

/* The readers in turn, so many demands of all together. */
static void read_in_turn(
	struct audience *a, struct ticket *tickets, unsigned readers, unsigned demands)
{
	for (unsigned i = 0; i < demands; i++)
		audience_count(a, &tickets[i % readers]);
}

static void nobody_shares_with_himself(void **state)
{
	struct audience a = {0};
	struct ticket ticket = {0};
	assert_int_equal(audience_size(&a), 1);
	for (unsigned i = 0; i < 3 * EPOCH; i++) {
		audience_count(&a, &ticket);
		assert_int_equal(audience_size(&a), 1);
	}
}

static void each_counts_from_its_first_demand_on(void **state)
{
	struct audience a = {0};
	struct ticket tickets[30] = {0};
	for (unsigned i = 0; i < 30; i++) {
		audience_count(&a, &tickets[i]);
		assert_int_equal(audience_size(&a), i + 1);
	}
	for (unsigned i = 0; i < 3 * EPOCH; i++) {
		audience_count(&a, &tickets[i % 30]);
		assert_int_equal(audience_size(&a), 30);
	}
}

static void who_has_left_counts_no_longer(void **state)
{
	struct audience a = {0};
	struct ticket tickets[10] = {0};
	read_in_turn(&a, tickets, 10, EPOCH);
	read_in_turn(&a, tickets, 2, EPOCH - 1);
	assert_int_equal(audience_size(&a), 10);
	read_in_turn(&a, tickets, 1, 1);
	assert_int_equal(audience_size(&a), 2);
}

/* As the keys of a walk through a store. */
static void who_comes_after_another_does_not_share_with_all(void **state)
{
	struct audience a = {0};
	for (unsigned i = 0; i < 100; i++) {
		struct ticket ticket = {0};
		read_in_turn(&a, &ticket, 1, EPOCH / 2);
		assert_in_range(audience_size(&a), 1, 3);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_shares_with_himself),
		cmocka_unit_test(each_counts_from_its_first_demand_on),
		cmocka_unit_test(who_has_left_counts_no_longer),
		cmocka_unit_test(who_comes_after_another_does_not_share_with_all),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
