#include "tests/unit/test.h"

#include <errno.h>
#include <string.h>

#include "fetch/base/call.h"
#include "fetch/retry.h"
#include "fetch/retry_budget.h"

#define NOW (UINT64_C(1000) * NS_PER_SECOND)
#define MS  NS_PER_MS

/* A first failure of a signed request with everything still open to it. */
static struct retry_facts facts_of(int error, int status, const char *code)
{
	return (struct retry_facts){
		.failures = 1,
		.retries = 3,
		.granted = true,
		.error = error,
		.status = status,
		.code = code,
		.is_signed = true,
		.has_date = true,
		.now_ns = NOW,
		.deadline_ns = DEADLINE_NONE,
		.random = 0,
	};
}

static enum retry_action action_of(struct retry_facts f)
{
	return retry_judge(&f).action;
}

static void answers_that_mean_something_are_the_callers(void **state)
{
	static const int statuses[] = {200, 204, 206, 301, 302, 304, 307, 308, 403, 404,
		405, 409, 411, 412, 416, 501, 505, 507};
	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
		struct retry_facts f = facts_of(0, statuses[i], "");
		if (retry_judge(&f).action != RETRY_DONE || retry_is_transient(&f))
			fail_msg("%d is not done", statuses[i]);
	}
	assert_int_equal(action_of(facts_of(0, 403, "AccessDenied")), RETRY_DONE);
	assert_int_equal(action_of(facts_of(0, 400, "InvalidPart")), RETRY_DONE);
}

static void passing_troubles_are_tried_again(void **state)
{
	static const int statuses[] = {408, 429, 500, 502, 503, 504, 520, 599};
	static const int errors[] = {
		-ECONNREFUSED, -ECONNRESET, -EHOSTUNREACH, -ETIME, -EPROTO};
	static const bool fresh[] = {true, false, true, true, false};
	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
		struct retry_facts f = facts_of(0, statuses[i], "");
		assert_int_equal(retry_judge(&f).action, RETRY_AGAIN);
		assert_true(retry_is_transient(&f));
	}
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		struct retry_facts f = facts_of(errors[i], 0, "");
		assert_int_equal(retry_judge(&f).action, RETRY_AGAIN);
		assert_int_equal(retry_judge(&f).fresh_connection, fresh[i]);
	}
	assert_int_equal(action_of(facts_of(0, 400, "RequestTimeout")), RETRY_AGAIN);
}

static void hopeless_errors_are_not(void **state)
{
	static const int errors[] = {-ETIMEDOUT, -ECANCELED, -ENOMEM, -EINVAL, -EMSGSIZE,
		-EIO, -ECONNABORTED, -EKEYREJECTED};
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		struct retry_facts f = facts_of(errors[i], 0, "");
		assert_int_equal(retry_judge(&f).action, RETRY_FAIL);
		assert_false(retry_is_transient(&f));
	}
}

/* What is not idempotent is repeated only when it cannot have had an effect. */
static void what_must_be_done_once_is_repeated_only_if_undone(void **state)
{
	static const struct {
		int error, status;
		enum retry_action action;
	} cases[] = {{-ECONNREFUSED, 0, RETRY_AGAIN}, {-EHOSTUNREACH, 0, RETRY_AGAIN},
		{-ECONNRESET, 0, RETRY_FAIL}, {-ETIME, 0, RETRY_FAIL},
		{-EPROTO, 0, RETRY_FAIL}, {0, 429, RETRY_AGAIN}, {0, 503, RETRY_AGAIN},
		{0, 500, RETRY_FAIL}, {0, 502, RETRY_FAIL}, {0, 504, RETRY_FAIL},
		{0, 408, RETRY_FAIL}, {0, 501, RETRY_DONE}, {0, 200, RETRY_DONE},
		{0, 412, RETRY_DONE}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct retry_facts f = facts_of(cases[i].error, cases[i].status, "");
		f.once = true;
		assert_int_equal(retry_judge(&f).action, cases[i].action);
		assert_int_equal(retry_is_transient(&f), cases[i].action == RETRY_AGAIN);
	}
}

static void retries_are_counted_and_must_be_granted(void **state)
{
	struct retry_facts f = facts_of(0, 503, "SlowDown");
	f.failures = 3;
	assert_int_equal(action_of(f), RETRY_AGAIN);
	f.failures = 4;
	assert_int_equal(action_of(f), RETRY_FAIL);
	f = facts_of(0, 503, "SlowDown");
	f.granted = false;
	assert_int_equal(action_of(f), RETRY_FAIL);
	f = facts_of(0, 503, "SlowDown");
	f.retries = 0;
	assert_int_equal(action_of(f), RETRY_FAIL);
}

