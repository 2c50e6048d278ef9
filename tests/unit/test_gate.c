/* The gate and requests, with libfuse's part played here (linked with --wrap). */
#include "tests/unit/test.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "fetch/base/lock.h"
#include "fs/gate.h"
#include "fs/request.h"

#define MANY 400

/* --- libfuse's part: a request has an interrupt function and is answered once ---------
 */

struct fuse_req {
	pthread_mutex_t lock;
	struct fuse_ctx ctx;
	fuse_interrupt_func_t func; /* under lock */
	void *data;                 /* under lock */
	bool interrupted;           /* under lock */
	atomic_int answer;          /* -1: none yet */
};

int __wrap_fuse_reply_err(fuse_req_t req, int err);
int __wrap_fuse_reply_err(fuse_req_t req, int err)
{
	int none = -1;
	assert_true(atomic_compare_exchange_strong(&req->answer, &none, err));
	return 0;
}

const struct fuse_ctx *__wrap_fuse_req_ctx(fuse_req_t req);
const struct fuse_ctx *__wrap_fuse_req_ctx(fuse_req_t req)
{
	return &req->ctx;
}

void __wrap_fuse_req_interrupt_func(
	fuse_req_t req, fuse_interrupt_func_t func, void *data);
void __wrap_fuse_req_interrupt_func(
	fuse_req_t req, fuse_interrupt_func_t func, void *data)
{
	LOCK_SCOPE(&req->lock);
	req->func = func;
	req->data = data;
	if (req->interrupted && func)
		func(req, data);
}

/* What the kernel's INTERRUPT does. */
static void interrupt(fuse_req_t req)
{
	LOCK_SCOPE(&req->lock);
	req->interrupted = true;
	if (req->func)
		req->func(req, req->data);
}

static void req_init(struct fuse_req *req)
{
	*req = (struct fuse_req){.lock = PTHREAD_MUTEX_INITIALIZER};
	atomic_init(&req->answer, -1);
	req->ctx.pid = 0; /* out of sight */
}

static _Thread_local bool no_memory;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
	return no_memory ? NULL : __real_malloc(size);
}

/* Does this thread want to stop? Told by the test, where it is not out of sight. */
static atomic_bool wants_stop;

bool __wrap_thread_wants_stop(pid_t tid, bool unseen);
bool __wrap_thread_wants_stop(pid_t tid, bool unseen)
{
	return (tid || unseen) && atomic_load(&wants_stop);
}

/* --- jobs that wait until they are let go ----------------------------------------------
 */

static struct {
	pthread_mutex_t lock;
	pthread_cond_t moved;
	unsigned inside, most, done;
	bool hold;
} hall = {.lock = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER};

static struct watcher watcher;
static struct requests set;

static void drop(struct job *job)
{
	fuse_reply_err(job->req, EINTR);
}

static void stay(struct job *job)
{
	struct request r;
	request_begin(&r, &set, job->req, DEADLINE_NONE);
	call_attach(&r.call, &hall.lock, &hall.moved);
	pthread_mutex_lock(&hall.lock);
	if (++hall.inside > hall.most)
		hall.most = hall.inside;
	pthread_cond_broadcast(&hall.moved);
	int result = 0;
	while (hall.hold && result == 0)
		result = call_wait(&r.call, &hall.lock, &hall.moved);
	hall.inside--;
	hall.done++;
	pthread_cond_broadcast(&hall.moved);
	pthread_mutex_unlock(&hall.lock);
	call_detach(&r.call);
	request_end(&r);
	fuse_reply_err(job->req, -result);
}

struct worker {
	pthread_t thread;
	struct gate *gate;
	struct fuse_req *req;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	struct job job = {.run = stay, .drop = drop, .req = w->req};
	gate_run(w->gate, &job);
	return NULL;
}

static void wait_inside(unsigned n)
{
	LOCK_SCOPE(&hall.lock);
	while (hall.inside < n)
		pthread_cond_wait(&hall.moved, &hall.lock);
}

