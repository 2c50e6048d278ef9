/*
 * How many bytes of chunks a cache directory holds, counted by all processes together.
 *
 * The file DIR/size holds the sum, so that nobody has to look at 100,000 files to know
 * it. Each change is added under flock(2), which is tried some times and never waited
 * for: a suspended process may hold it. What could not be added waits here and goes with
 * the next change. So the sum is right but for what killed processes took with them and
 * what people removed by hand; whoever scans the directory sets it right again. A scan is
 * due when there is no sum yet, when half the limit has been added since the last one,
 * and when that is a day old.
 *
 *     DIR/size, 32 bytes: "LARDERSZ", and as u64 each: the sum; bytes added since the
 * last scan; when that was, in seconds since the epoch
 *
 * Thread-safe. The mutex guards the numbers in memory and is a leaf; the file is read and
 * written by one thread at a time without it.
 */
#ifndef LARDER_FETCH_CHUNK_TALLY_H
#define LARDER_FETCH_CHUNK_TALLY_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* What a scan found, on its way to the file. */
struct tally_scan {
	bool done;
	uint64_t before; /* tally_begin_scan()'s answer */
	uint64_t found;  /* bytes */
	int64_t when_s;
};

struct tally {
	int fd; /* owned; -1: counted in memory only */
	pthread_mutex_t lock;
	/* under lock: */
	bool busy;              /* a thread is at the file */
	int64_t pending;        /* bytes not yet in the file */
	struct tally_scan scan; /* not yet in the file */
	bool counted;           /* the file held a sum when last seen; it was: */
	uint64_t total;         /* bytes */
	uint64_t unscanned;     /* bytes added since the last scan */
	uint64_t scanned_s;     /* when that was */
};

/* Takes over fd (DIR/size, open for reading and writing, or -1). */
void tally_init(struct tally *t, int fd);
void tally_finish(struct tally *t); /* puts pending changes into the file */

/* Counts in another file from now on, which comes under fd's old number; `fresh` stays the
 * caller's. Changes that the old one was not told of go there first, or are forgotten. 0;
 * -EBUSY: a thread is at the file; -errno of dup3(2). */
int tally_move(struct tally *t, int fresh);

/* Adds (or takes away) bytes. */
void tally_change(struct tally *t, int64_t bytes);

/* The sum as far as this process knows. */
uint64_t tally_total(struct tally *t);

/* Is it time that somebody scans? limit: the cache's, in bytes; now_s: since the epoch.
 */
bool tally_wants_scan(struct tally *t, uint64_t limit, int64_t now_s);

/* The sum at this moment; to be called before a scan, and given to tally_set(), which
 * takes what the scan found for the sum, and adds what came in between. */
uint64_t tally_begin_scan(struct tally *t);
void tally_set(struct tally *t, uint64_t before, uint64_t found, int64_t now_s);

/* Is there a sum at all, as far as this process knows? */
bool tally_is_counted(struct tally *t);

/* flock(2), tried. Where the file system has no locks this says yes: what they guard is
 * then less exact, not wrong. */
bool tally_try_lock(int fd);
void tally_unlock(int fd);

#endif
