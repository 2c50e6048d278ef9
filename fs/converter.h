/*
 * The converter: finishes what no system call has the patience for.
 *
 * To convert a foreign archive (docs/foreign.md) may take longer than --timeout, and so
 * longer than anybody's system call waits; what was made of it until then is thrown away.
 * Whoever gave up wishes for the key here. It is converted without a deadline, onto the
 * shelf, where the next opening finds it.
 *
 * One key at a time, on a thread that runs as long as that takes: what is wished for
 * meanwhile is dropped, for who still wants it comes again.
 *
 * The mutex guards the key and the thread, and is a leaf: held while a thread is started,
 * and while one that has ended is joined.
 */
#ifndef LARDER_FS_CONVERTER_H
#define LARDER_FS_CONVERTER_H

#include <pthread.h>
#include <stdbool.h>

#include "fetch/base/call.h"
#include "fetch/base/error.h"

/* 0, or a negative errno with its sentence. */
typedef int convert_fn(
	void *arg, const char *key, const struct call *call, struct error *e);

struct converter {
	convert_fn *convert;
	void *arg;
	struct cancel cancel; /* of what is being converted */

	pthread_mutex_t lock;
	char *key;        /* owned; NULL: nothing is being converted; under lock */
	bool has_thread;  /* it is to be joined; under lock */
	pthread_t thread; /* under lock */
};

void converter_init(struct converter *c, convert_fn *convert, void *arg);

/* Ends what is being converted. Nobody wishes any more. */
void converter_finish(struct converter *c);

/* Any thread. */
void converter_wish(struct converter *c, const char *key);

#endif
