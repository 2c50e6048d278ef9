#include "archive/scan_window.h"

#include <errno.h>
#include <stdlib.h>

int scan_window_init(struct scan_window *w, struct range_source *source,
	const struct call *call, const void *tail, size_t tail_len)
{
	*w = (struct scan_window){
		.source = source,
		.call = call,
		.tail = tail,
		.tail_begin = source->size - tail_len,
		.next_len = SCAN_LEAST,
		.data = malloc(SCAN_MOST),
	};
	return w->data ? 0 : -ENOMEM;
}

void scan_window_finish(struct scan_window *w)
{
	free(w->data);
	w->data = NULL;
}

/* Moves the window to where the reader is. */
static int move(struct scan_window *w, struct error *e)
{
	if (w->position != w->end)
		w->next_len = SCAN_LEAST;
	uint64_t left = w->tail_begin - w->position;
	size_t len = left < w->next_len ? (size_t)left : w->next_len;
	int r = range_source_read(w->source, w->call, w->position, len, w->data, e);
	if (r < 0)
		return r;
	w->begin = w->position;
	w->end = w->position + len;
	w->fetched += len;
	w->next_len = w->next_len * 2 < SCAN_MOST ? w->next_len * 2 : SCAN_MOST;
	return 0;
}

int scan_window_next(
	struct scan_window *w, const void **ret, size_t *ret_len, struct error *e)
{
	if (w->position >= w->tail_begin) {
		*ret = w->tail + (w->position - w->tail_begin);
		*ret_len = (size_t)(w->source->size - w->position);
		w->position = w->source->size;
		return 0;
	}
	int r = w->position < w->begin || w->position >= w->end ? move(w, e) : 0;
	if (r < 0)
		return r;
	*ret = w->data + (w->position - w->begin);
	*ret_len = (size_t)(w->end - w->position);
	w->position = w->end;
	return 0;
}

uint64_t scan_window_skip(struct scan_window *w, uint64_t len)
{
	uint64_t left = w->source->size - w->position;
	if (len > left)
		len = left;
	uint64_t target = w->position + len;
	if (target < w->tail_begin && target < w->end + SCAN_NEAR)
		return 0;
	w->position = target;
	return len;
}
