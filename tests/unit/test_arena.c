#include "tests/unit/test.h"

#include <string.h>

#include "archive/arena.h"

#define GRAIN ((size_t)16 << 10)

static void pieces_lie_apart(void **state)
{
	struct arena a;
	unsigned char *pieces[8];
	assert_int_equal(arena_init(&a, 8 * GRAIN), 0);
	for (unsigned i = 0; i < 8; i++) {
		pieces[i] = arena_take(&a, 1 + i);
		assert_non_null(pieces[i]);
		memset(pieces[i], (int)i, GRAIN);
	}
	assert_null(arena_take(&a, 1));
	for (unsigned i = 0; i < 8; i++) {
		assert_int_equal(pieces[i][0], i);
		assert_int_equal(pieces[i][GRAIN - 1], i);
	}
	assert_int_equal(a.used, 8 * GRAIN);
	arena_finish(&a);
}

static void the_first_gap_that_is_wide_enough_is_taken(void **state)
{
	struct arena a;
	void *pieces[8];
	assert_int_equal(arena_init(&a, 8 * GRAIN), 0);
	for (unsigned i = 0; i < 8; i++)
		pieces[i] = arena_take(&a, GRAIN);
	assert_true(arena_give(&a, pieces[1]));
	assert_true(arena_give(&a, pieces[4]));
	assert_true(arena_give(&a, pieces[5]));
	assert_null(arena_take(&a, 2 * GRAIN + 1));
	assert_ptr_equal(arena_take(&a, GRAIN + 1), pieces[4]);
	assert_ptr_equal(arena_take(&a, GRAIN), pieces[1]);
	assert_null(arena_take(&a, 1));
	arena_finish(&a);
}

static void all_of_it_can_be_one_piece(void **state)
{
	struct arena a;
	assert_int_equal(arena_init(&a, 5 * GRAIN + 1), 0);
	assert_null(arena_take(&a, 5 * GRAIN + 1));
	for (int round = 0; round < 3; round++) {
		void *piece = arena_take(&a, 5 * GRAIN);
		assert_non_null(piece);
		assert_true(arena_has(&a, piece));
		assert_null(arena_take(&a, 1));
		assert_true(arena_give(&a, piece));
		assert_int_equal(a.used, 0);
	}
	arena_finish(&a);
}

static void what_is_not_from_here_is_left_alone(void **state)
{
	struct arena a, none;
	char elsewhere;
	assert_int_equal(arena_init(&a, 2 * GRAIN), 0);
	assert_int_equal(arena_init(&none, GRAIN - 1), 0);
	char *piece = arena_take(&a, 1);
	const void *strangers[] = {NULL, &elsewhere, piece - 1, piece + 2 * GRAIN};
	for (size_t i = 0; i < 4; i++) {
		assert_false(arena_has(&a, strangers[i]));
		assert_false(arena_give(&a, strangers[i]));
		assert_false(arena_give(&none, strangers[i]));
	}
	assert_int_equal(a.used, GRAIN);
	assert_null(arena_take(&none, 1));
	arena_finish(&none);
	arena_finish(&a);
}

/* Memory that was in use is resident until it is taken as idle, emptied and given back. */
static void what_nobody_has_goes_back_to_the_system(void **state)
{
	struct arena a;
	unsigned char *pieces[4];
	size_t len = 0;
	assert_int_equal(arena_init(&a, 8 * GRAIN), 0);
	assert_null(arena_take_idle(&a, &len));
	for (unsigned i = 0; i < 4; i++) {
		pieces[i] = arena_take(&a, GRAIN);
		memset(pieces[i], 1, GRAIN);
	}
	assert_int_equal(a.resident, 4 * GRAIN);
	assert_null(arena_take_idle(&a, &len));
	arena_give(&a, pieces[1]);
	arena_give(&a, pieces[2]);
	assert_int_equal(a.resident, 4 * GRAIN);
	unsigned char *idle = arena_take_idle(&a, &len);
	assert_ptr_equal(idle, pieces[1]);
	assert_int_equal(len, 2 * GRAIN);
	assert_null(arena_take_idle(&a, &len)); /* taken */
	arena_empty(idle, len);
	arena_give_empty(&a, idle);
	assert_int_equal(a.resident, 2 * GRAIN);
	assert_int_equal(a.used, 2 * GRAIN);
	assert_null(arena_take_idle(&a, &len));
	assert_int_equal(pieces[0][GRAIN - 1], 1);
	assert_int_equal(pieces[3][0], 1);
	unsigned char *again = arena_take(&a, 2 * GRAIN);
	assert_ptr_equal(again, pieces[1]);
	assert_int_equal(again[0], 0);
	assert_int_equal(again[2 * GRAIN - 1], 0);
	assert_int_equal(a.resident, 4 * GRAIN);
	arena_finish(&a);
}

static void empty_one(struct arena *a)
{
	size_t len;
	void *idle = arena_take_idle(a, &len);
	if (!idle)
		return;
	arena_empty(idle, len);
	arena_give_empty(a, idle);
}

/* Against a plain record of who has which grain. */
static void no_grain_is_dealt_twice(void **state)
{
	struct arena a;
	unsigned char *pieces[64] = {0};
	size_t sizes[64], total = 0;
	unsigned seed = 7;
	assert_int_equal(arena_init(&a, 100 * GRAIN), 0);
	for (int round = 0; round < 20000; round++) {
		seed = seed * 1103515245 + 12345;
		unsigned i = seed >> 16 & 63;
		if (pieces[i]) {
			assert_int_equal(pieces[i][0], i);
			assert_int_equal(pieces[i][sizes[i] - 1], i);
			assert_true(arena_give(&a, pieces[i]));
			total -= sizes[i];
			pieces[i] = NULL;
			continue;
		}
		if (round % 16 == 0)
			empty_one(&a);
		sizes[i] = (1 + (seed >> 24) % 7) * GRAIN;
		pieces[i] = arena_take(&a, sizes[i]);
		if (!pieces[i])
			continue;
		memset(pieces[i], (int)i, sizes[i]);
		total += sizes[i];
		assert_int_equal(a.used, total);
		assert_in_range(a.resident, a.used, 100 * GRAIN);
	}
	arena_finish(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces_lie_apart),
		cmocka_unit_test(the_first_gap_that_is_wide_enough_is_taken),
		cmocka_unit_test(all_of_it_can_be_one_piece),
		cmocka_unit_test(what_is_not_from_here_is_left_alone),
		cmocka_unit_test(what_nobody_has_goes_back_to_the_system),
		cmocka_unit_test(no_grain_is_dealt_twice),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