/* The widest pause: the random number that gives it is the pause itself. */
static uint64_t widest(unsigned failures)
{
	struct retry_facts f = facts_of(0, 503, "");
	f.failures = failures;
	f.retries = UINT32_MAX;
	f.random = 0;
	assert_true(retry_judge(&f).at_ns == NOW);
	uint64_t most = 0;
	for (uint64_t n = 1; n <= RETRY_PAUSE_MOST_NS; n *= 2) {
		f.random = UINT64_MAX / n;
		uint64_t pause = retry_judge(&f).at_ns - NOW;
		most = pause > most ? pause : most;
	}
	return most;
}

static void pauses_double_up_to_a_cap(void **state)
{
	static const uint64_t most[] = {250, 500, 1000, 2000, 4000, 8000, 10000, 10000};
	for (unsigned i = 0; i < 8; i++) {
		struct retry_facts f = facts_of(0, 503, "");
		f.failures = i + 1;
		f.retries = 100;
		f.random = most[i] * MS;
		assert_true(retry_judge(&f).at_ns == NOW + most[i] * MS);
		f.random = most[i] * MS + 1;
		assert_true(retry_judge(&f).at_ns == NOW);
		assert_true(widest(i + 1) <= most[i] * MS);
	}
	assert_true(widest(UINT32_MAX) <= RETRY_PAUSE_MOST_NS);
}

static void nothing_is_tried_after_the_deadline(void **state)
{
	struct retry_facts f = facts_of(0, 503, "");
	f.random = 100 * MS;
	f.deadline_ns = NOW + 100 * MS;
	assert_int_equal(action_of(f), RETRY_AGAIN);
	f.deadline_ns--;
	assert_int_equal(action_of(f), RETRY_FAIL);
}

static void retry_after_is_obeyed(void **state)
{
	struct retry_facts f = facts_of(0, 503, "");
	f.has_retry_after = true;
	f.retry_after_ns = 7 * NS_PER_SECOND;
	f.random = 3;
	assert_true(retry_judge(&f).at_ns == NOW + 7 * NS_PER_SECOND + 3);
	f.random = RETRY_PAUSE_BASE_NS;
	assert_true(
		retry_judge(&f).at_ns == NOW + 7 * NS_PER_SECOND + RETRY_PAUSE_BASE_NS);
	f.deadline_ns = NOW + 7 * NS_PER_SECOND;
	assert_int_equal(action_of(f), RETRY_FAIL);
	f.random = 0;
	assert_int_equal(action_of(f), RETRY_AGAIN);
	f.deadline_ns = DEADLINE_NONE;
	f.retry_after_ns = UINT64_MAX;
	assert_int_equal(action_of(f), RETRY_FAIL);
	f.random = 1;
	assert_int_equal(action_of(f), RETRY_FAIL);
}

static void a_retry_after_is_bounded_by_the_deadline_or_by_itself(void **state)
{
	struct retry_facts f = facts_of(0, 503, "");
	f.has_retry_after = true;
	f.retry_after_ns = 300 * NS_PER_SECOND;
	assert_int_equal(action_of(f), RETRY_AGAIN);
	f.retry_after_ns++;
	assert_int_equal(action_of(f), RETRY_FAIL);
	f.deadline_ns = NOW + 24 * 3600 * NS_PER_SECOND; /* who says so has the time */
	assert_int_equal(action_of(f), RETRY_AGAIN);
}

static void refused_credentials_are_refreshed_once(void **state)
{
	static const char *const codes[] = {"ExpiredToken", "InvalidAccessKeyId",
		"InvalidToken", "SignatureDoesNotMatch", "TokenRefreshRequired"};
	for (size_t i = 0; i < 5; i++) {
		struct retry_facts f = facts_of(0, i % 2 ? 403 : 400, codes[i]);
		assert_int_equal(action_of(f), RETRY_REFRESH);
		f.refreshed = true;
		assert_int_equal(action_of(f), RETRY_REJECTED);
		f.is_signed = false;
		assert_int_equal(action_of(f), RETRY_DONE);
	}
	struct retry_facts f = facts_of(0, 400, ""); /* as HEAD has it */
	assert_int_equal(action_of(f), RETRY_DOUBT);
	f.refreshed = true;
	assert_int_equal(action_of(f), RETRY_DONE);
}

