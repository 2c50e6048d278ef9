#include "fetch/tail_source.h"

#include <errno.h>
#include <string.h>

#include "fetch/base/bytes.h"

struct tail_source {
	struct range_source base;
	struct range_source *inner; /* borrowed; NULL: none */
	uint64_t begin;
	size_t len;
	unsigned char bytes[];
};

static int tail_read(struct range_source *s, const struct call *call, uint64_t offset,
	size_t len, void *buf, struct error *e)
{
	const struct tail_source *t = (const struct tail_source *)s;
	if (offset >= t->begin && range_within(offset - t->begin, len, t->len)) {
		memcpy(buf, t->bytes + (offset - t->begin), len);
		return 0;
	}
	if (!t->inner)
		return error_set(e, -ENODATA, "bytes %llu + %zu are not at hand",
			(unsigned long long)offset, len);
	return range_source_read(t->inner, call, offset, len, buf, e);
}

static void tail_free(struct range_source *s)
{
	free(s);
}

static const struct range_source_ops tail_ops = {
	.read = tail_read,
	.free = tail_free,
};

int tail_source_new(struct range_source *inner, uint64_t size, uint64_t begin,
	const void *bytes, size_t len, struct range_source **ret)
{
	if (!range_within(begin, len, size))
		return -EINVAL;
	struct tail_source *t = malloc(sizeof(*t) + len);
	if (!t)
		return -ENOMEM;
	*t = (struct tail_source){
		.base = {.ops = &tail_ops, .size = size},
		.inner = inner,
		.begin = begin,
		.len = len,
	};
	memcpy(t->bytes, bytes, len);
	*ret = &t->base;
	return 0;
}
