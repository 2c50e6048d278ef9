/* SPDX-License-Identifier: Apache-2.0 */
#include "line.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "loop.h"

#define PIPE_SIZE  (1 << 20)
#define SEND_PARTS 16

static void *need(void *memory)
{
	if (!memory) {
		fputs("faultproxy: out of memory\n", stderr);
		exit(1);
	}
	return memory;
}

void pool_init(struct pool *pool)
{
	*pool = (struct pool){0};
}

void pool_unref(struct pool *pool, struct block *block)
{
	if (--block->refs)
		return;
	block->next = pool->free;
	pool->free = block;
}

void pool_finish(struct pool *pool)
{
	struct block *block;

	if (pool->filling)
		pool_unref(pool, pool->filling);
	pool->filling = NULL;
	while ((block = pool->free)) {
		pool->free = block->next;
		free(block);
	}
}

struct block *pool_block(struct pool *pool, size_t least)
{
	struct block *block = pool->filling;

	if (block && block->refs == 1)
		block->used = 0;
	if (block && BLOCK_SIZE - block->used >= least)
		return block;
	if (block)
		pool_unref(pool, block);
	block = pool->free;
	if (block)
		pool->free = block->next;
	else
		block = need(malloc(sizeof(*block)));
	block->refs = 1;
	block->used = 0;
	pool->filling = block;
	return block;
}

void line_init(struct line *line)
{
	*line = (struct line){.pipe = {-1, -1}};
}

static struct segment *line_at(const struct line *line, size_t i)
{
	return &line->ring[(line->head + i) & (line->room - 1)];
}

static void line_shift(struct line *line, struct pool *pool)
{
	struct segment *first = line_at(line, 0);

	if (first->block)
		pool_unref(pool, first->block);
	line->head = (line->head + 1) & (line->room - 1);
	line->count--;
}

void line_finish(struct line *line, struct pool *pool)
{
	while (line->count)
		line_shift(line, pool);
	free(line->ring);
	if (line->pipe[0] >= 0) {
		close(line->pipe[0]);
		close(line->pipe[1]);
	}
	line_init(line);
}

static void line_grow(struct line *line)
{
	size_t room = line->room ? 2 * line->room : 16;
	struct segment *ring = need(calloc(room, sizeof(*ring)));

	for (size_t i = 0; i < line->count; i++)
		ring[i] = *line_at(line, i);
	free(line->ring);
	line->ring = ring;
	line->room = room;
	line->head = 0;
}

/* A new segment at the end, which arrives no earlier than the one before it. */
static struct segment *line_push(struct line *line, uint64_t due)
{
	struct segment *segment;

	if (line->count == line->room)
		line_grow(line);
	if (line->count && line_at(line, line->count - 1)->due > due)
		due = line_at(line, line->count - 1)->due;
	segment = line_at(line, line->count++);
	*segment = (struct segment){.due = due};
	return segment;
}

/* The last segment, if bytes that arrive at due may be added to it. */
static struct segment *line_last(const struct line *line, uint64_t due)
{
	struct segment *last;

	if (!line->count)
		return NULL;
	last = line_at(line, line->count - 1);
	return last->mark == MARK_NONE && last->due >= due ? last : NULL;
}

void line_append(struct line *line, struct block *block, size_t offset, size_t length,
	uint64_t due)
{
	struct segment *last = line_last(line, due);

	if (!length)
		return;
	line->bytes += length;
	if (last && last->block == block && last->offset + last->length == offset) {
		last->length += length;
		return;
	}
	last = line_push(line, due);
	last->block = block;
	last->offset = offset;
	last->length = length;
	block->refs++;
}

void line_append_mark(struct line *line, enum mark mark, uint64_t due)
{
	line_push(line, due)->mark = mark;
}

/* Without a pipe, for want of descriptors, everything goes by way of memory. */
ssize_t line_fill_pipe(struct line *line, int socket, size_t limit)
{
	ssize_t n;

	if (line->pipe[0] < 0) {
		if (pipe2(line->pipe, O_NONBLOCK | O_CLOEXEC) < 0)
			return -ENOBUFS;
		fcntl(line->pipe[1], F_SETPIPE_SZ, PIPE_SIZE);
	}
	n = splice(socket, NULL, line->pipe[1], NULL, limit,
		SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	return n < 0 ? -errno : n;
}

void line_append_piped(struct line *line, size_t length, uint64_t due)
{
	struct segment *last = line_last(line, due);

	line->bytes += length;
	line->piped += length;
	if (!last || last->block)
		last = line_push(line, due);
	last->length += length;
}

uint64_t line_due(const struct line *line)
{
	return line->count ? line_at(line, 0)->due : NEVER;
}

enum mark line_mark(const struct line *line, uint64_t now)
{
	return line_due(line) <= now && line->count ? line_at(line, 0)->mark : MARK_NONE;
}

void line_drop_mark(struct line *line)
{
	line->head = (line->head + 1) & (line->room - 1);
	line->count--;
}

void line_forget(struct line *line, enum mark mark)
{
	size_t kept = 0;

	for (size_t i = 0; i < line->count; i++)
		if (line_at(line, i)->mark != mark)
			*line_at(line, kept++) = *line_at(line, i);
	line->count = kept;
}

static ssize_t send_piped(struct line *line, int socket, size_t limit)
{
	struct segment *first = line_at(line, 0);
	ssize_t n;

	if (limit > first->length)
		limit = first->length;
	n = splice(line->pipe[0], NULL, socket, NULL, limit,
		SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	if (n < 0)
		return -errno;
	line->piped -= (size_t)n;
	return n;
}

static ssize_t send_memory(struct line *line, int socket, size_t limit, uint64_t now)
{
	struct iovec parts[SEND_PARTS];
	struct msghdr message = {.msg_iov = parts};
	ssize_t n;

	for (size_t i = 0; i < line->count && i < SEND_PARTS && limit; i++) {
		struct segment *segment = line_at(line, i);
		size_t length = segment->length < limit ? segment->length : limit;

		if (!segment->block || segment->due > now)
			break;
		parts[i].iov_base = segment->block->bytes + segment->offset;
		parts[i].iov_len = length;
		message.msg_iovlen = i + 1;
		limit -= length;
	}
	n = sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
	return n < 0 ? -errno : n;
}

static void line_consume(struct line *line, struct pool *pool, size_t n)
{
	line->bytes -= n;
	while (n) {
		struct segment *first = line_at(line, 0);
		size_t used = n < first->length ? n : first->length;

		first->offset += used;
		first->length -= used;
		n -= used;
		if (!first->length)
			line_shift(line, pool);
	}
}

ssize_t line_send(
	struct line *line, struct pool *pool, int socket, size_t limit, uint64_t now)
{
	struct segment *first;
	ssize_t n;

	if (line_due(line) > now || !limit || line_at(line, 0)->mark != MARK_NONE)
		return 0;
	first = line_at(line, 0);
	n = first->block ? send_memory(line, socket, limit, now)
			 : send_piped(line, socket, limit);
	if (n > 0)
		line_consume(line, pool, (size_t)n);
	return n;
}
