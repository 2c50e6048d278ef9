/*
 * Whether a worker looks for the next request for a moment before it sleeps.
 *
 * A program that walks a tree asks, waits, and asks again a few microseconds after the
 * answer. A worker that sleeps meanwhile has to be woken, on an idle processor of a
 * virtual machine, which takes longer than its work. So the worker on the lookout lingers
 * after an answer: up to LINGER_NS, giving way to whoever else can run. That costs
 * nothing where it succeeds and is a waste where it fails, so it goes on only as long as
 * it pays: each failure takes a credit away, each request that came in time, or would
 * have, gives one.
 */
#ifndef LARDER_FS_LINGER_H
#define LARDER_FS_LINGER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Two processors that wake each other take 35 us for a round trip here; the reader works
 * in between. With 50 us many a request came just too late. */
#define LINGER_NS UINT64_C(200000)

struct linger {
	bool possible; /* somebody else can run meanwhile */
	atomic_int credit;
	atomic_bool busy; /* somebody lingers */
	atomic_uint_least64_t answered_ns;
};

void linger_init(struct linger *l, unsigned processors);

/* An answer is about to be given. */
void linger_answer(struct linger *l, uint64_t now_ns);

/* True: the caller is the one who lingers now; linger_end() is to follow. */
bool linger_begin(struct linger *l);
void linger_end(struct linger *l, bool came);

/* A request has come at now_ns, without lingering. */
void linger_request(struct linger *l, uint64_t now_ns);

#endif
