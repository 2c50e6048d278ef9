/*
 * A keyspace over a store that does what a test says, and the clock that it sees.
 * Link with --wrap=clock_monotonic_ns.
 */
#ifndef LARDER_TESTS_UNIT_KEYSPACES_H
#define LARDER_TESTS_UNIT_KEYSPACES_H

#include "fs/keyspace.h"
#include "tests/unit/memory_store.h"

/* 0: the real one, as world_new() has it. */
extern uint64_t world_now_ns;

struct world {
	struct memory_store *store;
	struct slots slots;
	struct supply supply;
	struct doorway_hooks hooks;
	struct keyspace *keyspace;
	unsigned opened, denied; /* by hooks; one thread at a time in these tests */
	void (*when_opened)(struct world *w); /* NULL: nothing */
	struct shown meanwhile;
};

/* Of the whole store, or of one key. */
struct world *world_new(const char *key);
/* Fails the test when an object is still open. */
void world_free(struct world *w);

/* An archive of one file, `file`. */
void world_put(struct world *w, const char *key, const char *content);

/* As a path walk that may ask the store. */
int world_lookup(
	struct world *w, uint32_t directory, const char *name, struct shown *ret);
struct listing *world_list(struct world *w, uint32_t directory);

#endif
