#include "fetch/base/path_within.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "fetch/base/cleanup.h"

#define OPEN_FLAGS (O_PATH | O_DIRECTORY | O_CLOEXEC)

/* Cuts the last component off. False when nothing was left to cut. */
static bool cut(char *path)
{
	char *slash = strrchr(path, '/');
	char *end = !slash ? path : slash == path ? path + 1 : slash;
	bool shorter = *end;
	*end = '\0';
	return shorter;
}

/* The last directory on the way that is there, or -1. */
static int open_nearest(const char *path)
{
	char nearest[PATH_MAX];
	if (strlen(path) >= sizeof(nearest))
		return -1;
	strcpy(nearest, path);
	int fd;
	do
		fd = open(*nearest ? nearest : ".", OPEN_FLAGS);
	while (fd < 0 && cut(nearest));
	return fd;
}

static bool is_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

bool path_within(const char *path, const char *directory)
{
	struct stat top, here, below = {0};
	CLEANUP(cleanup_close) int fd = open_nearest(path);
	if (stat(directory, &top) < 0)
		return false;
	while (fd >= 0 && fstat(fd, &here) == 0) {
		if (is_same(&here, &top))
			return true;
		if (is_same(&here, &below)) /* ".." of the root */
			return false;
		below = here;
		int above = openat(fd, "..", OPEN_FLAGS);
		cleanup_close(&fd);
		fd = above;
	}
	return false;
}
