#include "fs/view.h"

#include <errno.h>
#include <sys/stat.h>

static size_t bytes_there(uint64_t size, uint64_t offset, size_t len)
{
	if (offset >= size)
		return 0;
	return len < size - offset ? len : (size_t)(size - offset);
}

static size_t sum_of(const struct span *spans, size_t count)
{
	size_t sum = 0;
	for (size_t i = 0; i < count; i++)
		sum += spans[i].len;
	return sum;
}

/* The index was checked: that would be a bug of ours. */
static int say_short(const struct view *v, uint32_t entry, struct error *e)
{
	char path[256];
	index_path(generation_index(v->from), entry, path, sizeof(path));
	return error_set(e, -EIO, "'%s' in '%s' is shorter than its index says", path,
		archive_name(generation_archive(v->from)));
}

/* Appends spans until all `len` bytes are there. -E2BIG: there are too many. */
static int gather(struct view *v, const struct call *call, uint32_t entry,
	uint64_t offset, struct error *e)
{
	struct reader *reader = generation_reader(v->from);
	size_t have = 0;
	while (have < v->len) {
		if (v->count == VIEW_SPANS)
			return -E2BIG;
		size_t got;
		int r = reader_spans(reader, call, entry, offset + have, v->len - have,
			v->spans + v->count, VIEW_SPANS - v->count, &got, e);
		if (r < 0)
			return r;
		if (!got)
			return say_short(v, entry, e);
		have += sum_of(v->spans + v->count, got);
		v->count += got;
	}
	return 0;
}

static int copy_together(struct view *v, const struct call *call, uint32_t entry,
	uint64_t offset, struct error *e)
{
	v->copied = malloc(v->len);
	if (!v->copied)
		return error_set_errno(e, -ENOMEM, "cannot read %zu bytes", v->len);
	size_t got = 0;
	int r = reader_read(generation_reader(v->from), call, entry, offset, v->len,
		v->copied, &got, e);
	if (r == 0 && got != v->len)
		return say_short(v, entry, e);
	return r;
}

static void release_spans(struct view *v)
{
	if (v->count)
		reader_release(generation_reader(v->from), v->spans, v->count);
	v->count = 0;
}

int view_of_entry(struct generation *g, const struct call *call, uint32_t entry,
	uint64_t offset, size_t len, struct view *ret, struct error *e)
{
	if (!S_ISREG(index_mode(generation_index(g), entry)))
		return error_set(e, -EISDIR, "only files have content");
	struct entry_info info;
	index_info(generation_index(g), entry, &info);
	struct view v = {.from = g, .len = bytes_there(info.size, offset, len)};
	generation_ref(g);
	int r = gather(&v, call, entry, offset, e);
	if (r == -E2BIG) {
		release_spans(&v);
		r = copy_together(&v, call, entry, offset, e);
	}
	if (r < 0)
		view_release(&v);
	else
		*ret = v;
	return r;
}

void view_release(struct view *v)
{
	release_spans(v);
	free(v->copied);
	v->copied = NULL;
	generation_unref(v->from);
	v->from = NULL;
}

int view_iov(const struct view *v, struct iovec *iov)
{
	if (v->copied) {
		iov[0] = (struct iovec){v->copied, v->len};
		return 1;
	}
	for (size_t i = 0; i < v->count; i++)
		iov[i] = (struct iovec){(void *)v->spans[i].data, v->spans[i].len};
	return (int)v->count;
}
