/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One direction of a delayed connection: bytes on their way, each with the time at which
 * it arrives, in order. Marks between them stand for what happens to the connection when
 * the bytes before have arrived.
 *
 * Bytes are held in blocks of memory, shared with other lines and counted, or in a kernel
 * pipe, where bulk data passes without being copied.
 */
#ifndef FAULTPROXY_LINE_H
#define FAULTPROXY_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define BLOCK_SIZE (256 << 10)

struct block {
	size_t refs;
	size_t used; /* bytes taken from the front */
	struct block *next;
	uint8_t bytes[BLOCK_SIZE];
};

/* The blocks that are free, and the one that is being filled. */
struct pool {
	struct block *free, *filling;
};

void pool_init(struct pool *pool);
void pool_finish(struct pool *pool);

/*
 * The block to put the next bytes into, at its byte 'used'; the caller raises 'used' by
 * what it took. Borrowed: lines that hold bytes of it count themselves. At least least
 * bytes are left in it (least <= BLOCK_SIZE). Ends the program when memory runs out.
 */
struct block *pool_block(struct pool *pool, size_t least);

/* Gives back a count of the block that the caller took by raising refs. */
void pool_unref(struct pool *pool, struct block *block);

enum mark {
	MARK_NONE,   /* bytes */
	MARK_FINISH, /* the sender has no more to say */
	MARK_HALT,   /* nothing goes on until the line is resumed */
	MARK_CLOSE,  /* the connection is closed */
	MARK_RESET,  /* the connection is reset */
};

struct segment {
	uint64_t due;
	enum mark mark;
	struct block *block; /* counted; NULL: the bytes are in the pipe */
	size_t offset, length;
};

struct line {
	struct segment *ring;
	size_t room, head, count;
	size_t bytes; /* held in all */
	size_t piped; /* of them in the pipe */
	int pipe[2];  /* Owned; -1 until needed */
};

void line_init(struct line *line);
void line_finish(struct line *line, struct pool *pool);

/* Appends bytes of a block; they arrive at due, or with the bytes before if that is
 * later.
 */
void line_append(struct line *line, struct block *block, size_t offset, size_t length,
	uint64_t due);
void line_append_mark(struct line *line, enum mark mark, uint64_t due);

/*
 * Moves up to limit bytes from a socket into the line's pipe. Returns how many, 0 at the
 * end of the stream, or -errno; -EAGAIN means that the socket is empty or that the pipe
 * is full, and receiving into memory tells which; -ENOBUFS that there is no pipe. What
 * was moved must be appended next.
 */
ssize_t line_fill_pipe(struct line *line, int socket, size_t limit);
void line_append_piped(struct line *line, size_t length, uint64_t due);

/* When the first segment arrives; NEVER when there is none. */
uint64_t line_due(const struct line *line);

/* The mark that has arrived by now at the front of the line; MARK_NONE where bytes are.
 */
enum mark line_mark(const struct line *line, uint64_t now);
void line_drop_mark(struct line *line);

/* Takes all marks of this kind off the line, arrived or not. */
void line_forget(struct line *line, enum mark mark);

/*
 * Sends bytes that have arrived by now, limit at most. Returns how many, which is 0 when
 * none have arrived or a mark comes first, or -errno.
 */
ssize_t line_send(
	struct line *line, struct pool *pool, int socket, size_t limit, uint64_t now);

#endif
