/* The watcher's rounds, over crowds and threads that are the test's. */
#include "tests/unit/test.h"

#include <stdatomic.h>

#include "fetch/base/lock.h"
#include "fs/watcher.h"

#define MOST 4

/* --- a crowd whose members the test names ----------------------------------------------
 */

static struct {
	pthread_mutex_t lock;
	pthread_cond_t moved;
	pid_t members[MOST];
	size_t count;
	unsigned rounds, looks;
	pid_t stopping; /* the thread that wants to stop */
} crowd = {.lock = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER};

static struct watcher watcher;

bool __wrap_thread_wants_stop(pid_t tid, bool unseen);
bool __wrap_thread_wants_stop(pid_t tid, bool unseen)
{
	LOCK_SCOPE(&crowd.lock);
	assert_false(unseen);
	crowd.looks++;
	return tid == crowd.stopping;
}

static size_t callers(void *arg, pid_t *ret, size_t most)
{
	LOCK_SCOPE(&crowd.lock);
	assert_true(most >= crowd.count);
	for (size_t i = 0; i < crowd.count; i++)
		ret[i] = crowd.members[i];
	crowd.rounds++;
	pthread_cond_broadcast(&crowd.moved);
	return crowd.count;
}

static void let_go(void *arg, pid_t tid)
{
	LOCK_SCOPE(&crowd.lock);
	size_t left = 0;
	for (size_t i = 0; i < crowd.count; i++)
		if (crowd.members[i] != tid)
			crowd.members[left++] = crowd.members[i];
	assert_true(left < crowd.count);
	crowd.count = left;
	pthread_cond_broadcast(&crowd.moved);
}

static void join(pid_t tid)
{
	{
		LOCK_SCOPE(&crowd.lock);
		crowd.members[crowd.count++] = tid;
	}
	watcher_rouse(&watcher);
}

static unsigned rounds(void)
{
	LOCK_SCOPE(&crowd.lock);
	return crowd.rounds;
}

static void wait_for_rounds(unsigned n)
{
	LOCK_SCOPE(&crowd.lock);
	while (crowd.rounds < n)
		pthread_cond_wait(&crowd.moved, &crowd.lock);
}

static void wait_for_count(size_t n)
{
	LOCK_SCOPE(&crowd.lock);
	while (crowd.count != n)
		pthread_cond_wait(&crowd.moved, &crowd.lock);
}

static void pass(uint64_t ns)
{
	struct call call = {.deadline_ns = DEADLINE_NONE};
	call_pause(&call, clock_monotonic_ns() + ns);
}

static int setup(void **state)
{
	const struct crowd one = {.callers = callers, .let_go = let_go};
	crowd.count = crowd.rounds = crowd.looks = 0;
	crowd.stopping = -1;
	return watcher_start(&watcher, &one, 1);
}

static int teardown(void **state)
{
	watcher_finish(&watcher);
	return 0;
}

/* --- the tests -------------------------------------------------------------------------
 */

static void who_wants_to_stop_is_let_go(void **state)
{
	join(5);
	join(6);
	wait_for_rounds(2);
	{
		LOCK_SCOPE(&crowd.lock);
		assert_int_equal(crowd.count, 2);
		crowd.stopping = 5;
	}
	wait_for_count(1);
	LOCK_SCOPE(&crowd.lock);
	assert_int_equal(crowd.members[0], 6);
}

static void a_thread_is_looked_at_once_in_a_round(void **state)
{
	{
		LOCK_SCOPE(&crowd.lock);
		crowd.members[0] = crowd.members[1] = 5;
		crowd.count = 2;
	}
	join(5);
	wait_for_rounds(3);
	watcher_stop(&watcher);
	assert_true(crowd.rounds >= 3);
	assert_int_equal(crowd.looks, crowd.rounds);
}

static void where_nobody_waits_it_sleeps(void **state)
{
	pass(2 * WATCH_NS);
	assert_int_equal(rounds(), 0);
	join(5);
	wait_for_rounds(1);
	let_go(NULL, 5);
	pass(2 * WATCH_NS); /* it finds nobody */
	unsigned before = rounds();
	pass(2 * WATCH_NS);
	assert_int_equal(rounds(), before);
	join(5); /* and it wakes again */
	wait_for_rounds(before + 1);
}

static void it_ends_while_somebody_waits(void **state)
{
	join(5);
	watcher_stop(&watcher);
	unsigned before = rounds();
	join(6);
	pass(2 * WATCH_NS);
	assert_int_equal(rounds(), before);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(who_wants_to_stop_is_let_go),
		TEST(a_thread_is_looked_at_once_in_a_round),
		TEST(where_nobody_waits_it_sleeps),
		TEST(it_ends_while_somebody_waits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
