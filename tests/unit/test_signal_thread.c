#include "tests/unit/test.h"

#include <semaphore.h>
#include <signal.h>
#include <unistd.h>

#include "fetch/base/signal_thread.h"

struct seen {
	sem_t one;
	int number;
	unsigned count;
};

static void note(void *arg, int number)
{
	struct seen *s = arg;
	s->number = number;
	s->count++;
	sem_post(&s->one);
}

static void each_signal_is_told_of(void **state)
{
	struct seen seen = {0};
	struct signal_thread t = {0};
	sem_init(&seen.one, 0, 0);
	assert_int_equal(signal_thread_start(&t, note, &seen), 0);
	const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGTERM};
	for (unsigned i = 0; i < 4; i++) {
		kill(getpid(), signals[i]);
		sem_wait(&seen.one);
		assert_int_equal(seen.number, signals[i]);
	}
	signal_thread_stop(&t);
	assert_int_equal(seen.count, 4);
}

/* It can be stopped when none came, and none is told of afterwards, nor ends the process. */
static void nothing_is_told_of_after_its_stop(void **state)
{
	struct seen seen = {0};
	struct signal_thread t = {0};
	sem_init(&seen.one, 0, 0);
	assert_int_equal(signal_thread_start(&t, note, &seen), 0);
	signal_thread_stop(&t);
	kill(getpid(), SIGTERM);
	signal_thread_stop(&t);
	assert_int_equal(seen.count, 0);
	sigset_t pending;
	sigpending(&pending);
	assert_true(sigismember(&pending, SIGTERM));
}

static void stopping_what_never_started_is_harmless(void **state)
{
	struct signal_thread t = {0};
	signal_thread_stop(&t);
	assert_false(t.started);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_signal_is_told_of),
		cmocka_unit_test(nothing_is_told_of_after_its_stop),
		cmocka_unit_test(stopping_what_never_started_is_harmless),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
