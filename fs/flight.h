/*
 * Work that is done once however many ask for it.
 *
 *     IDLE --first asker: FLIGHT_OWNER--> BUSY --flight_land()--> IDLE
 *
 * The owner works with its own call's patience; the others wait, each with its own. When
 * the work succeeded, their `ready` says so. When it failed for the store's sake, all who
 * waited get that error. When the owner gave up (-ETIMEDOUT, -ECANCELED: its deadline,
 * its ^C), one of those who waited becomes the owner.
 *
 * A flight is guarded by the lock of what it belongs to, which is passed in and must not
 * be held by the caller; whoever frees it knows that nobody is inside. Every key that is
 * shown has two, so what an error says is kept only when somebody waits to hear it.
 */
#ifndef LARDER_FS_FLIGHT_H
#define LARDER_FS_FLIGHT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "fetch/base/call.h"
#include "fetch/base/error.h"

struct flight {
	pthread_cond_t landed;
	bool busy;
	unsigned waiting; /* for the landing */
	uint64_t landings;
	int result;          /* of the last landing */
	struct error *error; /* owned; its words; NULL: none, or no memory for them */
};

enum flight_role {
	FLIGHT_READY, /* ready() said yes */
	FLIGHT_OWNER, /* the caller does the work, then calls flight_land() */
};

int flight_init(struct flight *f); /* 0 or -errno */
void flight_finish(struct flight *f);

/* FLIGHT_READY, FLIGHT_OWNER; -ETIMEDOUT, -ECANCELED by the caller's own call; or the
 * owner's failure. ready(arg) is called with the lock held. */
int flight_join(struct flight *f, pthread_mutex_t *lock, const struct call *call,
	bool (*ready)(void *arg), void *arg, struct error *e);

/* The owner's last word: 0 or why it failed. */
void flight_land(
	struct flight *f, pthread_mutex_t *lock, int result, const struct error *e);

#endif
