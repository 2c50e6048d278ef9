#include "fetch/range_source.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "fetch/base/bytes.h"
#include "fetch/base/io.h"

int range_source_read(struct range_source *s, const struct call *call, uint64_t offset,
	size_t len, void *buf, struct error *e)
{
	if (!range_within(offset, len, s->size))
		return error_set(e, -EINVAL,
			"bytes %llu + %zu are outside an object of %llu bytes",
			(unsigned long long)offset, len, (unsigned long long)s->size);
	if (!len)
		return 0;
	return s->ops->read(s, call, offset, len, buf, e);
}

void range_source_condemn(struct range_source *s, struct error *e)
{
	if (s->ops->condemn)
		s->ops->condemn(s, e);
}

void range_source_free(struct range_source *s)
{
	if (s)
		s->ops->free(s);
}

struct memory_source {
	struct range_source base;
	const unsigned char *data; /* borrowed */
};

static int memory_read(struct range_source *s, const struct call *call, uint64_t offset,
	size_t len, void *buf, struct error *e)
{
	const struct memory_source *m = (const struct memory_source *)s;
	memcpy(buf, m->data + offset, len);
	return 0;
}

static void memory_free(struct range_source *s)
{
	free(s);
}

static const struct range_source_ops memory_ops = {
	.read = memory_read,
	.free = memory_free,
};

struct range_source *memory_source_new(const void *data, size_t size)
{
	struct memory_source *m = malloc(sizeof(*m));
	if (!m)
		return NULL;
	*m = (struct memory_source){
		.base = { .ops = &memory_ops, .size = size },
		.data = data,
	};
	return &m->base;
}

struct file_source {
	struct range_source base;
	int fd;           /* owned */
	struct stat then; /* what fstat() said when it was made */
};

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_size == b->st_size && a->st_ino == b->st_ino && a->st_dev == b->st_dev &&
		a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
		a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static int check_unchanged(const struct file_source *f, struct error *e)
{
	struct stat now;
	if (fstat(f->fd, &now) < 0)
		return error_set_errno(e, -errno, "cannot look at an open file");
	if (!same_file(&now, &f->then))
		return error_set(e, -ESTALE, "a file changed after it was opened");
	return 0;
}

/* The look comes after the read: a change before or during it is then seen. */
static int file_read(struct range_source *s, const struct call *call, uint64_t offset,
	size_t len, void *buf, struct error *e)
{
	const struct file_source *f = (const struct file_source *)s;
	int r = pread_exactly(f->fd, buf, len, offset);
	if (r < 0 && r != -ENODATA)
		return error_set_errno(e, r, "cannot read an open file");
	int changed = check_unchanged(f, e);
	if (changed < 0)
		return changed;
	return r < 0 ? error_set(e, -ESTALE, "a file became shorter after it was opened") : 0;
}

static void file_free(struct range_source *s)
{
	struct file_source *f = (struct file_source *)s;
	cleanup_close(&f->fd);
	free(f);
}

static const struct range_source_ops file_ops = {
	.read = file_read,
	.free = file_free,
};

int file_source_new(int fd, struct range_source **ret, struct error *e)
{
	CLEANUP(cleanup_close) int owned = fd;
	struct stat st;
	if (fstat(owned, &st) < 0)
		return error_set_errno(e, -errno, "cannot look at an open file");
	if (!S_ISREG(st.st_mode))
		return error_set(e, -EINVAL, "not a regular file");
	struct file_source *f = malloc(sizeof(*f));
	if (!f)
		return -ENOMEM;
	*f = (struct file_source){
		.base = { .ops = &file_ops, .size = (uint64_t)st.st_size },
		.fd = steal_fd(&owned),
		.then = st,
	};
	*ret = &f->base;
	return 0;
}
