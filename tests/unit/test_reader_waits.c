/* Several at once want the same frames: who reads, who waits, and what of a failure. */
#include "tests/unit/test.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "tests/unit/noise.h"

#define LENGTH (10 * CUT) /* of the file: over eleven frames */
#define BUDGET ((size_t)64 << 20)

/* One read on its own thread. */
struct job {
	struct noise *f;
	struct call call;
	struct cancel cancel;
	uint64_t offset;
	size_t len;
	uint32_t frame, frames; /* instead of reading: prefetch */
	bool decode;
	unsigned char *buf;
	size_t got;
	int result;
	struct error e;
	pthread_t thread;
};

static void *job_run(void *arg)
{
	struct job *j = arg;
	j->result = j->frames ? reader_prefetch(j->f->reader, &j->call, j->frame,
					j->frames, j->decode, &j->e)
			      : reader_read(j->f->reader, &j->call, j->f->file, j->offset,
					j->len, j->buf, &j->got, &j->e);
	return NULL;
}

static void job_init(struct job *j, struct noise *f, uint32_t frame)
{
	*j = (struct job){
		.f = f,
		.call = {.deadline_ns = DEADLINE_NONE, .cancel = &j->cancel},
		.offset = noise_offset(f, frame),
		.len = 100,
		.buf = malloc(LENGTH),
	};
	assert_non_null(j->buf);
	cancel_init(&j->cancel);
}

static void job_start(struct job *j)
{
	assert_int_equal(pthread_create(&j->thread, NULL, job_run, j), 0);
}

static void job_prefetch(
	struct job *j, struct noise *f, uint32_t frame, uint32_t frames, bool decode)
{
	job_init(j, f, 0);
	j->frame = frame;
	j->frames = frames;
	j->decode = decode;
	job_start(j);
}

static int job_join(struct job *j)
{
	assert_int_equal(pthread_join(j->thread, NULL), 0);
	if (j->result == 0 && !j->frames)
		assert_memory_equal(j->buf, j->f->content + j->offset, j->len);
	cancel_finish(&j->cancel);
	free(j->buf);
	return j->result;
}

static void wait_for_waiters(struct noise *f, uint64_t n)
{
	while (noise_stats(f).waits < n)
		sched_yield();
}

#define MANY 16

static void many_readers_of_a_frame_cause_one_read(void **state)
{
	CLEANUP(noise_finish) struct noise f;
	noise_init(&f, LENGTH, BUDGET);
	scripted_hold(&f.source);
	struct job jobs[MANY];
	for (size_t i = 0; i < MANY; i++) {
		job_init(&jobs[i], &f, 4);
		jobs[i].offset += i;
		job_start(&jobs[i]);
	}
	wait_for_waiters(&f, MANY - 1);
	bool touched;
	assert_int_equal(reader_presence(f.reader, 4, &touched), FRAME_LOADING);
	scripted_release(&f.source);
	for (size_t i = 0; i < MANY; i++)
		assert_int_equal(job_join(&jobs[i]), 0);
	assert_int_equal(scripted_reads(&f.source), 1);
	assert_int_equal(noise_stats(&f).decoded_frames, 1);
}

static void a_cancelled_owner_hands_over(void **state)
{
	CLEANUP(noise_finish) struct noise f;
	noise_init(&f, LENGTH, BUDGET);
	scripted_hold(&f.source);
	struct job owner, waiters[2];
	job_init(&owner, &f, 4);
	job_start(&owner);
	scripted_wait_held(&f.source, 1);
	for (size_t i = 0; i < 2; i++) {
		job_init(&waiters[i], &f, 4);
		job_start(&waiters[i]);
	}
	wait_for_waiters(&f, 2);
	cancel_fire(&owner.cancel);
	assert_int_equal(job_join(&owner), -ECANCELED);
	scripted_wait_held(&f.source, 1); /* one of the waiters */
	scripted_release(&f.source);
	assert_int_equal(job_join(&waiters[0]), 0);
	assert_int_equal(job_join(&waiters[1]), 0);
	assert_int_equal(scripted_reads(&f.source), 2);
}

/* Reads two frames at once, which fails with code, while somebody waits for the second.
 */
