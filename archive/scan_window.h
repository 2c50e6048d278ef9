/*
 * A source read in passing: what is skipped is not fetched.
 *
 * A window of bytes moves over the source. It begins small after a long skip, and doubles
 * while reading goes on where the window ended, so that many small files do not cost a
 * request each. A skip that would land near behind the window is not worth a request of
 * its own: those bytes are read and dropped. Used by one thread.
 */
#ifndef LARDER_ARCHIVE_SCAN_WINDOW_H
#define LARDER_ARCHIVE_SCAN_WINDOW_H

#include "fetch/range_source.h"

#define SCAN_LEAST (64u << 10)  /* bytes of the first window after a skip */
#define SCAN_MOST  (4u << 20)   /* bytes of the largest */
#define SCAN_NEAR  (512u << 10) /* bytes: skips that are shorter are read */

struct scan_window {
	struct range_source *source; /* borrowed */
	const struct call *call;     /* borrowed */
	const unsigned char *tail;   /* borrowed: the last bytes of source */
	uint64_t tail_begin;
	uint64_t position;   /* of the next byte handed out */
	uint64_t end;        /* of the window */
	size_t next_len;     /* bytes: how long the next window is when it goes on */
	unsigned char *data; /* owned; SCAN_MOST */
	uint64_t begin;      /* of the window */
	uint64_t fetched;    /* bytes, in all */
};

/* 0 or -ENOMEM. */
int scan_window_init(struct scan_window *w, struct range_source *source,
	const struct call *call, const void *tail, size_t tail_len);
void scan_window_finish(struct scan_window *w);

/* The next bytes, none at the end; borrowed until the next call. */
int scan_window_next(
	struct scan_window *w, const void **ret, size_t *ret_len, struct error *e);

/* Passes over some of the next len bytes: as many as are better skipped than read, maybe
 * none. */
uint64_t scan_window_skip(struct scan_window *w, uint64_t len);

#endif
