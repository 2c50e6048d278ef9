/* Readers that share a hoard: what one keeps goes when another one needs the room. */
#include "tests/unit/test.h"

#include <pthread.h>
#include <string.h>

#include "archive/decoders.h"
#include "archive/hoard.h"
#include "tests/unit/noise.h"
#include "tests/unit/pseudo_random.h"

#define LENGTH (10 * CUT) /* of the file: over eleven frames */
#define BUDGET ((size_t)64 << 20)

static struct decoders decoders;

static void sharer_init(struct noise *f, size_t budget, struct hoard *hoard)
{
	noise_init(f, LENGTH, budget);
	reader_share(f->reader, hoard, &decoders);
}

/* Of the frames [first, end). */
static unsigned count_ready(struct noise *f, uint32_t first, uint32_t end)
{
	unsigned ready = 0;
	bool touched;
	for (uint32_t i = first; i < end; i++)
		ready += reader_presence(f->reader, i, &touched) == FRAME_READY;
	return ready;
}

/* A key that was read gives its frames to the next one, but for those in use. */
static void a_reader_gives_way_to_the_next(void **state)
{
	CLEANUP(hoard_finish) struct hoard hoard;
	hoard_init(&hoard, 8 * CUT);
	CLEANUP(noise_finish) struct noise old;
	CLEANUP(noise_finish) struct noise now;
	sharer_init(&old, BUDGET, &hoard);
	sharer_init(&now, BUDGET, &hoard);
	struct span spans[2];
	size_t count;
	uint64_t at = noise_offset(&old, 1);
	noise_expect(&old, noise_offset(&old, 1), 6 * CUT);
	assert_int_equal(reader_spans(old.reader, CALL_PATIENT, old.file, at, 2 * CUT,
				 spans, 2, &count, NULL),
		0);
	for (uint32_t i = 1; i < 8; i++) {
		noise_expect(&now, noise_offset(&now, i), 1);
		assert_in_range(atomic_load(&hoard.bytes), CUT, 8 * CUT);
	}
	assert_int_equal(count_ready(&old, 3, 7), 0);
	assert_int_equal(count_ready(&old, 1, 3), 2);
	assert_int_equal(count_ready(&now, 4, 8), 4);
	for (size_t i = 0; i < 2; i++)
		assert_memory_equal(spans[i].data, old.content + at + i * CUT, CUT);
	reader_release(old.reader, spans, count);
	noise_expect(&old, 0, LENGTH);
	noise_expect(&now, 0, LENGTH);
	assert_int_equal(decoders.count, 1); /* one thread, one context */
}

/* What one goes on reading is not what goes, as long as there is something else. */
static void a_reader_in_use_keeps_its_frames(void **state)
{
	CLEANUP(hoard_finish) struct hoard hoard;
	hoard_init(&hoard, 16 * CUT);
	struct noise f[3];
	for (size_t i = 0; i < 3; i++)
		sharer_init(&f[i], BUDGET, &hoard);
	noise_expect(&f[0], noise_offset(&f[0], 1), 6 * CUT);
	noise_expect(&f[1], noise_offset(&f[1], 1), 6 * CUT);
	for (uint32_t i = 1; i < 7; i++) {
		noise_expect(&f[2], noise_offset(&f[2], i), 1);
		noise_expect(&f[0], noise_offset(&f[0], 1), 6 * CUT);
	}
	assert_int_equal(noise_stats(&f[0]).decoded_frames, 6);
	assert_int_equal(count_ready(&f[2], 1, 7), 6);
	assert_in_range(count_ready(&f[1], 1, 7), 0, 4);
	for (size_t i = 0; i < 3; i++)
		noise_finish(&f[i]);
	assert_int_equal(atomic_load(&hoard.bytes), 0);
}

/* What was read ahead came before what was read last, and is wanted next. */
static void what_lies_ahead_of_a_reader_stays(void **state)
{
	CLEANUP(hoard_finish) struct hoard hoard;
	hoard_init(&hoard, 12 * CUT);
	CLEANUP(noise_finish) struct noise one;
	CLEANUP(noise_finish) struct noise two;
	sharer_init(&one, BUDGET, &hoard);
	sharer_init(&two, BUDGET, &hoard);
	assert_int_equal(reader_prefetch(one.reader, CALL_PATIENT, 1, 8, true, NULL), 0);
	for (uint32_t i = 1; i < 5; i++) {
		noise_expect(&one, noise_offset(&one, i), 1);
		noise_expect(&two, noise_offset(&two, 2 * i - 1), 1);
		noise_expect(&two, noise_offset(&two, 2 * i), 1);
	}
	assert_int_equal(count_ready(&one, 4, 9), 5);
	assert_in_range(count_ready(&one, 1, 4), 0, 2);
	assert_in_range(atomic_load(&hoard.bytes), CUT, 12 * CUT);
}

static void *read_here_and_there(void *arg)
{
	struct noise *f = arg;
	uint32_t x = (uint32_t)(uintptr_t)&x >> 4;
	for (unsigned i = 0; i < 100; i++) {
		pseudo_random(&x);
		noise_expect(f, (x >> 8) % LENGTH, (x >> 4) % (3 * CUT));
	}
	return NULL;
}

/* A hoard that is far too small for all, and readers that come and go meanwhile. */
static void readers_take_from_each_other_at_once(void **state)
{
	CLEANUP(hoard_finish) struct hoard hoard;
	hoard_init(&hoard, 4 * CUT);
	struct noise f[4];
	pthread_t threads[6];
	for (size_t i = 0; i < 4; i++)
		sharer_init(&f[i], i ? BUDGET : 2 * CUT, &hoard);
	for (size_t i = 0; i < 6; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, read_here_and_there, &f[i % 3]),
			0);
	for (unsigned round = 0; round < 20; round++) {
		noise_expect(&f[3], 0, LENGTH);
		noise_finish(&f[3]);
		sharer_init(&f[3], BUDGET, &hoard);
	}
	for (size_t i = 0; i < 6; i++)
		pthread_join(threads[i], NULL);
	for (size_t i = 0; i < 4; i++)
		noise_finish(&f[i]);
	assert_int_equal(atomic_load(&hoard.bytes), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_reader_gives_way_to_the_next),
		cmocka_unit_test(a_reader_in_use_keeps_its_frames),
		cmocka_unit_test(what_lies_ahead_of_a_reader_stays),
		cmocka_unit_test(readers_take_from_each_other_at_once),
	};
	decoders_init(&decoders);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	decoders_finish(&decoders);
	return failed;
}
