/*
 * A range source over memory that does what a test tells it: counts and records reads,
 * fails so many of them, holds them until they are released.
 *
 * A held read ends early as a real one does, when its call is cancelled or too late.
 */
#ifndef LARDER_TESTS_UNIT_SCRIPTED_SOURCE_H
#define LARDER_TESTS_UNIT_SCRIPTED_SOURCE_H

#include <pthread.h>

#include "fetch/range_source.h"

#define SCRIPTED_LOG 256

struct scripted_read {
	uint64_t offset;
	size_t len;
	enum call_priority priority;
	bool hurried; /* while it was held */
};

struct scripted_source {
	struct range_source base;
	const unsigned char *data; /* borrowed */
	pthread_mutex_t lock;      /* guards what follows */
	pthread_cond_t changed;
	unsigned reads; /* begun */
	unsigned held;  /* waiting now */
	bool hold;
	unsigned fail_times;
	int fail_code;
	struct scripted_read log[SCRIPTED_LOG]; /* of the first reads */
};

void scripted_init(struct scripted_source *s, const void *data, size_t size);
void scripted_finish(struct scripted_source *s);

/* The next `times` reads fail with code, and a sentence that says "scripted". */
void scripted_fail(struct scripted_source *s, int code, unsigned times);

/* From now on reads wait. */
void scripted_hold(struct scripted_source *s);
void scripted_release(struct scripted_source *s);

/* Returns when at least n reads are held. */
void scripted_wait_held(struct scripted_source *s, unsigned n);

/* Returns when a read that is or was held has been hurried; its number in the log. */
unsigned scripted_wait_hurried(struct scripted_source *s);

unsigned scripted_reads(struct scripted_source *s);

#endif
