#include "tests/unit/test.h"

#include "archive/hoard.h"
#include "fetch/base/cleanup.h"

#define LIMIT 160 /* room is made down to 150 */

/* One that keeps what a test says, and gives back what is not in use. */
struct pantry {
	struct keeper keeper;
	struct hoard *hoard;
	size_t kept, in_use, wanted; /* before long */
	unsigned asked;
	struct pantry *grows; /* while it gives back; NULL: nobody */
};

static void keep(struct pantry *p, size_t bytes)
{
	size_t before = p->kept;
	p->kept += bytes;
	hoard_tell(p->hoard, before, p->kept);
}

static void yield(void *arg, size_t bytes, bool all)
{
	struct pantry *p = arg;
	size_t before = p->kept, idle = p->kept - p->in_use - (all ? 0 : p->wanted);
	p->asked++;
	if (p->grows)
		keep(p->grows, 1);
	p->kept -= bytes < idle ? bytes : idle;
	hoard_tell(p->hoard, before, p->kept);
}

struct fixture {
	struct hoard hoard;
	struct pantry pantries[4];
};

static void fixture_init(struct fixture *f)
{
	*f = (struct fixture){0};
	hoard_init(&f->hoard, LIMIT);
	for (size_t i = 0; i < 4; i++) {
		struct pantry *p = &f->pantries[i];
		p->hoard = &f->hoard;
		p->keeper = (struct keeper){.yield = yield, .arg = p};
		hoard_join(&f->hoard, &p->keeper);
	}
}

static void fixture_finish(struct fixture *f)
{
	for (size_t i = 0; i < 4; i++)
		if (f->pantries[i].hoard)
			hoard_leave(&f->hoard, &f->pantries[i].keeper);
	hoard_finish(&f->hoard);
}

static void nobody_is_asked_up_to_the_limit(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f);
	for (size_t i = 0; i < 4; i++)
		keep(&f.pantries[i], LIMIT / 4);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(f.pantries[i].asked, 0);
}

static void who_was_not_used_gives_back_first(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f);
	for (size_t i = 0; i < 4; i++) {
		keep(&f.pantries[i], LIMIT / 4);
		if (i != 2)
			keeper_used(&f.pantries[i].keeper);
	}
	keep(&f.pantries[3], 20);
	assert_int_equal(f.pantries[2].kept, 40 - 30);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(f.pantries[i].asked, i == 2);
}

/* When all are, those were passed over once, and the next ones come the next time. */
static void all_that_are_used_give_back_in_turn(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f);
	for (size_t i = 0; i < 4; i++)
		keep(&f.pantries[i], LIMIT / 4);
	for (unsigned round = 1; round <= 12; round++) {
		for (size_t i = 0; i < 4; i++)
			keeper_used(&f.pantries[i].keeper);
		keep(&f.pantries[round % 4], 11);
		assert_in_range(atomic_load(&f.hoard.bytes), 0, LIMIT);
	}
	for (size_t i = 0; i < 4; i++)
		assert_in_range(f.pantries[i].asked, 2, 4);
}

/* Also where that is little of each: all are asked before one gives the rest. */
static void what_is_wanted_before_long_goes_last(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f);
	for (size_t i = 0; i < 4; i++) {
		f.pantries[i].wanted = 35;
		keep(&f.pantries[i], LIMIT / 4);
		keeper_used(&f.pantries[i].keeper);
	}
	keep(&f.pantries[3], 5);
	for (size_t i = 0; i < 4; i++)
		assert_in_range(f.pantries[i].kept, 35, 45);
	assert_int_equal(atomic_load(&f.hoard.bytes), 150);
	for (size_t i = 0; i < 4; i++)
		keeper_used(&f.pantries[i].keeper);
	f.pantries[3].wanted += 20;
	keep(&f.pantries[3], 20);
	assert_int_equal(atomic_load(&f.hoard.bytes), 150);
	unsigned lessened = 0;
	for (size_t i = 0; i < 4; i++)
		lessened += f.pantries[i].kept < f.pantries[i].wanted;
	assert_int_equal(lessened, 1);
}

static void what_is_in_use_stays_and_the_search_ends(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f);
	for (size_t i = 0; i < 4; i++) {
		f.pantries[i].in_use = LIMIT;
		keep(&f.pantries[i], LIMIT);
	}
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(f.pantries[i].kept, LIMIT);
	f.pantries[1].in_use = 0;
	f.pantries[0].in_use++;
	keep(&f.pantries[0], 1);
	assert_int_equal(f.pantries[1].kept, 0);
	assert_int_equal(atomic_load(&f.hoard.bytes), 3 * LIMIT + 1);
}

static void who_has_left_is_not_asked(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f);
	for (size_t i = 0; i < 2; i++) {
		hoard_leave(&f.hoard, &f.pantries[i].keeper);
		f.pantries[i].hoard = NULL;
	}
	keep(&f.pantries[2], 4 * LIMIT);
	assert_int_equal(f.pantries[2].kept, 150);
	assert_int_equal(f.pantries[0].asked + f.pantries[1].asked, 0);
}

/* As does a thread that comes while another makes room: it goes on, and none waits. */
static void who_takes_more_while_room_is_made_goes_on(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f);
	f.pantries[0].grows = &f.pantries[1];
	f.pantries[1].in_use = 1;
	keep(&f.pantries[0], 170);
	assert_int_equal(f.pantries[1].kept, 1);
	assert_int_equal(atomic_load(&f.hoard.bytes), 150);
}

/* A thread notes what it keeps under its own lock and tells without it: what another one
 * gave back of that may have been told by then. */
static void what_went_may_be_told_before_it_came(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f);
	keep(&f.pantries[0], 10);
	hoard_tell(&f.hoard, 100, 0);
	keep(&f.pantries[1], 5);
	assert_int_equal(f.pantries[0].asked + f.pantries[1].asked, 0);
	hoard_tell(&f.hoard, 0, 100);
	assert_int_equal(atomic_load(&f.hoard.bytes), 15);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_is_asked_up_to_the_limit),
		cmocka_unit_test(who_was_not_used_gives_back_first),
		cmocka_unit_test(all_that_are_used_give_back_in_turn),
		cmocka_unit_test(what_is_wanted_before_long_goes_last),
		cmocka_unit_test(what_is_in_use_stays_and_the_search_ends),
		cmocka_unit_test(who_has_left_is_not_asked),
		cmocka_unit_test(who_takes_more_while_room_is_made_goes_on),
		cmocka_unit_test(what_went_may_be_told_before_it_came),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