static void open_hall(bool open)
{
	LOCK_SCOPE(&hall.lock);
	hall.hold = !open;
	pthread_cond_broadcast(&hall.moved);
}

static int setup(void **state)
{
	hall.inside = hall.most = hall.done = 0;
	hall.hold = true;
	atomic_store(&wants_stop, true);
	requests_init(&set, &watcher);
	return watcher_start(&watcher, NULL, 0);
}

static int teardown(void **state)
{
	watcher_finish(&watcher);
	requests_finish(&set);
	return 0;
}

/* Fills the gate, each place by a worker of its own. */
static void fill(struct gate *g, struct worker *workers, struct fuse_req *reqs)
{
	gate_init(g, &watcher);
	for (int i = 0; i < GATE_MOST; i++) {
		req_init(&reqs[i]);
		workers[i] = (struct worker){.gate = g, .req = &reqs[i]};
		pthread_create(&workers[i].thread, NULL, work, &workers[i]);
	}
	wait_inside(GATE_MOST);
}

static void join(struct worker *workers)
{
	for (int i = 0; i < GATE_MOST; i++)
		pthread_join(workers[i].thread, NULL);
}

/* --- the tests -------------------------------------------------------------------------
 */

static void a_full_gate_sends_workers_back(void **state)
{
	static struct gate g;
	static struct fuse_req reqs[MANY];
	static struct worker workers[GATE_MOST];
	fill(&g, workers, reqs);
	for (int i = GATE_MOST; i < MANY; i++) {
		req_init(&reqs[i]);
		struct worker here = {.gate = &g, .req = &reqs[i]};
		work(&here); /* returns although nobody can go in */
		assert_int_equal(atomic_load(&reqs[i].answer), -1);
	}
	unsigned inside, waiting;
	gate_stats(&g, &inside, &waiting);
	assert_int_equal(inside, GATE_MOST);
	assert_int_equal(waiting, MANY - GATE_MOST);
	assert_false(gate_has_room(&g));
	open_hall(true);
	join(workers);
	assert_true(gate_has_room(&g));
	assert_int_equal(hall.done, MANY);
	assert_int_equal(hall.most, GATE_MOST);
	for (int i = 0; i < MANY; i++)
		assert_int_equal(atomic_load(&reqs[i].answer), 0);
	gate_finish(&g);
}

static void *work_without_memory(void *arg)
{
	no_memory = true;
	return work(arg);
}

static void what_cannot_be_queued_is_let_in(void **state)
{
	static struct gate g;
	static struct fuse_req reqs[GATE_MOST + 1];
	static struct worker workers[GATE_MOST];
	fill(&g, workers, reqs);
	req_init(&reqs[GATE_MOST]);
	struct worker poor = {.gate = &g, .req = &reqs[GATE_MOST]};
	pthread_create(&poor.thread, NULL, work_without_memory, &poor);
	wait_inside(GATE_MOST + 1);
	open_hall(true);
	pthread_join(poor.thread, NULL);
	join(workers);
	assert_int_equal(atomic_load(&reqs[GATE_MOST].answer), 0);
	unsigned inside, waiting;
	gate_stats(&g, &inside, &waiting);
	assert_int_equal(inside, 0);
	gate_finish(&g);
}

