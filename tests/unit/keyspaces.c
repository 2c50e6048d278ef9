#include "tests/unit/keyspaces.h"

#include <stdlib.h>

#include "tests/unit/shelf.h"
#include "tests/unit/test.h"

uint64_t world_now_ns;

uint64_t __real_clock_monotonic_ns(void);
uint64_t __wrap_clock_monotonic_ns(void);
uint64_t __wrap_clock_monotonic_ns(void)
{
	return world_now_ns ? world_now_ns : __real_clock_monotonic_ns();
}

static void on_opened(void *arg, uint64_t inode, struct generation *g)
{
	struct world *w = arg;
	w->opened++;
	if (w->when_opened)
		w->when_opened(w);
}

static void on_denied(void *arg, const char *key)
{
	((struct world *)arg)->denied++;
}

struct world *world_new(const char *key)
{
	struct world *w = calloc(1, sizeof(*w));
	world_now_ns = 0;
	w->store = memory_store_new();
	slots_init(&w->slots);
	w->supply = (struct supply){
		.store = &w->store->base,
		.slots = &w->slots,
		.frame_budget = 1 << 20,
	};
	w->hooks = (struct doorway_hooks){
		.opened = on_opened,
		.denied = on_denied,
		.arg = w,
	};
	assert_int_equal(keyspace_new(&w->supply, &w->hooks, key, &w->keyspace), 0);
	return w;
}

void world_free(struct world *w)
{
	keyspace_free(w->keyspace);
	assert_int_equal(w->store->objects, 0);
	memory_store_free(w->store);
	slots_finish(&w->slots);
	free(w);
}

void world_put(struct world *w, const char *key, const char *content)
{
	shelf_fill(w->store, key, content);
}

int world_lookup(struct world *w, uint32_t directory, const char *name, struct shown *ret)
{
	return keyspace_lookup(
		w->keyspace, CALL_PATIENT, directory, name, true, ret, NULL);
}

struct listing *world_list(struct world *w, uint32_t directory)
{
	struct listing *l = NULL;
	assert_int_equal(
		keyspace_listing(w->keyspace, CALL_PATIENT, directory, true, &l, NULL),
		0);
	return l;
}
