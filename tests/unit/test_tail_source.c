#include "tests/unit/test.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "fetch/tail_source.h"

#define SIZE  100000
#define BEGIN 60000

/* An object of two halves: what the inner source says, and what came with the opening. */
struct fixture {
	unsigned char object[SIZE], tail[SIZE - BEGIN];
	struct range_source *inner, *source;
};

static void fixture_init(struct fixture *f)
{
	for (size_t i = 0; i < SIZE; i++)
		f->object[i] = (unsigned char)(i * 7);
	for (size_t i = 0; i < SIZE - BEGIN; i++)
		f->tail[i] = (unsigned char)(i * 11);
	f->inner = memory_source_new(f->object, SIZE);
	assert_non_null(f->inner);
	assert_int_equal(
		tail_source_new(f->inner, SIZE, BEGIN, f->tail, SIZE - BEGIN, &f->source),
		0);
}

static void fixture_finish(struct fixture *f)
{
	range_source_free(f->source);
	range_source_free(f->inner);
}

static void expect(struct fixture *f, uint64_t offset, size_t len, const void *bytes)
{
	unsigned char got[SIZE];
	assert_int_equal(
		range_source_read(f->source, CALL_PATIENT, offset, len, got, NULL), 0);
	assert_memory_equal(got, bytes, len);
}

static void known_bytes_are_not_asked_for(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f);
	expect(&f, BEGIN, SIZE - BEGIN, f.tail);
	expect(&f, BEGIN + 5, 100, f.tail + 5);
	expect(&f, BEGIN - 1, 2, f.object + BEGIN - 1);
	expect(&f, 0, SIZE, f.object);
}

static void alone_it_knows_no_more(void **state)
{
	struct range_source *s;
	unsigned char byte = 0;
	assert_int_equal(tail_source_new(NULL, 10, 8, "xyz", 3, &s), -EINVAL);
	assert_int_equal(tail_source_new(NULL, 10, 8, "", 0, &s), -EINVAL);
	assert_int_equal(tail_source_new(NULL, 10, 8, "xy", 2, &s), 0);
	assert_int_equal(range_source_read(s, CALL_PATIENT, 9, 1, &byte, NULL), 0);
	assert_int_equal(byte, 'y');
	assert_int_equal(range_source_read(s, CALL_PATIENT, 7, 1, &byte, NULL), -ENODATA);
	tail_source_forget(s);
	assert_int_equal(range_source_read(s, CALL_PATIENT, 9, 1, &byte, NULL), -ENODATA);
	range_source_free(s);
}

static void what_is_forgotten_is_asked_for(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f);
	assert_true(tail_source_used(f.source)); /* it is new */
	expect(&f, 0, 100, f.object);
	assert_false(tail_source_used(f.source));
	expect(&f, BEGIN, 100, f.tail);
	assert_true(tail_source_used(f.source));
	assert_false(tail_source_used(f.source));
	assert_int_equal(tail_source_held(f.source), SIZE - BEGIN);
	assert_int_equal(tail_source_forget(f.source), SIZE - BEGIN);
	assert_int_equal(tail_source_held(f.source), 0);
	assert_int_equal(tail_source_forget(f.source), 0);
	expect(&f, BEGIN, SIZE - BEGIN, f.object + BEGIN);
}

static void *read_on(void *arg)
{
	struct fixture *f = arg;
	unsigned char got[SIZE - BEGIN];
	do {
		assert_int_equal(range_source_read(f->source, CALL_PATIENT, BEGIN,
					 sizeof(got), got, NULL),
			0);
	} while (memcmp(got, f->tail, sizeof(got)) == 0);
	assert_memory_equal(got, f->object + BEGIN, sizeof(got));
	return NULL;
}

/* Who copies has the bytes to the end, and all of them from one place. */
static void it_forgets_while_it_is_read(void **state)
{
	for (unsigned round = 0; round < 50; round++) {
		CLEANUP(fixture_finish) struct fixture f;
		pthread_t threads[3];
		fixture_init(&f);
		for (size_t i = 0; i < 3; i++)
			assert_int_equal(
				pthread_create(&threads[i], NULL, read_on, &f), 0);
		tail_source_used(f.source);
		while (!tail_source_used(f.source))
			sched_yield();
		tail_source_forget(f.source);
		for (size_t i = 0; i < 3; i++)
			pthread_join(threads[i], NULL);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_bytes_are_not_asked_for),
		cmocka_unit_test(alone_it_knows_no_more),
		cmocka_unit_test(what_is_forgotten_is_asked_for),
		cmocka_unit_test(it_forgets_while_it_is_read),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
