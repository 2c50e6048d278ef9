#include "fetch/chunk_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "fetch/base/cache_folder.h"
#include "fetch/base/call.h"
#include "fetch/base/cleanup.h"
#include "fetch/chunk_evict.h"

static int open_directory(int dir, const char *name)
{
	if (mkdirat(dir, name, 0700) < 0 && errno != EEXIST && errno != EROFS)
		return -errno;
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int chunk_folder_open(const char *dir, struct chunk_folder *ret, struct error *e)
{
	int r = cache_folder_open(dir, &ret->dir, e);
	if (r < 0)
		return r;
	int fd = open_directory(ret->dir, "chunks");
	if (fd < 0)
		return error_set_errno(
			e, fd, "cannot make 'chunks' in cache folder '%s'", dir);
	ret->chunks = fd;
	return 0;
}

static int open_file(const struct chunk_folder *f, const char *name, int *ret_fd)
{
	const int flags = O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC;
	*ret_fd = openat(f->dir, name, flags, 0600);
	return *ret_fd < 0 ? -errno : 0;
}

int chunk_folder_open_for_writing(struct chunk_folder *f)
{
	CLEANUP(cleanup_close) int tmp = open_directory(f->dir, CHUNK_FOLDER_TEMP);
	if (tmp < 0)
		return tmp;
	int r = open_file(f, "claims", &f->claims);
	if (r == 0)
		r = open_file(f, "lock", &f->evict);
	if (r == 0)
		r = open_file(f, "size", &f->size);
	if (r < 0)
		return r;
	cache_folder_tag(f->dir);
	chunk_evict_temporary(tmp, clock_realtime_s());
	return 0;
}

int chunk_folder_stand_in(struct chunk_folder *f)
{
	int *const places[] = {&f->evict, &f->claims, &f->size};
	for (size_t i = 0; i < 3; i++) {
		if (*places[i] < 0)
			*places[i] = fcntl(f->dir, F_DUPFD_CLOEXEC, 0);
		if (*places[i] < 0)
			return -errno;
	}
	return 0;
}

int chunk_folder_replace(struct chunk_folder *f, const struct chunk_folder *fresh)
{
	const int moves[][2] = {
		{fresh->dir, f->dir},
		{fresh->chunks, f->chunks},
		{fresh->evict, f->evict},
		{fresh->claims, f->claims},
	};
	for (size_t i = 0; i < sizeof(moves) / sizeof(*moves); i++)
		if (dup3(moves[i][0], moves[i][1], O_CLOEXEC) < 0)
			return -errno;
	return 0;
}

void chunk_folder_finish(struct chunk_folder *f)
{
	cleanup_close(&f->dir);
	cleanup_close(&f->chunks);
	cleanup_close(&f->evict);
	cleanup_close(&f->claims);
	cleanup_close(&f->size);
}