static void who_waits_outside_may_leave(void **state)
{
	static struct gate g;
	static struct fuse_req reqs[GATE_MOST + 3];
	static struct worker workers[GATE_MOST];
	fill(&g, workers, reqs);
	for (int i = GATE_MOST; i < GATE_MOST + 3; i++) {
		req_init(&reqs[i]);
		struct worker here = {.gate = &g, .req = &reqs[i]};
		work(&here);
	}
	interrupt(&reqs[GATE_MOST + 1]);
	assert_int_equal(atomic_load(&reqs[GATE_MOST + 1].answer), EINTR);
	assert_int_equal(atomic_load(&reqs[GATE_MOST].answer), -1);
	atomic_store(&wants_stop, false);
	interrupt(&reqs[GATE_MOST + 2]); /* SIGCHLD, say */
	assert_int_equal(atomic_load(&reqs[GATE_MOST + 2].answer), -1);
	open_hall(true);
	join(workers);
	assert_int_equal(atomic_load(&reqs[GATE_MOST].answer), 0);
	assert_int_equal(atomic_load(&reqs[GATE_MOST + 2].answer), 0);
	gate_finish(&g);
}

static void the_end_answers_everybody(void **state)
{
	static struct gate g;
	static struct fuse_req reqs[MANY];
	static struct worker workers[GATE_MOST];
	fill(&g, workers, reqs);
	for (int i = GATE_MOST; i < MANY; i++) {
		req_init(&reqs[i]);
		struct worker here = {.gate = &g, .req = &reqs[i]};
		work(&here);
	}
	requests_cancel_all(&set);
	gate_cancel_waiting(&g);
	join(workers);
	for (int i = 0; i < MANY; i++)
		assert_true(atomic_load(&reqs[i].answer) > 0);
	gate_finish(&g);
}

static void an_interrupt_ends_a_wait(void **state)
{
	static struct gate g;
	struct fuse_req req;
	struct worker w = {.gate = &g, .req = &req};
	gate_init(&g, &watcher);
	req_init(&req);
	pthread_create(&w.thread, NULL, work, &w);
	wait_inside(1);
	interrupt(&req);
	pthread_join(w.thread, NULL);
	assert_int_equal(atomic_load(&req.answer), ECANCELED);
	gate_finish(&g);
}

static void an_interrupt_before_the_wait_counts_too(void **state)
{
	static struct gate g;
	struct fuse_req req;
	struct worker w = {.gate = &g, .req = &req};
	gate_init(&g, &watcher);
	req_init(&req);
	interrupt(&req);
	work(&w);
	assert_int_equal(atomic_load(&req.answer), ECANCELED);
	gate_finish(&g);
}

static void watch(struct crowd crowd)
{
	watcher_finish(&watcher);
	assert_int_equal(watcher_start(&watcher, &crowd, 1), 0);
}

/* The kernel interrupts once. The signal was none to stop for; a later one is. */
static void a_second_signal_is_seen_by_the_watcher(void **state)
{
	static struct gate g;
	struct fuse_req req;
	struct worker w = {.gate = &g, .req = &req};
	gate_init(&g, &watcher);
	req_init(&req);
	req.ctx.pid = 7;
	watch(requests_crowd(&set));
	atomic_store(&wants_stop, false);
	pthread_create(&w.thread, NULL, work, &w);
	wait_inside(1);
	interrupt(&req);
	assert_int_equal(atomic_load(&req.answer), -1);
	atomic_store(&wants_stop, true);
	pthread_join(w.thread, NULL);
	assert_int_equal(atomic_load(&req.answer), ECANCELED);
	gate_finish(&g);
}

static void only_whose_thread_it_is_are_let_go(void **state)
{
	struct fuse_req reqs[3];
	struct request r[3];
	for (int i = 0; i < 3; i++) {
		req_init(&reqs[i]);
		reqs[i].ctx.pid = i == 1 ? 8 : 7;
		request_begin(&r[i], &set, &reqs[i], DEADLINE_NONE);
	}
	struct crowd crowd = requests_crowd(&set);
	crowd.let_go(crowd.arg, 7);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(call_check(&r[i].call), i == 1 ? 0 : -ECANCELED);
		request_end(&r[i]);
	}
}

static void wait_for_answer(struct fuse_req *req)
{
	struct call call = {.deadline_ns = DEADLINE_NONE};
	while (atomic_load(&req->answer) < 0)
		call_pause(&call, clock_monotonic_ns() + NS_PER_MS);
}

