/*
 * Memory for secrets: pages of their own, left out of core dumps (MADV_DONTDUMP), wiped
 * before they go back to the system.
 *
 * A block costs at least one page, so what belongs together is put into one. Nothing here
 * is locked; a block has one owner.
 */
#ifndef LARDER_FETCH_SECRET_H
#define LARDER_FETCH_SECRET_H

#include <stddef.h>

#include "fetch/base/buf.h"
#include "fetch/base/cleanup.h"

/* size bytes of zeroes; NULL when out of memory. */
void *secret_new(size_t size);

/* Accepts NULL. */
void secret_free(void *p);

static inline void cleanup_secret(void *p)
{
	secret_free(*(void **)p);
	*(void **)p = NULL;
}

/* Reads a whole file into a new block, NUL-terminated: secret_free() it. 0, -EFBIG past
 * `max` bytes, -ENOMEM, -errno of open(2) or read(2). */
int secret_read_file(const char *path, size_t max, char **ret, size_t *ret_len);

/* Wipes a buffer's memory, then frees it. What the buffer left behind when it grew is
 * beyond reach: reserve room first. Accepts NULL. */
void secret_buf_finish(struct buf *b);

#endif
