/*
 * A directory for one test, removed with all it holds.
 *
 *     CLEANUP(scratch_finish) struct scratch dir = scratch_new();
 *     scratch_write(&dir, "a/b", "content");
 *
 * A failed assertion jumps over the cleanup: the directory then stays, as evidence.
 */
#ifndef LARDER_TESTS_UNIT_SCRATCH_H
#define LARDER_TESTS_UNIT_SCRATCH_H

#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fetch/base/io.h"
#include "tests/unit/test.h"

struct scratch {
	char path[PATH_MAX / 2];
};

static inline struct scratch scratch_new(void)
{
	struct scratch s;
	const char *base = getenv("TMPDIR");
	snprintf(s.path, sizeof(s.path), "%s/larder-test-XXXXXX", base ? base : "/tmp");
	assert_non_null(mkdtemp(s.path));
	return s;
}

static inline int scratch_remove_one(
	const char *path, const struct stat *st, int type, struct FTW *at)
{
	if (type == FTW_DP)
		chmod(path, 0700);
	remove(path);
	return 0;
}

static inline void scratch_finish(struct scratch *s)
{
	nftw(s->path, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* "path/name", in one of eight static buffers. */
static inline const char *scratch_path(const struct scratch *s, const char *name)
{
	static char buffers[8][PATH_MAX];
	static unsigned next;
	char *path = buffers[next++ % 8];
	snprintf(path, PATH_MAX, "%s%s%s", s->path, *name ? "/" : "", name);
	return path;
}

static inline void scratch_mkdir(const struct scratch *s, const char *name)
{
	assert_int_equal(make_directories(scratch_path(s, name), 0755), 0);
}

/* Makes directories as needed; the content replaces what was there, in place. */
static inline void scratch_write(
	const struct scratch *s, const char *name, const char *content)
{
	char path[PATH_MAX];
	snprintf(path, sizeof(path), "%s", scratch_path(s, name));
	char *slash = strrchr(path, '/');
	*slash = '\0';
	assert_int_equal(make_directories(path, 0755), 0);
	*slash = '/';
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write_fully(fd, content, strlen(content)), 0);
	close(fd);
}

static unsigned scratch_counted_;

static inline int scratch_count_one(
	const char *path, const struct stat *st, int type, struct FTW *at)
{
	scratch_counted_ += type != FTW_D;
	return 0;
}

/* How many files (links and the like included) there are below name. */
static inline unsigned scratch_count(const struct scratch *s, const char *name)
{
	scratch_counted_ = 0;
	nftw(scratch_path(s, name), scratch_count_one, 16, FTW_PHYS);
	return scratch_counted_;
}

#endif
