/*
 * Said once, not once for each of a thousand reads.
 *
 * A complaint is a log line about one key and one kind of trouble. The same again within
 * COMPLAINT_NS is counted, and the count is told with the next line. The table is small,
 * the oldest gives way. What stays as it is until somebody changes the store is said of a
 * key once, as long as no COMPLAINTS_ONCE others come after it. The lock is a leaf; the
 * line is written without it.
 *
 * The last one is kept, said or not: where nobody listens to syslog, as in most
 * containers, it is all that is left of a reader's "Input/output error".
 */
#ifndef LARDER_FS_COMPLAINTS_H
#define LARDER_FS_COMPLAINTS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "fetch/base/call.h"
#include "fetch/base/error.h"
#include "fetch/base/log.h"

#define COMPLAINTS_MOST 64
#define COMPLAINT_NS    (10 * NS_PER_SECOND)
#define COMPLAINTS_ONCE 1024

struct complaint {
	uint64_t subject; /* hash of key and kind; 0: empty */
	uint64_t said_ns;
	uint64_t kept_quiet; /* since then */
};

/* What was complained of last. */
struct last_complaint {
	char sentence[ERROR_TEXT_SIZE]; /* "": there was none */
	uint64_t when_ns;
};

struct complaints {
	pthread_mutex_t lock;
	/* under lock: */
	struct complaint at[COMPLAINTS_MOST];
	uint64_t once[COMPLAINTS_ONCE]; /* subjects; a ring; 0: empty */
	unsigned next_once;
	struct last_complaint last;
};

void complaints_init(struct complaints *c);
void complaints_finish(struct complaints *c);

/* Should this be said at now_ns? *ret_quiet: how often it was not said since last time.
 */
bool complaints_due(struct complaints *c, uint64_t now_ns, const char *key, int kind,
	uint64_t *ret_quiet);

/* Is this to be said for the first time? It counts as said. */
bool complaints_first(struct complaints *c, const char *key, int kind);

void complaints_last(struct complaints *c, struct last_complaint *ret);

/* Logs the sentence unless it was said just now. kind: a negative errno, or any number
 * that tells troubles of one key apart. */
void complain(struct complaints *c, enum log_level level, const char *key, int kind,
	const char *sentence);

/* The same, once. */
void complain_once(struct complaints *c, enum log_level level, const char *key, int kind,
	const char *sentence);

#endif
