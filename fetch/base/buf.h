/*
 * A growing byte buffer with a cap.
 *
 * `max` bytes is the most it will ever hold, the terminating NUL not counted; a call that
 * would pass it fails with -EMSGSIZE and appends nothing. While data is not NULL,
 * data[len] is NUL, so text can be used as a C string. Not for several threads at once.
 */
#ifndef LARDER_FETCH_BASE_BUF_H
#define LARDER_FETCH_BASE_BUF_H

#include <stddef.h>

struct buf {
	char *data;  /* owned; NULL while nothing was appended */
	size_t len;  /* bytes */
	size_t size; /* bytes allocated */
	size_t max;  /* bytes */
};

#define BUF_INIT(most) ((struct buf){ .max = (most) })

void buf_init(struct buf *b, size_t max);

/* Frees the bytes; the buffer is empty and usable again. Accepts NULL. */
void buf_finish(struct buf *b);

/* Forgets the content, keeps the memory. */
void buf_clear(struct buf *b);

/* 0, -EMSGSIZE past max, -ENOMEM. */
int buf_append(struct buf *b, const void *data, size_t len);
int buf_append_str(struct buf *b, const char *s);
int buf_printf(struct buf *b, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Makes room for `more` bytes behind len without changing len; same errors. */
int buf_reserve(struct buf *b, size_t more);

/* The bytes as a C string, "" when nothing was appended. Borrowed. */
const char *buf_str(const struct buf *b);

/* Hands the bytes over to the caller (free() them); the buffer is empty afterwards.
 * NULL when nothing was ever appended. */
char *buf_steal(struct buf *b);

#endif
