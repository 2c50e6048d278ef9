#include "tests/unit/test.h"

#include <errno.h>
#include <semaphore.h>

#include "fetch/base/cleanup.h"
#include "fetch/base/crew.h"

struct common {
	struct call call;
	struct cancel cancel;
	sem_t at_work;
	atomic_uint met[CREW_MAX]; /* by number */
	atomic_int ended[CREW_MAX];
	unsigned count; /* of members there were */
};

static void common_init(struct common *c)
{
	*c = (struct common){
		.call = {.deadline_ns = DEADLINE_NONE, .cancel = &c->cancel}};
	cancel_init(&c->cancel);
	sem_init(&c->at_work, 0, 0);
}

static void common_finish(struct common *c)
{
	cancel_finish(&c->cancel);
	sem_destroy(&c->at_work);
}

static void come_and_go(void *arg, unsigned number, const struct call *call)
{
	struct common *c = arg;
	assert_int_equal(call_check(call), 0);
	c->met[number]++;
}

static void each_number_works_once(void **state)
{
	for (unsigned n = 0; n <= CREW_MAX; n += 16) {
		CLEANUP(common_finish) struct common c;
		common_init(&c);
		assert_int_equal(crew_run(&c.call, n, come_and_go, &c), n);
		for (unsigned i = 0; i < CREW_MAX; i++)
			assert_int_equal(c.met[i], i < n);
	}
}

/* Everybody is there: each waits for all others. */
static void meet(void *arg, unsigned number, const struct call *call)
{
	pthread_barrier_wait(arg);
}

static void all_of_them_work_at_once(void **state)
{
	pthread_barrier_t barrier;
	pthread_barrier_init(&barrier, NULL, CREW_MAX);
	assert_int_equal(crew_run(CALL_PATIENT, CREW_MAX, meet, &barrier), CREW_MAX);
	pthread_barrier_destroy(&barrier);
}

static void wait_for_the_end(void *arg, unsigned number, const struct call *call)
{
	struct common *c = arg;
	sem_post(&c->at_work);
	c->ended[number] = call_pause(call, DEADLINE_NONE);
}

static void *run(void *arg)
{
	struct common *c = arg;
	c->count = crew_run(&c->call, 20, wait_for_the_end, c);
	return NULL;
}

static void a_cancel_ends_all_of_them(void **state)
{
	CLEANUP(common_finish) struct common c;
	common_init(&c);
	pthread_t thread;
	assert_int_equal(pthread_create(&thread, NULL, run, &c), 0);
	for (unsigned i = 0; i < 20; i++)
		sem_wait(&c.at_work);
	cancel_fire(&c.cancel);
	pthread_join(thread, NULL);
	assert_int_equal(c.count, 20);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(c.ended[i], -ECANCELED);
}

static void fired_before_it_ends_them_too(void **state)
{
	CLEANUP(common_finish) struct common c;
	common_init(&c);
	cancel_fire(&c.cancel);
	run(&c);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(c.ended[i], -ECANCELED);
}

static void of_the_deadline_each_says_so(void **state)
{
	CLEANUP(common_finish) struct common c;
	common_init(&c);
	c.call.deadline_ns = clock_monotonic_ns();
	run(&c);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(c.ended[i], -ETIMEDOUT);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_number_works_once),
		cmocka_unit_test(all_of_them_work_at_once),
		cmocka_unit_test(a_cancel_ends_all_of_them),
		cmocka_unit_test(fired_before_it_ends_them_too),
		cmocka_unit_test(of_the_deadline_each_says_so),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
