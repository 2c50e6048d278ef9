#include "tests/unit/test.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "fs/lookout.h"

static struct lookout lookout;

static struct {
	atomic_uint at_post, most, turns;
	atomic_bool stop;
} seen;

static int set_up(void **state)
{
	lookout = (struct lookout)LOOKOUT_INIT;
	atomic_store(&seen.at_post, 0);
	atomic_store(&seen.most, 0);
	atomic_store(&seen.turns, 0);
	atomic_store(&seen.stop, false);
	return 0;
}

static unsigned waiting(void)
{
	pthread_mutex_lock(&lookout.lock);
	unsigned n = lookout.waiting;
	pthread_mutex_unlock(&lookout.lock);
	return n;
}

static void await_waiting(unsigned n)
{
	while (waiting() != n)
		sched_yield();
}

static void *take_once(void *arg)
{
	lookout_take(&lookout);
	atomic_fetch_add(&seen.turns, 1);
	lookout_leave(&lookout);
	return NULL;
}

static void who_has_it_keeps_it(void **state)
{
	lookout_leave(&lookout); /* has none: nothing happens */
	lookout_take(&lookout);
	lookout_take(&lookout);
	assert_true(lookout_is_manned(&lookout));
	lookout_leave(&lookout);
	assert_false(lookout_is_manned(&lookout));
}

static void the_others_wait_until_it_is_left(void **state)
{
	pthread_t threads[3];
	lookout_take(&lookout);
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, take_once, NULL), 0);
	await_waiting(3);
	assert_int_equal(atomic_load(&seen.turns), 0);
	lookout_leave(&lookout);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(atomic_load(&seen.turns), 3);
	assert_false(lookout_is_manned(&lookout));
}

static void *leave_without_having(void *arg)
{
	lookout_leave(&lookout);
	return NULL;
}

static void nobody_leaves_for_another(void **state)
{
	pthread_t thread;
	lookout_take(&lookout);
	pthread_create(&thread, NULL, leave_without_having, NULL);
	pthread_join(thread, NULL);
	assert_int_equal(lookout.manned, 1);
	lookout_leave(&lookout);
}

/* libfuse cancels its workers when a session ends. */
static void who_is_cancelled_holds_nothing(void **state)
{
	pthread_t thread;
	lookout_take(&lookout);
	pthread_create(&thread, NULL, take_once, NULL);
	await_waiting(1);
	pthread_cancel(thread);
	pthread_join(thread, NULL);
	assert_int_equal(waiting(), 0);
	lookout_leave(&lookout);
	take_once(NULL);
	assert_int_equal(atomic_load(&seen.turns), 1);
}

static void *take_turns(void *arg)
{
	while (!atomic_load(&seen.stop)) {
		lookout_take(&lookout);
		if (atomic_fetch_add(&seen.at_post, 1))
			atomic_store(&seen.most, 2);
		sched_yield();
		atomic_fetch_sub(&seen.at_post, 1);
		lookout_leave(&lookout);
		if (atomic_fetch_add(&seen.turns, 1) > 5000)
			atomic_store(&seen.stop, true);
	}
	return NULL;
}

static void there_is_one_at_a_time(void **state)
{
	pthread_t threads[4];
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, take_turns, NULL);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(atomic_load(&seen.most), 0);
	assert_false(lookout_is_manned(&lookout));
}

static void count(unsigned quick, unsigned slow, unsigned rounds)
{
	while (rounds--) {
		for (unsigned i = 0; i < quick; i++)
			lookout_count(&lookout, true);
		for (unsigned i = 0; i < slow; i++)
			lookout_count(&lookout, false);
	}
}

static void *take_and_stay(void *arg)
{
	lookout_take(&lookout);
	atomic_fetch_add(&seen.turns, 1);
	while (!atomic_load(&seen.stop))
		sched_yield();
	lookout_take(&lookout); /* as often as it likes */
	lookout_leave(&lookout);
	return NULL;
}

/* Where many requests may wait, nobody is to be woken for each. */
static void among_slow_requests_it_is_open_to_all(void **state)
{
	pthread_t threads[3];
	count(2, 1, 100);
	lookout_take(&lookout);
	for (int i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, take_and_stay, NULL);
	while (atomic_load(&seen.turns) < 3)
		sched_yield();
	assert_int_equal(lookout.manned, 4);
	atomic_store(&seen.stop, true);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	lookout_leave(&lookout);
	assert_false(lookout_is_manned(&lookout));
}

/* Who is at the post when it is closed goes as he comes back, but for one. */
static void among_quick_requests_one_is_left(void **state)
{
	pthread_t thread;
	count(0, 1, 100);
	pthread_create(&thread, NULL, take_and_stay, NULL);
	lookout_take(&lookout);
	while (atomic_load(&seen.turns) < 1)
		sched_yield();
	assert_int_equal(lookout.manned, 2);
	count(20, 1, 100);
	atomic_store(&seen.stop, true);
	await_waiting(1);
	assert_int_equal(lookout.manned, 1);
	lookout_take(&lookout); /* kept */
	assert_int_equal(waiting(), 1);
	lookout_leave(&lookout);
	pthread_join(thread, NULL);
	assert_false(lookout_is_manned(&lookout));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(who_has_it_keeps_it, set_up),
		cmocka_unit_test_setup(the_others_wait_until_it_is_left, set_up),
		cmocka_unit_test_setup(nobody_leaves_for_another, set_up),
		cmocka_unit_test_setup(who_is_cancelled_holds_nothing, set_up),
		cmocka_unit_test_setup(there_is_one_at_a_time, set_up),
		cmocka_unit_test_setup(among_slow_requests_it_is_open_to_all, set_up),
		cmocka_unit_test_setup(among_quick_requests_one_is_left, set_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