static void a_skewed_clock_is_learned_once(void **state)
{
	struct retry_facts f = facts_of(0, 403, "RequestTimeTooSkewed");
	assert_int_equal(action_of(f), RETRY_LEARN_CLOCK);
	f.clock_learned = true;
	assert_int_equal(action_of(f), RETRY_REJECTED);
	f.clock_learned = false;
	f.has_date = false;
	assert_int_equal(action_of(f), RETRY_REJECTED);
	f = facts_of(0, 403, ""); /* as HEAD has it */
	assert_int_equal(action_of(f), RETRY_DONE);
	f.clock_differs = true;
	assert_int_equal(action_of(f), RETRY_LEARN_CLOCK);
	f.clock_learned = true;
	assert_int_equal(action_of(f), RETRY_DONE);
	f = facts_of(0, 403, "AccessDenied");
	f.clock_differs = true;
	assert_int_equal(action_of(f), RETRY_DONE);
}

static void another_region_is_moved_to_so_often(void **state)
{
	static const int statuses[] = {301, 307, 308, 400};
	for (size_t i = 0; i < 4; i++) {
		struct retry_facts f = facts_of(0, statuses[i], "PermanentRedirect");
		assert_int_equal(action_of(f), RETRY_DONE);
		f.can_move = true;
		assert_int_equal(action_of(f), RETRY_MOVE);
		f.is_signed = false;
		assert_int_equal(action_of(f), RETRY_MOVE);
		f.moves = RETRY_MOVES_MAX;
		assert_int_equal(action_of(f), RETRY_DONE);
	}
	struct retry_facts f = facts_of(0, 403, "");
	f.can_move = true;
	assert_int_equal(action_of(f), RETRY_DONE);
}

/* --- the budget ----------------------------------------------------------------------
 */

static unsigned retries_left(struct retry_budget *b, uint64_t now_ns)
{
	unsigned n = 0;
	while (retry_budget_take(b, now_ns))
		n++;
	return n;
}

static void the_budget_ends(void **state)
{
	struct retry_budget b;
	retry_budget_init(&b, NOW);
	assert_int_equal(retries_left(&b, NOW), BUDGET_FULL / BUDGET_RETRY);
	assert_false(retry_budget_take(&b, NOW));
}

static void success_gives_back(void **state)
{
	struct retry_budget b;
	retry_budget_init(&b, NOW);
	retries_left(&b, NOW);
	for (int i = 0; i < BUDGET_RETRY - 1; i++)
		retry_budget_give(&b, BUDGET_SUCCESS);
	assert_false(retry_budget_take(&b, NOW));
	retry_budget_give(&b, BUDGET_SUCCESS);
	assert_true(retry_budget_take(&b, NOW));
	retry_budget_give(&b, BUDGET_RETRY);
	assert_true(retry_budget_take(&b, NOW));
}

static void time_gives_back_and_the_bucket_never_overflows(void **state)
{
	struct retry_budget b;
	uint64_t one = NS_PER_SECOND * BUDGET_RETRY / BUDGET_PER_S;
	retry_budget_init(&b, NOW);
	retries_left(&b, NOW);
	assert_false(retry_budget_take(&b, NOW + one - 1));
	assert_true(retry_budget_take(&b, NOW + one));
	assert_false(
		retry_budget_take(&b, NOW)); /* a caller whose clock reading is older */
	assert_int_equal(retries_left(&b, NOW + one + 10 * NS_PER_SECOND),
		10 * BUDGET_PER_S / BUDGET_RETRY);
	assert_int_equal(retries_left(&b, UINT64_MAX), BUDGET_FULL / BUDGET_RETRY);
	retry_budget_give(&b, 3 * BUDGET_FULL);
	assert_int_equal(retries_left(&b, UINT64_MAX), BUDGET_FULL / BUDGET_RETRY);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_that_mean_something_are_the_callers),
		cmocka_unit_test(passing_troubles_are_tried_again),
		cmocka_unit_test(hopeless_errors_are_not),
		cmocka_unit_test(what_must_be_done_once_is_repeated_only_if_undone),
		cmocka_unit_test(retries_are_counted_and_must_be_granted),
		cmocka_unit_test(pauses_double_up_to_a_cap),
		cmocka_unit_test(nothing_is_tried_after_the_deadline),
		cmocka_unit_test(retry_after_is_obeyed),
		cmocka_unit_test(a_retry_after_is_bounded_by_the_deadline_or_by_itself),
		cmocka_unit_test(refused_credentials_are_refreshed_once),
		cmocka_unit_test(a_skewed_clock_is_learned_once),
		cmocka_unit_test(another_region_is_moved_to_so_often),
		cmocka_unit_test(the_budget_ends),
		cmocka_unit_test(success_gives_back),
		cmocka_unit_test(time_gives_back_and_the_bucket_never_overflows),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
