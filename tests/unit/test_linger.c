#include "tests/unit/test.h"

#include "fs/linger.h"

/* One request and its answer, as a worker brings them about. True: it lingered. */
static bool serve(struct linger *l, uint64_t *now_ns, uint64_t pause_ns)
{
	bool lingers = linger_begin(l);
	if (lingers)
		linger_end(l, pause_ns < LINGER_NS);
	*now_ns += pause_ns;
	if (!lingers || pause_ns >= LINGER_NS)
		linger_request(l, *now_ns);
	linger_answer(l, *now_ns);
	return lingers;
}

/* How many of count requests with such pauses were lingered for. */
static unsigned lingered(
	struct linger *l, uint64_t *now_ns, uint64_t pause_ns, unsigned count)
{
	unsigned n = 0;
	for (unsigned i = 0; i < count; i++)
		n += serve(l, now_ns, pause_ns);
	return n;
}

static void requests_in_quick_succession_are_awaited(void **state)
{
	struct linger l;
	uint64_t now_ns = 1000000;
	linger_init(&l, 2);
	assert_in_range(lingered(&l, &now_ns, 10000, 1000), 997, 999);
}

static void rare_requests_are_not(void **state)
{
	struct linger l;
	uint64_t now_ns = 1000000;
	linger_init(&l, 2);
	assert_int_equal(lingered(&l, &now_ns, LINGER_NS, 1000), 0);
}

/* What is wasted at the end of a rush is a few times LINGER_NS, and then nothing. */
static void lingering_ends_with_the_rush(void **state)
{
	struct linger l;
	uint64_t now_ns = 1000000;
	linger_init(&l, 2);
	for (int rush = 0; rush < 3; rush++) {
		assert_in_range(lingered(&l, &now_ns, 5000, 100), 97, 99);
		assert_in_range(lingered(&l, &now_ns, 4 * LINGER_NS, 1000), 1, 4);
	}
}

static void a_late_request_now_and_then_does_not_end_it(void **state)
{
	struct linger l;
	uint64_t now_ns = 1000000;
	linger_init(&l, 2);
	lingered(&l, &now_ns, 5000, 10);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(lingered(&l, &now_ns, 2 * LINGER_NS, 1), 1);
		assert_int_equal(lingered(&l, &now_ns, 5000, 9), 9);
	}
}

static void only_one_lingers(void **state)
{
	struct linger l;
	uint64_t now_ns = 1000000;
	linger_init(&l, 2);
	lingered(&l, &now_ns, 5000, 10);
	assert_true(linger_begin(&l));
	assert_false(linger_begin(&l));
	linger_end(&l, true);
	assert_true(linger_begin(&l));
}

static void on_one_processor_nobody_does(void **state)
{
	struct linger l;
	uint64_t now_ns = 1000000;
	linger_init(&l, 1);
	assert_int_equal(lingered(&l, &now_ns, 5000, 100), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_in_quick_succession_are_awaited),
		cmocka_unit_test(rare_requests_are_not),
		cmocka_unit_test(lingering_ends_with_the_rush),
		cmocka_unit_test(a_late_request_now_and_then_does_not_end_it),
		cmocka_unit_test(only_one_lingers),
		cmocka_unit_test(on_one_processor_nobody_does),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