static int wait_for_the_second(int code, unsigned *ret_reads)
{
	CLEANUP(noise_finish) struct noise f;
	noise_init(&f, LENGTH, BUDGET);
	scripted_hold(&f.source);
	struct job owner, waiter;
	job_init(&owner, &f, 3);
	owner.len = CUT + 100;
	job_start(&owner);
	scripted_wait_held(&f.source, 1);
	job_init(&waiter, &f, 4);
	job_start(&waiter);
	wait_for_waiters(&f, 1);
	scripted_fail(&f.source, code, 1);
	scripted_release(&f.source);
	assert_int_equal(job_join(&owner), code);
	int r = job_join(&waiter);
	*ret_reads = scripted_reads(&f.source);
	return r;
}

static void what_is_wrong_with_one_frame_is_not_with_its_neighbour(void **state)
{
	static const int of_some[] = {-EBADMSG, -ESTALE, -ENOENT};
	unsigned reads;
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(wait_for_the_second(of_some[i], &reads), 0);
		assert_int_equal(reads, 2);
	}
	assert_int_equal(wait_for_the_second(-EIO, &reads), -EIO); /* the store's */
	assert_int_equal(reads, 1);
}

static void a_cancelled_waiter_leaves_alone(void **state)
{
	CLEANUP(noise_finish) struct noise f;
	noise_init(&f, LENGTH, BUDGET);
	scripted_hold(&f.source);
	struct job owner, waiter, late;
	job_init(&owner, &f, 4);
	job_start(&owner);
	scripted_wait_held(&f.source, 1);
	job_init(&waiter, &f, 4);
	job_start(&waiter);
	wait_for_waiters(&f, 1);
	cancel_fire(&waiter.cancel);
	assert_int_equal(job_join(&waiter), -ECANCELED);
	job_init(&late, &f, 4);
	late.call.deadline_ns = 1;
	job_start(&late);
	assert_int_equal(job_join(&late), -ETIMEDOUT);
	scripted_release(&f.source);
	assert_int_equal(job_join(&owner), 0);
	assert_int_equal(scripted_reads(&f.source), 1);
}

static void a_late_owner_leaves_the_slot_empty(void **state)
{
	CLEANUP(noise_finish) struct noise f;
	noise_init(&f, LENGTH, BUDGET);
	scripted_hold(&f.source);
	struct job late;
	job_init(&late, &f, 4);
	late.call.deadline_ns = 1;
	job_start(&late);
	assert_int_equal(job_join(&late), -ETIMEDOUT);
	bool touched;
	assert_int_equal(reader_presence(f.reader, 4, &touched), FRAME_ABSENT);
	scripted_release(&f.source);
	noise_expect(&f, noise_offset(&f, 4), 10);
}

static void an_error_of_the_store_reaches_all(void **state)
{
	CLEANUP(noise_finish) struct noise f;
	noise_init(&f, LENGTH, BUDGET);
	scripted_hold(&f.source);
	scripted_fail(&f.source, -EIO, 1);
	struct job jobs[MANY];
	for (size_t i = 0; i < MANY; i++) {
		job_init(&jobs[i], &f, 4);
		job_start(&jobs[i]);
	}
	wait_for_waiters(&f, MANY - 1);
	scripted_release(&f.source);
	for (size_t i = 0; i < MANY; i++) {
		assert_int_equal(job_join(&jobs[i]), -EIO);
		assert_string_equal(jobs[i].e.text, "a scripted failure");
	}
	assert_int_equal(scripted_reads(&f.source), 1);
	noise_expect(&f, noise_offset(&f, 4), 10);
	assert_int_equal(scripted_reads(&f.source), 2);
}

/* Frames 2 and 4 are there, so 1, 3 and 5 are three ranges; the first fails. */
static void what_was_not_tried_is_left_to_others(void **state)
{
	CLEANUP(noise_finish) struct noise f;
	noise_init(&f, LENGTH, BUDGET);
	noise_expect(&f, noise_offset(&f, 2), 1);
	noise_expect(&f, noise_offset(&f, 4), 1);
	scripted_hold(&f.source);
	struct job all, last;
	job_init(&all, &f, 1);
	all.len = 5 * CUT;
	job_start(&all);
	scripted_wait_held(&f.source, 1);
	job_init(&last, &f, 5);
	job_start(&last);
	wait_for_waiters(&f, 1);
	scripted_fail(&f.source, -EIO, 1);
	scripted_release(&f.source);
	assert_int_equal(job_join(&all), -EIO);
	assert_int_equal(job_join(&last), 0);
	assert_int_equal(scripted_reads(&f.source), 4);
}