/* The first was interrupted, for nothing to stop for; the second is read ahead, for which
 * there is no INTERRUPT; the third is out of sight. */
static void the_watcher_sees_who_waits_outside(void **state)
{
	static struct gate g;
	static struct fuse_req reqs[GATE_MOST + 3];
	static struct worker workers[GATE_MOST];
	fill(&g, workers, reqs);
	watch(gate_crowd(&g));
	atomic_store(&wants_stop, false);
	for (int i = GATE_MOST; i < GATE_MOST + 3; i++) {
		req_init(&reqs[i]);
		reqs[i].ctx.pid = i < GATE_MOST + 2 ? i : 0;
		struct worker here = {.gate = &g, .req = &reqs[i]};
		work(&here);
	}
	interrupt(&reqs[GATE_MOST]);
	assert_int_equal(atomic_load(&reqs[GATE_MOST].answer), -1);
	atomic_store(&wants_stop, true);
	wait_for_answer(&reqs[GATE_MOST]);
	wait_for_answer(&reqs[GATE_MOST + 1]);
	assert_int_equal(atomic_load(&reqs[GATE_MOST].answer), EINTR);
	assert_int_equal(atomic_load(&reqs[GATE_MOST + 1].answer), EINTR);
	open_hall(true);
	join(workers);
	assert_int_equal(atomic_load(&reqs[GATE_MOST + 2].answer), 0);
	gate_finish(&g);
}

static void expect_callers(const struct crowd *crowd, size_t most, pid_t first, size_t n)
{
	pid_t threads[MANY];
	assert_int_equal(crowd->callers(crowd->arg, threads, most), n);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(threads[i], first + (pid_t)i);
}

static void a_long_queue_is_seen_in_turns(void **state)
{
	static struct gate g;
	static struct fuse_req reqs[GATE_MOST + 10];
	static struct worker workers[GATE_MOST];
	fill(&g, workers, reqs);
	for (int i = 0; i < 10; i++) {
		struct fuse_req *req = &reqs[GATE_MOST + i];
		req_init(req);
		req->ctx.pid = 100 + i;
		struct worker here = {.gate = &g, .req = req};
		work(&here);
	}
	struct crowd crowd = gate_crowd(&g);
	expect_callers(&crowd, 6, 100, 6);
	expect_callers(&crowd, 6, 106, 4);
	expect_callers(&crowd, 6, 100, 6);
	crowd.let_go(crowd.arg, 106); /* who would have been next */
	assert_int_equal(atomic_load(&reqs[GATE_MOST + 6].answer), EINTR);
	expect_callers(&crowd, 6, 107, 3);
	open_hall(true);
	join(workers);
	expect_callers(&crowd, 6, 0, 0);
	gate_finish(&g);
}

static void work_of_our_own_ends_with_the_mount(void **state)
{
	struct request r;
	request_begin(&r, &set, NULL, DEADLINE_NONE);
	assert_int_equal(call_check(&r.call), 0);
	requests_cancel_all(&set);
	assert_int_equal(call_check(&r.call), -ECANCELED);
	request_end(&r);
	request_begin(&r, &set, NULL, DEADLINE_NONE);
	assert_int_equal(call_check(&r.call), -ECANCELED);
	request_end(&r);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(a_full_gate_sends_workers_back),
		TEST(what_cannot_be_queued_is_let_in),
		TEST(who_waits_outside_may_leave),
		TEST(the_end_answers_everybody),
		TEST(an_interrupt_ends_a_wait),
		TEST(an_interrupt_before_the_wait_counts_too),
		TEST(a_second_signal_is_seen_by_the_watcher),
		TEST(only_whose_thread_it_is_are_let_go),
		TEST(the_watcher_sees_who_waits_outside),
		TEST(a_long_queue_is_seen_in_turns),
		TEST(work_of_our_own_ends_with_the_mount),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
