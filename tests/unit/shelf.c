#include "tests/unit/shelf.h"

#include <string.h>

#include "tests/unit/test.h"

#define FRAME_BUDGET (1 << 20)

static void on_opened(void *arg, uint64_t inode, struct generation *g)
{
}

void shelf_init(struct shelf *s)
{
	*s = (struct shelf){
		.store = memory_store_new(),
		.hooks = {.opened = on_opened},
	};
	slots_init(&s->slots);
	s->supply = (struct supply){
		.store = &s->store->base,
		.slots = &s->slots,
		.frame_budget = FRAME_BUDGET,
	};
}

void shelf_finish(struct shelf *s)
{
	assert_int_equal(s->store->objects, 0);
	slots_finish(&s->slots);
	cleanup_memory_store(&s->store);
}

static void put(
	struct memory_store *store, const char *key, const struct archive_builder *b)
{
	CLEANUP(buf_finish) struct buf object = BUF_INIT(1 << 20);
	builder_object(b, &object);
	memory_put_buf(store, key, &object);
}

void shelf_put(struct shelf *s, const char *key, const struct archive_builder *b)
{
	put(s->store, key, b);
}

void shelf_fill(struct memory_store *store, const char *key, const char *content)
{
	CLEANUP(cleanup_builder) struct archive_builder *b = builder_new();
	builder_file(b, "file", content, strlen(content));
	builder_lay(b);
	put(store, key, b);
}

void shelf_open(struct shelf *s, const char *key, struct opened *ret)
{
	assert_int_equal(doorway_new(&s->supply, &s->hooks, key, &ret->door), 0);
	assert_int_equal(doorway_generation(ret->door, CALL_PATIENT, &ret->g, NULL), 0);
}

void opened_close(struct opened *o)
{
	cleanup_generation(&o->g);
	doorway_close(o->door);
	doorway_unref(o->door);
}