static void a_demand_waits_for_a_prefetch(bool decode)
{
	CLEANUP(noise_finish) struct noise f;
	noise_init(&f, LENGTH, BUDGET);
	scripted_hold(&f.source);
	struct job ahead, demand;
	job_prefetch(&ahead, &f, 2, 6, decode);
	scripted_wait_held(&f.source, 1);
	job_init(&demand, &f, 4);
	demand.len = 2 * CUT;
	job_start(&demand);
	wait_for_waiters(&f, 2);
	scripted_release(&f.source);
	assert_int_equal(job_join(&demand), 0);
	assert_int_equal(job_join(&ahead), 0);
	assert_int_equal(scripted_reads(&f.source), 1);
	assert_int_equal(noise_stats(&f).decoded_frames, decode ? 6 : 2);
}

static void a_prefetched_frame_is_not_read_twice(void **state)
{
	a_demand_waits_for_a_prefetch(true);
	a_demand_waits_for_a_prefetch(false);
}

/* What is guessed to be wanted only passes the source: frames 2 to 7. A stream that comes
 * upon it while it is under way wants two of them. What became of the guess. */
static int let_a_stream_come_upon_a_guess(struct noise *f)
{
	struct job guess, stream;
	scripted_hold(&f->source);
	job_prefetch(&guess, f, 2, 6, false);
	scripted_wait_held(&f->source, 1);
	job_prefetch(&stream, f, 4, 2, true);
	assert_int_equal(job_join(&stream), 0);
	scripted_release(&f->source);
	return job_join(&guess);
}

static void what_another_prefetch_brings_is_decoded_all_the_same(void **state)
{
	CLEANUP(noise_finish) struct noise f;
	noise_init(&f, LENGTH, BUDGET);
	assert_int_equal(let_a_stream_come_upon_a_guess(&f), 0);
	assert_int_equal(scripted_reads(&f.source), 1);
	noise_expect_ready(&f, 4, 6);
}

static void a_prefetch_that_fails_leaves_nothing_of_what_others_wanted(void **state)
{
	CLEANUP(noise_finish) struct noise f;
	noise_init(&f, LENGTH, BUDGET);
	scripted_fail(&f.source, -EIO, 1);
	assert_int_equal(let_a_stream_come_upon_a_guess(&f), -EIO);
	noise_expect_ready(&f, 0, 0);
	assert_int_equal(reader_prefetch(f.reader, CALL_PATIENT, 4, 2, true, NULL), 0);
	noise_expect_ready(&f, 4, 6);
}

static void a_demand_repeats_a_failed_prefetch(void **state)
{
	CLEANUP(noise_finish) struct noise f;
	noise_init(&f, LENGTH, BUDGET);
	scripted_hold(&f.source);
	scripted_fail(&f.source, -EIO, 1);
	struct job ahead, demand;
	job_prefetch(&ahead, &f, 2, 6, true);
	scripted_wait_held(&f.source, 1);
	job_init(&demand, &f, 4);
	job_start(&demand);
	wait_for_waiters(&f, 1);
	scripted_release(&f.source);
	assert_int_equal(job_join(&ahead), -EIO);
	assert_int_equal(job_join(&demand), 0);
	assert_int_equal(scripted_reads(&f.source), 2);
	const uint64_t *offsets = index_frame_offsets(archive_index(f.archive));
	assert_int_equal(f.source.log[1].len, offsets[5] - offsets[4]);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(many_readers_of_a_frame_cause_one_read),
		cmocka_unit_test(a_cancelled_owner_hands_over),
		cmocka_unit_test(what_is_wrong_with_one_frame_is_not_with_its_neighbour),
		cmocka_unit_test(a_cancelled_waiter_leaves_alone),
		cmocka_unit_test(a_late_owner_leaves_the_slot_empty),
		cmocka_unit_test(an_error_of_the_store_reaches_all),
		cmocka_unit_test(what_was_not_tried_is_left_to_others),
		cmocka_unit_test(a_prefetched_frame_is_not_read_twice),
		cmocka_unit_test(what_another_prefetch_brings_is_decoded_all_the_same),
		cmocka_unit_test(
			a_prefetch_that_fails_leaves_nothing_of_what_others_wanted),
		cmocka_unit_test(a_demand_repeats_a_failed_prefetch),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
