/*
 * Reads that failed a moment ago, so that the kernel's second try gets no second
 * patience.
 *
 * When read-ahead of a page fails, the kernel asks for the page once more, on behalf of
 * the same system call. Such a read inherits the deadline of the one that failed: the
 * system call as a whole ends within one --timeout, and a failure that came early still
 * gets its second try. A setback is forgotten SETBACK_NS after it happened.
 *
 * A small table, the oldest gives way; its lock is a leaf, and is not taken while there
 * was no setback lately. Times are monotonic nanoseconds, and passed in.
 */
#ifndef LARDER_FS_SETBACKS_H
#define LARDER_FS_SETBACKS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "fetch/base/call.h"

#define SETBACKS_MOST 256
#define SETBACK_NS    NS_PER_SECOND

struct setback {
	uint64_t inode;
	uint64_t begin, end; /* bytes of the file */
	uint64_t deadline_ns;
	uint64_t until_ns; /* when it is forgotten */
};

struct setbacks {
	pthread_mutex_t lock;
	struct setback ring[SETBACKS_MOST]; /* under lock */
	size_t next;                        /* under lock */
	atomic_uint_least64_t latest_until_ns;
};

void setbacks_init(struct setbacks *s);
void setbacks_finish(struct setbacks *s);

/* A read of [offset, offset + len) that had until deadline_ns failed now. */
void setbacks_note(struct setbacks *s, uint64_t now_ns, uint64_t inode, uint64_t offset,
	uint64_t len, uint64_t deadline_ns);

/* The deadline for a read that has just arrived: `usual_ns`, or less. */
uint64_t setbacks_deadline(struct setbacks *s, uint64_t now_ns, uint64_t inode,
	uint64_t offset, uint64_t len, uint64_t usual_ns);

#endif
