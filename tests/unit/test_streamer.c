#include "archive/streamer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/scripted_source.h"
#include "tests/unit/test.h"

#define SIZE (UINT64_C(25) * STREAMER_PIECE + 12345)
#define TAIL 777

static unsigned char *bytes;

static int make_bytes(void **state)
{
	(void)state;
	bytes = malloc(SIZE);
	for (uint64_t i = 0; bytes && i < SIZE; i++)
		bytes[i] = (unsigned char)((i * UINT64_C(0x9e3779b97f4a7c15)) >> 56);
	return bytes ? 0 : -1;
}

static int free_bytes(void **state)
{
	(void)state;
	free(bytes);
	return 0;
}

struct world {
	struct scripted_source source;
	struct streamer *streamer;
};

static void world_init(struct world *w, const struct call *call)
{
	scripted_init(&w->source, bytes, SIZE);
	assert_int_equal(streamer_new(&w->source.base, call, bytes + SIZE - TAIL, TAIL,
				 &w->streamer),
		0);
}

static void world_finish(struct world *w)
{
	streamer_free(w->streamer);
	scripted_finish(&w->source);
}

/* Reads on until `end`, comparing. */
static void expect_until(struct world *w, uint64_t end)
{
	struct error e = {0};
	while (streamer_position(w->streamer) < end) {
		uint64_t at = streamer_position(w->streamer);
		const void *data;
		size_t len = 0;
		assert_int_equal(streamer_next(w->streamer, &data, &len, &e), 0);
		assert_true(len > 0);
		assert_memory_equal(data, bytes + at, len);
		assert_int_equal(streamer_position(w->streamer), at + len);
	}
}

static void everything_comes_in_order_and_once(void **state)
{
	(void)state;
	CLEANUP(world_finish) struct world w;
	const void *data;
	size_t len = 1;
	world_init(&w, CALL_PATIENT);
	expect_until(&w, SIZE);
	assert_int_equal(streamer_next(w.streamer, &data, &len, NULL), 0);
	assert_int_equal(len, 0);
	uint64_t fetched = 0;
	assert_int_equal(scripted_reads(&w.source), 26);
	for (unsigned i = 0; i < 26; i++)
		fetched += w.source.log[i].len;
	assert_int_equal(fetched, SIZE - TAIL);
}

static void the_tail_costs_nothing(void **state)
{
	(void)state;
	CLEANUP(world_finish) struct world w;
	world_init(&w, CALL_PATIENT);
	streamer_seek(w.streamer, SIZE - TAIL + 5);
	expect_until(&w, SIZE);
	assert_int_equal(scripted_reads(&w.source), 0);
}

static void it_can_be_moved_to_and_fro(void **state)
{
	(void)state;
	CLEANUP(world_finish) struct world w;
	world_init(&w, CALL_PATIENT);
	expect_until(&w, UINT64_C(5) * STREAMER_PIECE);
	for (unsigned i = 0; i < 12; i++) {
		streamer_seek(w.streamer, i * UINT64_C(7919) * 1009 %
						  (SIZE - UINT64_C(4) * STREAMER_PIECE));
		expect_until(&w, streamer_position(w.streamer) + 3 * STREAMER_PIECE);
		streamer_seek(w.streamer, 3);
		expect_until(&w, 2 * STREAMER_PIECE);
	}
	expect_until(&w, SIZE);
}

static void a_failure_comes_when_its_piece_does(void **state)
{
	(void)state;
	CLEANUP(world_finish) struct world w;
	struct error e = {0};
	const void *data;
	size_t len;
	world_init(&w, CALL_PATIENT);
	scripted_fail(&w.source, -ESTALE, 1000);
	assert_int_equal(streamer_next(w.streamer, &data, &len, &e), -ESTALE);
	assert_non_null(strstr(e.text, "scripted"));
}

static void several_ranges_are_under_way_at_once(void **state)
{
	(void)state;
	CLEANUP(world_finish) struct world w;
	const struct call late = {
		.deadline_ns = clock_monotonic_ns() + NS_PER_SECOND / 4};
	const void *data;
	size_t len;
	world_init(&w, &late);
	scripted_hold(&w.source);
	assert_int_equal(streamer_next(w.streamer, &data, &len, NULL), -ETIMEDOUT);
	unsigned reads = scripted_reads(&w.source);
	assert_true(reads > 1 && reads <= STREAMER_STREAMS * 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_comes_in_order_and_once),
		cmocka_unit_test(the_tail_costs_nothing),
		cmocka_unit_test(it_can_be_moved_to_and_fro),
		cmocka_unit_test(a_failure_comes_when_its_piece_does),
		cmocka_unit_test(several_ranges_are_under_way_at_once),
	};
	return cmocka_run_group_tests(tests, make_bytes, free_bytes);
}
