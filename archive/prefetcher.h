/*
 * Prefetching: a few threads that fulfil the wishes of read-ahead policies.
 *
 * One pool serves all archives that are open. Each reader that takes part gets a policy
 * (archive/readahead.h), which is told of every demand by the reader's observer; the
 * threads take wishes, the readers in turn, and read them at PRIORITY_PREFETCH, as many
 * ranges at once as there are threads. The link is as the reader's own reads show it.
 *
 * Decoded frames ahead of all readers have one memory, which those that are read side by
 * side (archive/audience.h) share evenly: more would push out what lies ahead of others, and
 * would be read twice.
 *
 * One lock guards all policies and who is at work; it comes before cancel.lock, and is
 * not held while anything is read.
 */
#ifndef LARDER_ARCHIVE_PREFETCHER_H
#define LARDER_ARCHIVE_PREFETCHER_H

#include "archive/reader.h"
#include "archive/readahead.h"

struct prefetcher;

/* Starts the threads (1 to 64). memory: bytes of decoded frames ahead of all readers. 0,
 * -ENOMEM, -EAGAIN: no thread to be had. */
int prefetcher_new(
	unsigned threads, size_t memory, struct prefetcher **ret, struct error *e);

/* Ends the threads. Every prefetching has been ended. */
void prefetcher_free(struct prefetcher *p);
DEFINE_CLEANUP(cleanup_prefetcher, struct prefetcher, prefetcher_free);

/* Range reads that may be under way at once. */
unsigned prefetcher_threads(const struct prefetcher *p);

struct prefetch_options {
	size_t memory; /* the most of it for this one: less than the reader's budget */
	bool all;             /* begin with bulk */
	uint64_t patience_ns; /* for each range */

	/* How many of the bytes that pass the source are kept on disk, from now on. NULL:
	 * none. Called with the pool's lock held: it takes no lock, and waits for nothing. */
	uint64_t (*room)(void *arg);

	/* Is the frame on disk already? Then bulk leaves it out. NULL: unknown. Called by
	 * the threads, without a lock. */
	bool (*on_disk)(void *arg, uint32_t frame);

	/* Bulk is shared out among processes that keep what passes in one place: claims
	 * frames [first, first + n) of count; *ret_busy: how many behind them another is
	 * reading. NULL: there are no others. Called like on_disk. */
	uint32_t (*claim)(void *arg, uint32_t first, uint32_t count, uint32_t *ret_busy);
	void (*unclaim)(void *arg, uint32_t first, uint32_t count);
	void *arg;
};

struct prefetching;

/* Begins to prefetch for a reader (borrowed), while no call of it is under way. 0 or
 * -ENOMEM. */
int prefetching_begin(struct prefetcher *p, struct reader *r,
	const struct prefetch_options *options, struct prefetching **ret);

/* Ends it at once: ranges under way are cancelled. No call of the reader is under way. */
void prefetching_end(struct prefetching *f);
DEFINE_CLEANUP(cleanup_prefetching, struct prefetching, prefetching_end);

void prefetching_stats(struct prefetching *f, struct readahead_stats *ret);

#endif
