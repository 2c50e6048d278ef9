#include "fetch/tail_source.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "fetch/base/bytes.h"
#include "fetch/base/lock.h"

struct tail_source {
	struct range_source base;
	struct range_source *inner; /* borrowed; NULL: none */
	uint64_t begin;
	size_t len;
	unsigned char *bytes; /* owned mapping, until forgotten and not read */

	pthread_mutex_t lock; /* guards the rest */
	unsigned readers;     /* who copy from it now */
	bool used;            /* or new, since somebody asked */
	bool forgotten;
};

static bool begin_copying(struct tail_source *t)
{
	LOCK_SCOPE(&t->lock);
	if (t->forgotten)
		return false;
	t->used = true;
	t->readers++;
	return true;
}

static void end_copying(struct tail_source *t)
{
	bool last;
	{
		LOCK_SCOPE(&t->lock);
		last = !--t->readers && t->forgotten;
	}
	if (last)
		munmap(t->bytes, t->len);
}

static int tail_read(struct range_source *s, const struct call *call, uint64_t offset,
	size_t len, void *buf, struct error *e)
{
	struct tail_source *t = (struct tail_source *)s;
	if (offset >= t->begin && range_within(offset - t->begin, len, t->len) &&
		begin_copying(t)) {
		memcpy(buf, t->bytes + (offset - t->begin), len);
		end_copying(t);
		return 0;
	}
	if (!t->inner)
		return error_set(e, -ENODATA, "bytes %llu + %zu are not at hand",
			(unsigned long long)offset, len);
	return range_source_read(t->inner, call, offset, len, buf, e);
}

static void tail_free(struct range_source *s)
{
	struct tail_source *t = (struct tail_source *)s;
	tail_source_forget(s);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

static const struct range_source_ops tail_ops = {
	.read = tail_read,
	.free = tail_free,
};

/* From malloc() it would not go back to the system, once another one of its size has. */
static unsigned char *map_copy(const void *bytes, size_t len)
{
	void *copy = mmap(
		NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return copy == MAP_FAILED ? NULL : memcpy(copy, bytes, len);
}

int tail_source_new(struct range_source *inner, uint64_t size, uint64_t begin,
	const void *bytes, size_t len, struct range_source **ret)
{
	if (!len || !range_within(begin, len, size))
		return -EINVAL;
	struct tail_source *t = malloc(sizeof(*t));
	if (!t)
		return -ENOMEM;
	*t = (struct tail_source){
		.base = {.ops = &tail_ops, .size = size},
		.inner = inner,
		.begin = begin,
		.len = len,
		.bytes = map_copy(bytes, len),
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.used = true,
	};
	if (!t->bytes) {
		free(t);
		return -ENOMEM;
	}
	*ret = &t->base;
	return 0;
}

bool tail_source_used(struct range_source *s)
{
	struct tail_source *t = (struct tail_source *)s;
	LOCK_SCOPE(&t->lock);
	bool used = t->used;
	t->used = false;
	return used;
}

size_t tail_source_held(struct range_source *s)
{
	struct tail_source *t = (struct tail_source *)s;
	LOCK_SCOPE(&t->lock);
	return t->forgotten ? 0 : t->len;
}

size_t tail_source_forget(struct range_source *s)
{
	struct tail_source *t = (struct tail_source *)s;
	bool idle;
	{
		LOCK_SCOPE(&t->lock);
		if (t->forgotten)
			return 0;
		t->forgotten = true;
		idle = !t->readers;
	}
	if (idle)
		munmap(t->bytes, t->len);
	return t->len;
}
