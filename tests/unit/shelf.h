/*
 * Generations for tests of what is done with them: keys of a store in memory, opened.
 *
 *     shelf_init(&s);
 *     shelf_put(&s, "k", builder);     what builder_lay() has laid
 *     shelf_open(&s, "k", &opened);
 *     opened_close(&opened);
 *     shelf_finish(&s);
 */
#ifndef LARDER_TESTS_UNIT_SHELF_H
#define LARDER_TESTS_UNIT_SHELF_H

#include "fs/doorway.h"
#include "tests/unit/archive_builder.h"
#include "tests/unit/memory_store.h"

struct shelf {
	struct memory_store *store; /* owned */
	struct slots slots;
	struct supply supply;
	struct doorway_hooks hooks;
};

void shelf_init(struct shelf *s);
void shelf_finish(struct shelf *s); /* fails the test when something is open yet */

void shelf_put(struct shelf *s, const char *key, const struct archive_builder *b);

/* Puts an archive of one file, `file`, into such a store. */
void shelf_fill(struct memory_store *store, const char *key, const char *content);

struct opened {
	struct doorway *door; /* one reference */
	struct generation *g; /* the same */
};

void shelf_open(struct shelf *s, const char *key, struct opened *ret);
void opened_close(struct opened *o);

#endif
