#include "archive/content.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fetch/base/io.h"

/* O_NONBLOCK: a FIFO may have taken the file's place. */
#define OPEN_FLAGS (O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)

static int as_change(int r)
{
	switch (r) {
	case -ENOENT:
	case -ENOTDIR:
	case -EISDIR:
	case -ELOOP:
	case -ENXIO:
	case -ESTALE:
		return -EBUSY;
	default:
		return r;
	}
}

int content_open(
	struct dir_cache *dirs, const struct tree *tree, uint32_t entry, int *ret_fd)
{
	const struct tree_entry *file = tree_entry(tree, entry);
	int dirfd;
	int r = dir_cache_open(dirs, file->parent, &dirfd);
	if (r < 0)
		return as_change(r);
	int fd = openat(dirfd, file->name, OPEN_FLAGS);
	if (fd < 0)
		return as_change(-errno);
	*ret_fd = fd;
	return 0;
}

static int read_data(int fd, uint64_t offset, size_t len, uint8_t *buf)
{
	int r = pread_exactly(fd, buf, len, offset);
	return r == -ENODATA ? -EBUSY : as_change(r);
}

/* The bytes from offset on that are a hole, at most len. A file system that cannot tell
 * has none. */
static size_t hole_length(int fd, uint64_t offset, size_t len)
{
	off_t data = lseek(fd, (off_t)offset, SEEK_DATA);
	if (data < 0)
		return errno == ENXIO ? len : 0;
	uint64_t hole = (uint64_t)data - offset;
	return hole < len ? (size_t)hole : len;
}

/* The bytes from offset on that are data, at most len. */
static size_t data_length(int fd, uint64_t offset, size_t len)
{
	off_t hole = lseek(fd, (off_t)offset, SEEK_HOLE);
	if (hole < 0 || (uint64_t)hole <= offset)
		return len;
	uint64_t data = (uint64_t)hole - offset;
	return data < len ? (size_t)data : len;
}

int content_read(int fd, uint64_t offset, size_t len, bool sparse, void *buf)
{
	uint8_t *p = buf;
	while (len) {
		size_t hole = sparse ? hole_length(fd, offset, len) : 0;
		memset(p, 0, hole);
		size_t data = sparse ? data_length(fd, offset + hole, len - hole) : len;
		int r = read_data(fd, offset + hole, data, p + hole);
		if (r < 0)
			return r;
		p += hole + data;
		offset += hole + data;
		len -= hole + data;
	}
	return 0;
}

int content_verify(int fd, const struct tree_entry *entry)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return -errno;
	bool same = st.st_ino == entry->inode && tree_stamp(&st) == entry->stamp;
	return same || tree_is_relinked(entry, &st) ? 0 : -EBUSY;
}
