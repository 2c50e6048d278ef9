#include "tests/unit/test.h"

#include <errno.h>
#include <pthread.h>

#include "archive/frame_queue.h"

enum { WINDOW = 3 };

static struct frame_queue *queue_of(uint32_t frames)
{
	struct frame_queue *q = NULL;
	assert_int_equal(frame_queue_new(WINDOW, &q), 0);
	for (uint32_t i = 0; i < frames; i++) {
		struct frame_plan plan = {.kind = PLAN_MEMBERS, .first = i};
		assert_int_equal(frame_queue_add(q, &plan, 1), 0);
	}
	return q;
}

static struct frame_slot *take(struct frame_queue *q, uint32_t want)
{
	struct frame_slot *s = frame_queue_take(q);
	assert_non_null(s);
	assert_int_equal(s->plan.first, want);
	return s;
}

static void frames_come_out_in_order(void **state)
{
	CLEANUP(cleanup_frame_queue) struct frame_queue *q = queue_of(3);
	struct frame_slot *a = take(q, 0), *b = take(q, 1), *c = take(q, 2);
	frame_queue_done(q, c);
	frame_queue_done(q, b);
	assert_null(frame_queue_peek(q));
	frame_queue_done(q, a);
	assert_ptr_equal(frame_queue_peek(q), a);
	assert_ptr_equal(frame_queue_peek(q), a);
	frame_queue_pop(q);
	assert_ptr_equal(frame_queue_peek(q), b);
	frame_queue_pop(q);
	assert_false(frame_queue_empty(q));
	assert_ptr_equal(frame_queue_peek(q), c);
	frame_queue_pop(q);
	assert_true(frame_queue_empty(q));
	assert_null(frame_queue_peek(q));
}

/* A worker that takes frames until there are no more. */
static void *work(void *arg)
{
	struct frame_queue *q = arg;
	struct frame_slot *s;
	while ((s = frame_queue_take(q))) {
		s->frame.raw = s->plan.first;
		frame_queue_done(q, s);
	}
	return NULL;
}

static void many_frames_pass_through_a_small_window(void **state)
{
	enum { FRAMES = 20000, WORKERS = 4 };
	CLEANUP(cleanup_frame_queue) struct frame_queue *q = queue_of(FRAMES / 2);
	pthread_t threads[WORKERS];
	for (int i = 0; i < WORKERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, work, q), 0);
	for (uint32_t i = 0; i < FRAMES; i++) {
		if (i < FRAMES / 2) {
			struct frame_plan plan = {.first = FRAMES / 2 + i};
			assert_int_equal(frame_queue_add(q, &plan, 1), 0);
		}
		assert_int_equal(frame_queue_wait(q, CALL_PATIENT), 0);
		assert_int_equal(frame_queue_peek(q)->frame.raw, i);
		frame_queue_pop(q);
	}
	assert_true(frame_queue_empty(q));
	frame_queue_stop(q);
	for (int i = 0; i < WORKERS; i++)
		pthread_join(threads[i], NULL);
}

static void the_window_holds_workers_back(void **state)
{
	CLEANUP(cleanup_frame_queue) struct frame_queue *q = queue_of(100);
	pthread_t thread;
	assert_int_equal(pthread_create(&thread, NULL, work, q), 0);
	for (int i = 0; i < 10; i++) {
		assert_int_equal(frame_queue_wait(q, CALL_PATIENT), 0);
		/* whoever went past the window would have used this slot again */
		assert_int_equal(frame_queue_peek(q)->plan.first, i);
		frame_queue_pop(q);
	}
	frame_queue_stop(q);
	pthread_join(thread, NULL);
}

static void a_wait_can_be_ended(void **state)
{
	CLEANUP(cleanup_frame_queue) struct frame_queue *q = queue_of(1);
	struct cancel cancel;
	cancel_init(&cancel);
	cancel_fire(&cancel);
	struct call call = {.deadline_ns = DEADLINE_NONE, .cancel = &cancel};
	assert_int_equal(frame_queue_wait(q, &call), -ECANCELED);
	cancel_finish(&cancel);
	call = (struct call){.deadline_ns = 1};
	assert_int_equal(frame_queue_wait(q, &call), -ETIMEDOUT);
}

static void nothing_is_taken_after_the_stop(void **state)
{
	CLEANUP(cleanup_frame_queue) struct frame_queue *q = queue_of(2);
	struct frame_slot *a = take(q, 0);
	frame_queue_stop(q);
	assert_null(frame_queue_take(q));
	frame_queue_done(q, a);
	assert_ptr_equal(frame_queue_peek(q), a);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_come_out_in_order),
		cmocka_unit_test(many_frames_pass_through_a_small_window),
		cmocka_unit_test(the_window_holds_workers_back),
		cmocka_unit_test(a_wait_can_be_ended),
		cmocka_unit_test(nothing_is_taken_after_the_stop),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
