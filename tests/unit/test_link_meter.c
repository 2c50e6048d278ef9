#include "tests/unit/test.h"

#include "archive/link_meter.h"

static uint64_t time_of(const struct link_facts *l, uint64_t bytes)
{
	return l->round_trip_ns + bytes * 1000 / (l->bytes_per_s / 1000000);
}

static void expect_near(uint64_t got, uint64_t want, unsigned percent)
{
	assert_in_range(got, want - want * percent / 100, want + want * percent / 100);
}

static void nothing_seen_is_a_cloud(void **state)
{
	struct link_meter m = {0};
	struct link_facts l = {.concurrency = 3};
	link_meter_estimate(&m, &l);
	assert_int_equal(l.round_trip_ns, 20000000);
	assert_int_equal(l.bytes_per_s, 50000000);
	assert_int_equal(l.concurrency, 3);
}

static void both_are_learned_from_reads_of_different_sizes(void **state)
{
	static const struct link_facts links[] = {{1000000, 1000000000, 1},
		{20000000, 90000000, 1}, {60000000, 20000000, 1}};
	for (size_t i = 0; i < 3; i++) {
		struct link_meter m = {0};
		struct link_facts l = {0};
		for (uint64_t n = 0; n < 30; n++) {
			uint64_t bytes = 50000 + n % 7 * 300000;
			link_meter_add(&m, bytes, time_of(&links[i], bytes));
		}
		link_meter_estimate(&m, &l);
		expect_near(l.round_trip_ns, links[i].round_trip_ns, 10);
		expect_near(l.bytes_per_s, links[i].bytes_per_s, 10);
	}
}

static void a_link_that_changes_is_followed(void **state)
{
	struct link_facts fast = {1000000, 500000000, 1}, slow = {80000000, 10000000, 1};
	struct link_meter m = {0};
	struct link_facts l = {0};
	for (uint64_t n = 0; n < 200; n++)
		link_meter_add(&m, 100000 + n % 5 * 200000,
			time_of(&fast, 100000 + n % 5 * 200000));
	for (uint64_t n = 0; n < 200; n++)
		link_meter_add(&m, 100000 + n % 5 * 200000,
			time_of(&slow, 100000 + n % 5 * 200000));
	link_meter_estimate(&m, &l);
	expect_near(l.round_trip_ns, slow.round_trip_ns, 10);
	expect_near(l.bytes_per_s, slow.bytes_per_s, 10);
}

static void what_cannot_be_told_apart_is_halved(void **state)
{
	struct link_meter m = {0};
	struct link_facts l = {0};
	for (int n = 0; n < 10; n++)
		link_meter_add(&m, 1000000, 40000000);
	link_meter_estimate(&m, &l);
	expect_near(l.round_trip_ns, 20000000, 1);
	expect_near(l.bytes_per_s, 50000000, 1);
}

static void strange_reads_give_usable_numbers(void **state)
{
	static const uint64_t reads[][2] = {{0, 0}, {1, 0}, {0, 1000}, {UINT64_MAX, 1},
		{1, UINT64_MAX}, {1000, 5}, {10, 500000}};
	struct link_meter m = {0};
	for (size_t i = 0; i < sizeof(reads) / sizeof(reads[0]); i++) {
		struct link_facts l = {0};
		link_meter_add(&m, reads[i][0], reads[i][1]);
		link_meter_estimate(&m, &l);
		assert_true(l.round_trip_ns >= 1);
		assert_true(l.bytes_per_s >= 1);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_seen_is_a_cloud),
		cmocka_unit_test(both_are_learned_from_reads_of_different_sizes),
		cmocka_unit_test(a_link_that_changes_is_followed),
		cmocka_unit_test(what_cannot_be_told_apart_is_halved),
		cmocka_unit_test(strange_reads_give_usable_numbers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
