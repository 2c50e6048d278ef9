#include "tests/unit/test.h"

#include <string.h>

#include "archive/surroundings.h"

#define FRAMES 1000
#define MIB    (UINT64_C(1) << 20)

/* Frames of 100 bytes, and what was guessed at. */
struct fixture {
	struct surroundings s;
	uint64_t offsets[FRAMES + 1];
	uint8_t marks[FRAMES];
	struct surroundings_map map;
};

static void fixture_init(struct fixture *f, uint64_t frame_size)
{
	*f = (struct fixture){0};
	surroundings_init(&f->s);
	for (uint32_t i = 0; i < FRAMES; i++)
		f->offsets[i + 1] = f->offsets[i] + frame_size;
	f->map = (struct surroundings_map){f->offsets, FRAMES, f->marks, 1 | 2};
}

static bool next(struct fixture *f, uint64_t range, uint32_t *first, uint32_t *count)
{
	if (!surroundings_next(&f->s, &f->map, range, first, count))
		return false;
	assert_true(*count > 0);
	assert_in_range(*first + *count, 1, FRAMES);
	for (uint32_t i = *first; i < *first + *count; i++) {
		assert_int_equal(f->marks[i] & 3, 0);
		f->marks[i] |= 2;
	}
	return true;
}

static uint32_t take_all(struct fixture *f, uint64_t range)
{
	uint32_t first, count, total = 0;
	while (next(f, range, &first, &count))
		total += count;
	return total;
}

static void nothing_is_guessed_without_a_miss(void **state)
{
	static struct fixture f;
	fixture_init(&f, 100);
	assert_int_equal(take_all(&f, 1000), 0);
}

static void the_nearest_come_first_on_both_sides(void **state)
{
	static struct fixture f;
	uint32_t first, count;
	fixture_init(&f, 100);
	f.marks[500] = 1;
	surroundings_miss(&f.s, 500, 501, 800, 0);
	assert_true(next(&f, 200, &first, &count));
	assert_int_equal(first, 498);
	assert_int_equal(count, 2);
	assert_true(next(&f, 200, &first, &count));
	assert_int_equal(first, 501);
	assert_true(next(&f, 200, &first, &count));
	assert_int_equal(first, 496);
	assert_true(next(&f, 200, &first, &count));
	assert_int_equal(first, 503);
	assert_false(next(&f, 200, &first, &count)); /* the credit is spent */
}

static void the_newest_miss_comes_first(void **state)
{
	static struct fixture f;
	uint32_t first, count;
	fixture_init(&f, 100);
	surroundings_miss(&f.s, 100, 101, 400, 0);
	surroundings_miss(&f.s, 900, 901, 100, 0);
	assert_true(next(&f, 1000, &first, &count));
	assert_in_range(first, 899, 901);
	assert_int_equal(count, 1);
	assert_true(next(&f, 1000, &first, &count));
	assert_in_range(first, 96, 101);
}

static void a_miss_nearby_goes_on_where_the_last_one_was(void **state)
{
	static struct fixture f;
	fixture_init(&f, 100);
	surroundings_miss(&f.s, 500, 501, 1000, 0);
	assert_int_equal(take_all(&f, 300), 10);
	uint64_t before = f.s.clock;
	surroundings_miss(&f.s, f.s.places[0].high, f.s.places[0].high + 1, 600, 0);
	assert_int_equal(f.s.clock, before + 1);
	assert_int_equal(take_all(&f, 300), 6);
	unsigned used = 0;
	for (unsigned i = 0; i < SURROUNDINGS_PLACES; i++)
		used += f.s.places[i].used != 0;
	assert_int_equal(used, 1);
}

static void what_is_taken_is_passed_over(void **state)
{
	static struct fixture f;
	fixture_init(&f, 100);
	memset(f.marks + 400, 1, 200);
	surroundings_miss(&f.s, 500, 501, 1000, 0);
	assert_int_equal(take_all(&f, 300), 10);
	assert_int_equal(f.marks[399] & 2, 2);
	assert_int_equal(f.marks[600] & 2, 2);
}

static void it_ends_at_both_ends(void **state)
{
	static struct fixture f;
	fixture_init(&f, 100);
	surroundings_miss(&f.s, 0, 1, 1000000, 0);
	assert_int_equal(take_all(&f, 5000), FRAMES - 1);
	surroundings_miss(&f.s, 5, 6, 1000000, 0);
	assert_int_equal(take_all(&f, 5000), 0);
}

static void a_frame_larger_than_the_range_is_taken_alone(void **state)
{
	static struct fixture f;
	uint32_t first, count;
	fixture_init(&f, MIB);
	surroundings_miss(&f.s, 500, 501, MIB, 0);
	assert_true(next(&f, 10, &first, &count));
	assert_int_equal(count, 1);
}

/* Guessing in vain gets cheaper and cheaper; a right guess brings trust back. */
static void trust_is_lost_and_won(void **state)
{
	static struct fixture f;
	fixture_init(&f, MIB);
	uint32_t guessed[40];
	for (uint32_t i = 0; i < 40; i++) {
		surroundings_miss(&f.s, 12 + i * 25, 13 + i * 25, 16 * MIB, 0);
		guessed[i] = take_all(&f, MIB);
	}
	assert_int_equal(guessed[0], 16);
	assert_in_range(guessed[39], 1, 4);
	for (unsigned i = 0; i < 16; i++)
		surroundings_right(&f.s);
	memset(f.marks, 0, sizeof(f.marks));
	surroundings_miss(&f.s, 700, 701, 16 * MIB, 0);
	assert_int_equal(take_all(&f, MIB), 16);
}

/* As where large files lie between small ones: what is avoided costs nothing. */
static void what_is_to_be_avoided_is_passed_over(void **state)
{
	static struct fixture f;
	fixture_init(&f, 100);
	for (uint32_t i = 0; i < FRAMES; i++)
		f.marks[i] = i % 10 ? 4 : 0;
	surroundings_miss(&f.s, 500, 501, 800, 4);
	f.marks[500] |= 1;
	assert_int_equal(take_all(&f, 1000), 8);
	for (uint32_t i = 0; i < FRAMES; i++)
		assert_int_equal(!!(f.marks[i] & 2),
			i % 10 == 0 && i >= 460 && i <= 540 && i != 500);
	surroundings_miss(
		&f.s, 505, 506, 200, 0); /* one who reads such a thing himself */
	assert_int_equal(take_all(&f, 1000), 2);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_guessed_without_a_miss),
		cmocka_unit_test(the_nearest_come_first_on_both_sides),
		cmocka_unit_test(the_newest_miss_comes_first),
		cmocka_unit_test(a_miss_nearby_goes_on_where_the_last_one_was),
		cmocka_unit_test(what_is_taken_is_passed_over),
		cmocka_unit_test(it_ends_at_both_ends),
		cmocka_unit_test(a_frame_larger_than_the_range_is_taken_alone),
		cmocka_unit_test(trust_is_lost_and_won),
		cmocka_unit_test(what_is_to_be_avoided_is_passed_over),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
