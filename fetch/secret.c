#include "fetch/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

/* In front of what the caller gets; keeps it aligned as malloc(3) would. */
union header {
	size_t mapped; /* bytes, this header included */
	max_align_t align;
};

void *secret_new(size_t size)
{
	size_t mapped;
	if (__builtin_add_overflow(size, sizeof(union header), &mapped))
		return NULL;
	union header *h = mmap(
		NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (h == MAP_FAILED)
		return NULL;
	/* A kernel without it still has RLIMIT_CORE: see fetch/base/process.h. */
	madvise(h, mapped, MADV_DONTDUMP);
	h->mapped = mapped;
	return h + 1;
}

void secret_free(void *p)
{
	if (!p)
		return;
	union header *h = (union header *)p - 1;
	size_t mapped = h->mapped;
	explicit_bzero(h, mapped);
	munmap(h, mapped);
}

/* The whole of a file that may be a pipe, whose size fstat(2) does not know. */
static int read_all(int fd, char *data, size_t max, size_t *ret_len)
{
	size_t len = 0;
	for (;;) {
		ssize_t n = read(fd, data + len, max + 1 - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
		if (len > max)
			return -EFBIG;
	}
	data[len] = '\0';
	*ret_len = len;
	return 0;
}

int secret_read_file(const char *path, size_t max, char **ret, size_t *ret_len)
{
	CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	char *data = secret_new(max + 1);
	int r = data ? read_all(fd, data, max, ret_len) : -ENOMEM;
	if (r < 0) {
		secret_free(data);
		return r;
	}
	*ret = data;
	return 0;
}

void secret_buf_finish(struct buf *b)
{
	if (b && b->data)
		explicit_bzero(b->data, b->size);
	buf_finish(b);
}
