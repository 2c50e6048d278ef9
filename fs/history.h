/*
 * A history: which content each key of a mount was shown with last, so that the mount
 * knows whether it has shown two contents of one key, also when the kernel, and with it
 * the keyspace, forgot the key in between. Who packs what is mounted, or copies out of
 * it, asks: it could be of both.
 *
 * 32 to 64 bytes for each key that was opened. One that finds no room any more, or no
 * memory, counts as overwritten: that does no harm but to who asks.
 *
 * The lock is a leaf.
 */
#ifndef LARDER_FS_HISTORY_H
#define LARDER_FS_HISTORY_H

#include <pthread.h>
#include <stdint.h>

#include "fetch/base/digest.h"

#define HISTORY_MOST ((size_t)1 << 18) /* keys: from then on the table does not grow */

struct history {
	pthread_mutex_t lock;
	struct history_place *at; /* owned; under lock, as are the next three */
	size_t size;              /* places: 0 or a power of 2 */
	size_t count;             /* of them, taken */
	uint64_t overwrites;
};

void history_init(struct history *h);
void history_finish(struct history *h);

/* The key is about to be shown with the content of this identity. */
void history_note(struct history *h, const char *key, const struct digest *identity);

/* How often a key was noted with another content than the last time. */
uint64_t history_overwrites(struct history *h);

#endif
