#include "fetch/base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fetch/base/buf.h"
#include "fetch/base/cleanup.h"

int pread_exactly(int fd, void *buf, size_t len, uint64_t offset)
{
	char *p = buf;
	while (len) {
		ssize_t n = pread(fd, p, len, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -ENODATA;
		p += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

int write_fully(int fd, const void *buf, size_t len)
{
	const char *p = buf;
	while (len) {
		ssize_t n = write(fd, p, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int pwrite_fully(int fd, const void *buf, size_t len, uint64_t offset)
{
	const char *p = buf;
	while (len) {
		ssize_t n = pwrite(fd, p, len, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

int read_small_file(const char *path, size_t max, char **ret_data, size_t *ret_len)
{
	CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	CLEANUP(buf_finish) struct buf b = BUF_INIT(max);
	for (;;) {
		char chunk[4096];
		ssize_t n = read(fd, chunk, sizeof(chunk));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		int r = buf_append(&b, chunk, (size_t)n);
		if (r < 0)
			return r == -EMSGSIZE ? -EFBIG : r;
		if (n == 0)
			break;
	}
	*ret_len = b.len;
	*ret_data = buf_steal(&b);
	return 0;
}

static int make_directory(const char *path, mode_t mode)
{
	struct stat st;
	if (mkdir(path, mode) == 0)
		return 0;
	int r = -errno; /* on a read-only file system not EEXIST, though it is there */
	if (stat(path, &st) == 0)
		return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
	if (r != -EEXIST)
		return r;
	return errno == ENOENT ? -ENOTDIR : -errno; /* a link to nothing */
}

int make_directories(const char *path, mode_t mode)
{
	CLEANUP(cleanup_free) char *copy = strdup(path);
	if (!copy)
		return -ENOMEM;
	int r = 0;
	for (char *p = copy + 1; r == 0 && *copy && (p = strchr(p, '/')); p++) {
		*p = '\0';
		r = make_directory(copy, mode);
		*p = '/';
	}
	return r < 0 ? r : make_directory(copy, mode);
}
