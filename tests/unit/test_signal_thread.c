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

/* However the tests were started: in the background, or by nohup(1). */
static int no_signal_is_ignored(void **state)
{
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGHUP, SIG_DFL);
	return 0;
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

/* Also SIGTERM, which the thread is ended by. */
static void ignored_signals_are_not_told_of(void **state)
{
	const int ignored[] = {SIGHUP, SIGINT, SIGTERM};
	for (unsigned i = 0; i < 3; i++) {
		struct seen seen = {0};
		struct signal_thread t = {0};
		sem_init(&seen.one, 0, 0);
		signal(ignored[i], SIG_IGN);
		assert_int_equal(signal_thread_start(&t, note, &seen), 0);
		int other = ignored[(i + 1) % 3];
		kill(getpid(), ignored[i]);
		kill(getpid(), other);
		sem_wait(&seen.one);
		signal_thread_stop(&t);
		assert_int_equal(seen.number, other);
		assert_int_equal(seen.count, 1);
		signal(ignored[i], SIG_IGN); /* what is pending goes (signal(7)) */
		signal(ignored[i], SIG_DFL);
	}
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
		cmocka_unit_test(ignored_signals_are_not_told_of),
		cmocka_unit_test(nothing_is_told_of_after_its_stop),
		cmocka_unit_test(stopping_what_never_started_is_harmless),
	};
	return cmocka_run_group_tests(tests, no_signal_is_ignored, NULL);
}
