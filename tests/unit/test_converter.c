/* The converter, and what it makes ready for a generation. */
#include "tests/unit/test.h"

#include <errno.h>
#include <sched.h>

#include "fetch/base/lock.h"
#include "fs/generation.h"
#include "tests/unit/foreign_builder.h"
#include "tests/unit/memory_store.h"
#include "tests/unit/scratch.h"

#define BIG (8u << 20) /* bytes: more than comes with an opening, also compressed */

static const struct call late = {.deadline_ns = 0};

struct world {
	struct memory_store *store;
	struct slots slots;
	struct scratch cache;
	struct supply supply;
	struct converter converter;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned begun, ended; /* under lock */
	int result;            /* of the last one; under lock */
};

static void wait_until(struct world *w, const unsigned *counter, unsigned n)
{
	LOCK_SCOPE(&w->lock);
	while (*counter < n)
		pthread_cond_wait(&w->changed, &w->lock);
}

static void count(struct world *w, unsigned *counter, int result)
{
	LOCK_SCOPE(&w->lock);
	++*counter;
	w->result = result;
	pthread_cond_broadcast(&w->changed);
}

static int convert(void *arg, const char *key, const struct call *call, struct error *e)
{
	struct world *w = arg;
	count(w, &w->begun, 0);
	int r = supply_convert(&w->supply, key, call, e);
	count(w, &w->ended, r);
	return r;
}

static void publish(struct world *w)
{
	static const struct member members[] = {{"big", '-', .size = BIG}, {NULL}};
	size_t len;
	unsigned char *packed = foreign_build("pax", "gzip", NULL, members, &len);
	memory_put(w->store, "k", packed, len);
	free(packed);
}

static void world_init(struct world *w)
{
	*w = (struct world){
		.store = memory_store_new(),
		.cache = scratch_new(),
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.changed = PTHREAD_COND_INITIALIZER,
	};
	slots_init(&w->slots);
	converter_init(&w->converter, convert, w);
	w->supply = (struct supply){
		.store = &w->store->base,
		.slots = &w->slots,
		.cache_dir = w->cache.path,
		.converter = &w->converter,
	};
	publish(w);
}

static void world_finish(struct world *w)
{
	converter_finish(&w->converter);
	assert_int_equal(w->store->objects, 0);
	memory_store_free(w->store);
	slots_finish(&w->slots);
	scratch_finish(&w->cache);
}

static void on_gone(void *arg, struct generation *g)
{
	(void)arg;
	(void)g;
}

/* Opens the key, and lets go of it. */
static int open_key(struct world *w, const struct call *call)
{
	const struct generation_hooks hooks = {.gone = on_gone};
	CLEANUP(cleanup_generation) struct generation *g = NULL;
	struct object *object;
	bool denied = false;
	assert_int_equal(store_open_object(&w->store->base, CALL_PATIENT, "k",
				 ARCHIVE_TAIL_SIZE, &object, &denied, NULL),
		0);
	return generation_new(&w->supply, "k", object, call, &hooks, &g, NULL);
}

static void what_had_no_time_is_there_the_next_time(void **state)
{
	(void)state;
	CLEANUP(world_finish) struct world w;
	world_init(&w);
	assert_int_equal(open_key(&w, &late), -ETIMEDOUT);
	wait_until(&w, &w.ended, 1);
	assert_int_equal(w.result, 0);
	unsigned reads = w.store->reads;
	assert_true(reads > 0);
	assert_int_equal(open_key(&w, CALL_PATIENT), 0);
	assert_int_equal(w.store->reads, reads);
	assert_int_equal(w.begun, 1);
}

static void what_had_time_is_not_wished_for(void **state)
{
	(void)state;
	CLEANUP(world_finish) struct world w;
	world_init(&w);
	assert_int_equal(open_key(&w, CALL_PATIENT), 0);
	assert_int_equal(open_key(&w, &late), 0); /* off the shelf */
	assert_false(w.converter.has_thread);
}

static void nothing_is_converted_that_would_not_be_kept(void **state)
{
	(void)state;
	CLEANUP(world_finish) struct world w;
	world_init(&w);
	w.supply.cache_dir = NULL;
	assert_int_equal(open_key(&w, &late), -ETIMEDOUT);
	assert_false(w.converter.has_thread);
}

static void one_is_converted_at_a_time_and_the_end_ends_it(void **state)
{
	(void)state;
	struct world w;
	world_init(&w);
	memory_hold(w.store);
	converter_wish(&w.converter, "k");
	memory_wait_held(w.store, 1);
	converter_wish(&w.converter, "k");
	world_finish(&w);
	assert_int_equal(w.begun, 1);
	assert_int_equal(w.result, -ECANCELED);
}

static void who_fails_leaves_the_place_to_others(void **state)
{
	(void)state;
	CLEANUP(world_finish) struct world w;
	world_init(&w);
	converter_wish(&w.converter, "missing");
	wait_until(&w, &w.ended, 1);
	assert_int_equal(w.result, -ENOENT);
	for (unsigned begun = 1; begun < 2; sched_yield()) {
		converter_wish(&w.converter, "k");
		LOCK_SCOPE(&w.lock);
		begun = w.begun;
	}
	wait_until(&w, &w.ended, 2);
	assert_int_equal(w.result, 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_had_no_time_is_there_the_next_time),
		cmocka_unit_test(what_had_time_is_not_wished_for),
		cmocka_unit_test(nothing_is_converted_that_would_not_be_kept),
		cmocka_unit_test(one_is_converted_at_a_time_and_the_end_ends_it),
		cmocka_unit_test(who_fails_leaves_the_place_to_others),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
