#include "tests/unit/test.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "fetch/base/lock.h"
#include "fs/flight.h"

#define MANY 32

/* Work whose owner waits until the test lets it land. */
struct work {
	pthread_mutex_t lock;
	struct flight flight;
	bool ready; /* under lock */
	pthread_mutex_t gate;
	pthread_cond_t moved;
	unsigned owners;    /* under gate: who have begun */
	unsigned landings;  /* under gate: how many may land */
	int results[4];     /* by order of ownership */
};

struct asker {
	pthread_t thread;
	struct work *work;
	struct cancel cancel;
	struct call call;
	int result;
	struct error error;
};

static void work_init(struct work *w)
{
	*w = (struct work){
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.gate = PTHREAD_MUTEX_INITIALIZER,
	};
	assert_int_equal(flight_init(&w->flight), 0);
	assert_int_equal(condition_init(&w->moved), 0);
}

static void work_finish(struct work *w)
{
	flight_finish(&w->flight);
	pthread_cond_destroy(&w->moved);
	pthread_mutex_destroy(&w->gate);
	pthread_mutex_destroy(&w->lock);
}

static bool is_ready(void *arg)
{
	return ((struct work *)arg)->ready;
}

/* The owner's part: waits for its turn, then lands with what the test says. */
static int do_work(struct work *w, struct error *e)
{
	int r;
	{
		LOCK_SCOPE(&w->gate);
		unsigned mine = w->owners++;
		pthread_cond_broadcast(&w->moved);
		while (w->landings <= mine)
			pthread_cond_wait(&w->moved, &w->gate);
		r = w->results[mine];
	}
	if (r < 0)
		error_set(e, r, "the owner's words");
	LOCK_SCOPE(&w->lock);
	w->ready = r == 0;
	return r;
}

static void *ask(void *arg)
{
	struct asker *a = arg;
	struct work *w = a->work;
	a->result = flight_join(&w->flight, &w->lock, &a->call, is_ready, w, &a->error);
	if (a->result == FLIGHT_OWNER) {
		a->result = do_work(w, &a->error);
		flight_land(&w->flight, &w->lock, a->result, &a->error);
	}
	return NULL;
}

static void start(struct asker *a, struct work *w, uint64_t deadline_ns)
{
	*a = (struct asker){.work = w};
	cancel_init(&a->cancel);
	a->call = (struct call){.deadline_ns = deadline_ns, .cancel = &a->cancel};
	assert_int_equal(pthread_create(&a->thread, NULL, ask, a), 0);
}

static void join(struct asker *a)
{
	pthread_join(a->thread, NULL);
	cancel_finish(&a->cancel);
}

static void wait_for_owners(struct work *w, unsigned n)
{
	LOCK_SCOPE(&w->gate);
	while (w->owners < n)
		pthread_cond_wait(&w->moved, &w->gate);
}

static void let_land(struct work *w, unsigned n)
{
	LOCK_SCOPE(&w->gate);
	w->landings = n;
	pthread_cond_broadcast(&w->moved);
}

static void many_ask_and_one_works(void **state)
{
	struct work w;
	struct asker askers[MANY];
	work_init(&w);
	for (int i = 0; i < MANY; i++)
		start(&askers[i], &w, DEADLINE_NONE);
	wait_for_owners(&w, 1);
	let_land(&w, MANY);
	for (int i = 0; i < MANY; i++) {
		join(&askers[i]);
		assert_int_equal(askers[i].result, 0);
	}
	assert_int_equal(w.owners, 1);
	work_finish(&w);
}

static void wait_for_waiters(struct work *w, unsigned n)
{
	for (;;) {
		LOCK_SCOPE(&w->lock);
		if (w->flight.waiting == n)
			return;
	}
}

static void those_who_waited_share_the_failure(void **state)
{
	struct work w;
	struct asker owner, other;
	work_init(&w);
	w.results[0] = -EBADMSG;
	start(&owner, &w, DEADLINE_NONE);
	wait_for_owners(&w, 1);
	start(&other, &w, DEADLINE_NONE);
	wait_for_waiters(&w, 1);
	let_land(&w, 2);
	join(&owner);
	join(&other);
	assert_int_equal(owner.result, -EBADMSG);
	assert_int_equal(w.owners, 1);
	assert_int_equal(other.result, -EBADMSG);
	assert_string_equal(other.error.text, "the owner's words");
	work_finish(&w);
}

static void an_owner_who_gives_up_is_replaced(void **state)
{
	static const int ways[] = {-ETIMEDOUT, -ECANCELED};
	for (size_t i = 0; i < 2; i++) {
		struct work w;
		struct asker owner, other;
		work_init(&w);
		w.results[0] = ways[i];
		start(&owner, &w, DEADLINE_NONE);
		wait_for_owners(&w, 1);
		start(&other, &w, DEADLINE_NONE);
		wait_for_waiters(&w, 1);
		let_land(&w, 2);
		join(&owner);
		join(&other);
		assert_int_equal(owner.result, ways[i]);
		assert_int_equal(other.result, 0);
		assert_int_equal(w.owners, 2);
		work_finish(&w);
	}
}

static void a_waiter_has_its_own_patience(void **state)
{
	struct work w;
	struct asker owner, late, interrupted;
	work_init(&w);
	start(&owner, &w, DEADLINE_NONE);
	wait_for_owners(&w, 1);
	start(&late, &w, clock_monotonic_ns());
	join(&late);
	assert_int_equal(late.result, -ETIMEDOUT);
	start(&interrupted, &w, DEADLINE_NONE);
	wait_for_waiters(&w, 1);
	cancel_fire(&interrupted.cancel);
	join(&interrupted);
	assert_int_equal(interrupted.result, -ECANCELED);
	let_land(&w, 1);
	join(&owner);
	assert_int_equal(owner.result, 0);
	work_finish(&w);
}

static void what_is_ready_needs_nobody(void **state)
{
	struct work w;
	work_init(&w);
	w.ready = true;
	assert_int_equal(
		flight_join(&w.flight, &w.lock, CALL_PATIENT, is_ready, &w, NULL), FLIGHT_READY);
	work_finish(&w);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(many_ask_and_one_works),
		cmocka_unit_test(those_who_waited_share_the_failure),
		cmocka_unit_test(an_owner_who_gives_up_is_replaced),
		cmocka_unit_test(a_waiter_has_its_own_patience),
		cmocka_unit_test(what_is_ready_needs_nobody),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
