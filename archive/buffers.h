/*
 * Large buffers, mapped from the system, and a few spare ones kept for the next taker.
 *
 * For what has no place in an arena (arena.h says why it is not from malloc()): stored bytes
 * of ranges, and frames beyond the budget. Each is a mapping of its own, so what is given
 * back is gone from the process; the last few that were dropped are reused. Not for several
 * threads at once: the owner has a lock.
 */
#ifndef LARDER_ARCHIVE_BUFFERS_H
#define LARDER_ARCHIVE_BUFFERS_H

#include <stdbool.h>
#include <stddef.h>

struct buffer {
	void *data;  /* owned mapping; NULL: none */
	size_t size; /* bytes mapped */
};

/* The size a buffer for `need` bytes gets: what it adds to a budget. */
size_t buffer_size_for(size_t need);

/* A fresh mapping of size bytes (of buffer_size_for()). 0 or -ENOMEM. */
int buffer_map(size_t size, struct buffer *ret);
void buffer_unmap(struct buffer *b);

struct spare_buffer;

/* Zeroed: empty. */
struct buffers {
	struct spare_buffer *oldest,
		*newest; /* owned; a list kept in the buffers' memory */
	unsigned count;
	size_t bytes;
};

/* Takes a spare buffer that holds `need` bytes without wasting much. */
bool buffers_take(struct buffers *p, size_t need, struct buffer *ret);

/* Keeps b (if it is any) as the newest. */
void buffers_give(struct buffers *p, struct buffer b);

/* Takes out the oldest; false when there is none. */
bool buffers_drop(struct buffers *p, struct buffer *ret);

#endif
