#include "archive/dir_cache.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "fetch/base/vec.h"

DEFINE_VEC(entry_vec, uint32_t);

struct slot {
	uint32_t dir; /* 0: free, as the root needs none */
	int fd;       /* owned */
	uint64_t used;
};

struct dir_cache {
	int rootfd;              /* borrowed */
	const struct tree *tree; /* borrowed */
	uint64_t clock;          /* counts uses */
	struct entry_vec way;    /* scratch: directories to open, deepest first */
	size_t size;             /* slots in use */
	struct slot slots[DIR_CACHE_SIZE];
};

struct dir_cache *dir_cache_new(int rootfd, const struct tree *tree, size_t size)
{
	assert(size >= DIR_CACHE_LEAST && size <= DIR_CACHE_SIZE);
	struct dir_cache *c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->rootfd = rootfd;
	c->tree = tree;
	c->size = size;
	return c;
}

void dir_cache_free(struct dir_cache *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->size; i++)
		if (c->slots[i].dir)
			close(c->slots[i].fd);
	entry_vec_finish(&c->way);
	free(c);
}

/* The directory's descriptor, or -1. */
static int find(struct dir_cache *c, uint32_t dir)
{
	if (!dir)
		return c->rootfd;
	for (size_t i = 0; i < c->size; i++) {
		if (c->slots[i].dir != dir)
			continue;
		c->slots[i].used = ++c->clock;
		return c->slots[i].fd;
	}
	return -1;
}

static struct slot *free_slot(struct dir_cache *c)
{
	struct slot *oldest = &c->slots[0];
	for (size_t i = 1; i < c->size; i++)
		if (c->slots[i].used < oldest->used)
			oldest = &c->slots[i];
	if (oldest->dir)
		close(oldest->fd);
	*oldest = (struct slot){0};
	return oldest;
}

/* The parent was used last, so that it keeps its slot. */
static int open_below(struct dir_cache *c, int parent, uint32_t dir, int *ret_fd)
{
	struct slot *s = free_slot(c);
	int fd = openat(parent, tree_entry(c->tree, dir)->name,
		O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	*s = (struct slot){.dir = dir, .fd = fd, .used = ++c->clock};
	*ret_fd = fd;
	return 0;
}

int dir_cache_open(struct dir_cache *c, uint32_t dir, int *ret_fd)
{
	int fd;
	c->way.len = 0;
	while ((fd = find(c, dir)) < 0) {
		int r = entry_vec_push(&c->way, dir);
		if (r < 0)
			return r;
		dir = tree_entry(c->tree, dir)->parent;
	}
	while (c->way.len) {
		int r = open_below(c, fd, c->way.data[--c->way.len], &fd);
		if (r < 0)
			return r;
	}
	*ret_fd = fd;
	return 0;
}
