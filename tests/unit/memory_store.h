/*
 * A store in memory that does what a test tells it: counts what it is asked, holds it
 * until released, fails, and has its keys replaced while they are open.
 *
 * Each put gives a key a new version, and an ETag of it. A read of an object whose key has
 * another version by now is -ESTALE, or -ENOENT when the key is gone. What is held ends
 * early as in a real store, when its call is cancelled or too late.
 */
#ifndef LARDER_TESTS_UNIT_MEMORY_STORE_H
#define LARDER_TESTS_UNIT_MEMORY_STORE_H

#include <pthread.h>

#include "fetch/base/buf.h"
#include "fetch/store_impl.h"

#define MEMORY_KEYS 64

struct memory_key {
	char *name;      /* owned */
	struct buf data; /* owned */
	unsigned version;
	int64_t mtime_s;
};

struct memory_store {
	struct store base;
	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t changed;
	struct memory_key keys[MEMORY_KEYS];
	size_t count;
	unsigned versions;
	unsigned opens, lists, reads; /* begun */
	unsigned objects;             /* that are open now */
	unsigned held;                /* calls that wait now */
	bool hold;
	unsigned hold_most; /* of calls at a time, the others go on; 0: all are held */
	int open_result;  /* 0, or what opening fails with */
	int list_result;  /* the same for listing */
	size_t tail_most; /* bytes that come with an opening; 0: all that are asked for */
	size_t flip_at;   /* of the next opening's answer, from its end: a bit comes wrong */
	bool denied;      /* opening fails like AccessDenied */
	bool unversioned; /* overwritten objects go on being read: as with version ids */
};

struct memory_store *memory_store_new(void);
void memory_store_free(struct memory_store *s);
DEFINE_CLEANUP(cleanup_memory_store, struct memory_store, memory_store_free);

/* Publishes; data is copied. */
void memory_put(struct memory_store *s, const char *key, const void *data, size_t len);
void memory_put_buf(struct memory_store *s, const char *key, const struct buf *data);
void memory_remove(struct memory_store *s, const char *key);

void memory_hold(struct memory_store *s);
void memory_release(struct memory_store *s);

/* Returns when at least n calls are held. */
void memory_wait_held(struct memory_store *s, unsigned n);

#endif
