#include "archive/unpack_dirs.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "fetch/base/vec.h"

void unpack_dirs_init(
	struct unpack_dirs *d, int rootfd, const struct index *ix, bool make)
{
	*d = (struct unpack_dirs){.rootfd = rootfd, .ix = ix, .make = make};
}

void unpack_dirs_finish(struct unpack_dirs *d)
{
	for (size_t i = 0; i < UNPACK_DIRS; i++)
		if (d->open[i].dir)
			close(d->open[i].fd);
	free(d->way);
}

void unpack_name(const struct index *ix, uint32_t entry, char ret[NAME_LIMIT + 1])
{
	size_t len;
	const char *name = index_name(ix, entry, &len);
	memcpy(ret, name, len);
	ret[len] = '\0';
}

/* The directory's descriptor, or -1. */
static int find(struct unpack_dirs *d, uint32_t dir)
{
	if (!dir)
		return d->rootfd;
	for (size_t i = 0; i < UNPACK_DIRS; i++) {
		if (d->open[i].dir != dir)
			continue;
		d->open[i].used = ++d->clock;
		return d->open[i].fd;
	}
	return -1;
}

/* The parent was used last, so it is not the one that is closed. */
static struct unpack_dir *free_place(struct unpack_dirs *d)
{
	struct unpack_dir *oldest = &d->open[0];
	for (size_t i = 1; i < UNPACK_DIRS; i++)
		if (d->open[i].used < oldest->used)
			oldest = &d->open[i];
	if (oldest->dir)
		close(oldest->fd);
	*oldest = (struct unpack_dir){0};
	return oldest;
}

/* Another thread may make the same directory at the same time. */
static int make_and_open(struct unpack_dirs *d, int parent, const char *name)
{
	static const int flags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(parent, name, flags);
	if (fd >= 0 || errno != ENOENT || !d->make)
		return fd;
	if (mkdirat(parent, name, 0700) < 0 && errno != EEXIST)
		return -1;
	return openat(parent, name, flags);
}

static int open_below(struct unpack_dirs *d, int parent, uint32_t dir, int *ret_fd)
{
	char name[NAME_LIMIT + 1];
	unpack_name(d->ix, dir, name);
	struct unpack_dir *place = free_place(d);
	int fd = make_and_open(d, parent, name);
	if (fd < 0)
		return -errno;
	*place = (struct unpack_dir){.dir = dir, .fd = fd, .used = ++d->clock};
	*ret_fd = fd;
	return 0;
}

int unpack_dirs_open(struct unpack_dirs *d, uint32_t dir, int *ret_fd)
{
	int fd;
	size_t depth = 0;
	while ((fd = find(d, dir)) < 0) {
		int r = vec_grow(
			(void **)&d->way, &d->way_size, depth + 1, 0, sizeof(d->way[0]));
		if (r < 0)
			return r;
		d->way[depth++] = dir;
		dir = index_parent(d->ix, dir);
	}
	while (depth) {
		int r = open_below(d, fd, d->way[--depth], &fd);
		if (r < 0)
			return r;
	}
	*ret_fd = fd;
	return 0;
}
