/*
 * What failed a moment ago, so that the kernel's second try gets no second patience.
 *
 * When read-ahead of a page fails, the kernel asks for the page once more, on behalf of
 * the same system call. And callers that look up one name at the same time wait in the
 * kernel for the first one's answer; when that is a failure, the next one asks, and so
 * on. So do those who wait for a page or a name that another has asked for, when that one
 * is let go for a signal. Such a try inherits the deadline of the one before: every system
 * call ends within one --timeout, and a failure that came early still gets its second try.
 * A setback is forgotten SETBACK_NS after it happened: long enough for a caller on a busy
 * machine to come back.
 *
 * One ring, the oldest gives way: when a store hangs, all who wait for it fail at the same
 * moment, whether for one file or for many. It is looked through from the latest to the
 * first that is forgotten. Its lock is a leaf, and is not taken while there was no setback
 * lately. Times are monotonic nanoseconds, and passed in.
 */
#ifndef LARDER_FS_SETBACKS_H
#define LARDER_FS_SETBACKS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "fetch/base/call.h"

#define SETBACKS_MOST 4096 /* many times as many as may wait at once */
#define SETBACK_NS    NS_PER_SECOND

struct setback {
	uint64_t subject;    /* a file's inode, or what stands for a name */
	uint64_t begin, end; /* bytes of the file */
	uint64_t deadline_ns;
	uint64_t until_ns; /* when it is forgotten */
};

struct setbacks {
	pthread_mutex_t lock;
	struct setback at[SETBACKS_MOST]; /* under lock */
	unsigned next;                    /* under lock */
	atomic_uint_least64_t latest_until_ns;
};

void setbacks_init(struct setbacks *s);
void setbacks_finish(struct setbacks *s);

/* What stands for a name in a directory. */
uint64_t setbacks_subject(uint64_t directory, const char *name);

/* What was asked about bytes [offset, offset + len) of the subject, until deadline_ns,
 * failed now, or was let go. */
void setbacks_note(struct setbacks *s, uint64_t now_ns, uint64_t subject, uint64_t offset,
	uint64_t len, uint64_t deadline_ns);

/* The deadline for a request that has just arrived: `usual_ns`, or less. */
uint64_t setbacks_deadline(struct setbacks *s, uint64_t now_ns, uint64_t subject,
	uint64_t offset, uint64_t len, uint64_t usual_ns);

#endif
