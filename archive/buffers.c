#include "archive/buffers.h"

#include <errno.h>
#include <sys/mman.h>

#define GRAIN ((size_t)64 << 10) /* so that sizes repeat and spare buffers fit */

/* Lies at the start of each spare buffer. */
struct spare_buffer {
	struct spare_buffer *newer;
	size_t size;
};

size_t buffer_size_for(size_t need)
{
	return need ? (need + GRAIN - 1) / GRAIN * GRAIN : GRAIN;
}

int buffer_map(size_t size, struct buffer *ret)
{
	void *data = mmap(
		NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (data == MAP_FAILED)
		return -ENOMEM;
	*ret = (struct buffer){data, size};
	return 0;
}

void buffer_unmap(struct buffer *b)
{
	if (b->data)
		munmap(b->data, b->size);
	*b = (struct buffer){0};
}

/* Takes out the one after `before` (NULL: the oldest). */
static void take_after(struct buffers *p, struct spare_buffer *before, struct buffer *ret)
{
	struct spare_buffer *s = before ? before->newer : p->oldest;
	if (before)
		before->newer = s->newer;
	else
		p->oldest = s->newer;
	if (p->newest == s)
		p->newest = before;
	p->count--;
	p->bytes -= s->size;
	*ret = (struct buffer){s, s->size};
}

bool buffers_take(struct buffers *p, size_t need, struct buffer *ret)
{
	size_t most = 2 * buffer_size_for(need), best_size = 0;
	struct spare_buffer *before = NULL, *best_before = NULL;
	for (struct spare_buffer *s = p->oldest; s; before = s, s = s->newer) {
		if (s->size < need || s->size > most ||
			(best_size && s->size >= best_size))
			continue;
		best_before = before;
		best_size = s->size;
	}
	if (best_size)
		take_after(p, best_before, ret);
	return best_size != 0;
}

void buffers_give(struct buffers *p, struct buffer b)
{
	if (!b.data)
		return;
	struct spare_buffer *s = b.data;
	*s = (struct spare_buffer){.size = b.size};
	if (p->newest)
		p->newest->newer = s;
	else
		p->oldest = s;
	p->newest = s;
	p->count++;
	p->bytes += b.size;
}

bool buffers_drop(struct buffers *p, struct buffer *ret)
{
	if (!p->oldest)
		return false;
	take_after(p, NULL, ret);
	return true;
}
