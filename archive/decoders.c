#include "archive/decoders.h"

#include <errno.h>
#include <unistd.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "fetch/base/lock.h"

void decoders_init(struct decoders *d)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	*d = (struct decoders){.lock = PTHREAD_MUTEX_INITIALIZER, .keep = 1};
	if (processors > 1)
		d->keep = processors < DECODERS_IDLE_MAX ? (unsigned)processors
							 : DECODERS_IDLE_MAX;
}

void decoders_finish(struct decoders *d)
{
	while (d->count)
		ZSTD_freeDCtx(d->idle[--d->count]);
	pthread_mutex_destroy(&d->lock);
}

static ZSTD_DCtx *take(struct decoders *d)
{
	{
		LOCK_SCOPE(&d->lock);
		if (d->count)
			return d->idle[--d->count];
	}
	return ZSTD_createDCtx();
}

static void give(struct decoders *d, ZSTD_DCtx *ctx)
{
	{
		LOCK_SCOPE(&d->lock);
		if (d->count < d->keep) {
			d->idle[d->count++] = ctx;
			return;
		}
	}
	ZSTD_freeDCtx(ctx);
}

int decoders_decode(struct decoders *d, const void *stored, size_t stored_len, void *raw,
	size_t raw_len)
{
	ZSTD_DCtx *ctx = take(d);
	if (!ctx)
		return -ENOMEM;
	size_t got = ZSTD_decompressDCtx(ctx, raw, raw_len, stored, stored_len);
	give(d, ctx);
	if (ZSTD_isError(got))
		return ZSTD_getErrorCode(got) == ZSTD_error_memory_allocation ? -ENOMEM
									      : -EBADMSG;
	return got == raw_len ? 0 : -EBADMSG;
}
