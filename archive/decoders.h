/*
 * Decoding stored frames, with zstd contexts that are kept from one to the next.
 *
 * A context takes about 160 KiB and some time to make, so idle ones are kept: as many as
 * there are processors. Thread-safe; the lock is a leaf and not held while decoding.
 */
#ifndef LARDER_ARCHIVE_DECODERS_H
#define LARDER_ARCHIVE_DECODERS_H

#include <pthread.h>
#include <stddef.h>

#define DECODERS_IDLE_MAX 16

struct decoders {
	pthread_mutex_t lock;          /* guards the rest */
	void *idle[DECODERS_IDLE_MAX]; /* owned: ZSTD_DCtx */
	unsigned count;                /* idle now */
	unsigned keep;                 /* most idle ones */
};

void decoders_init(struct decoders *d);
void decoders_finish(struct decoders *d); /* nobody decodes */

/* Decodes a frame of stored_len bytes that must give exactly raw_len. 0, -EBADMSG: it
 * does not, -ENOMEM. On failure raw may hold anything. */
int decoders_decode(struct decoders *d, const void *stored, size_t stored_len, void *raw,
	size_t raw_len);

#endif
