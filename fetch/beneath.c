#include "fetch/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fetch/base/cleanup.h"

#define OPEN_RACES 64 /* tries when somebody renames below us: openat2() says EAGAIN */

static int open_by_kernel(int dirfd, const char *path, int flags)
{
	struct open_how how = {
		.flags = (unsigned)flags | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	for (int i = 0; i < OPEN_RACES; i++) {
		long fd = syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
		if (fd >= 0)
			return (int)fd;
		if (errno != EAGAIN && errno != EINTR)
			break;
	}
	return -errno;
}

/* Copies the component at *path and moves behind it and its slashes. */
static int next_component(const char **path, char ret[static NAME_MAX + 1])
{
	size_t len = (size_t)(strchrnul(*path, '/') - *path);
	if (len > NAME_MAX)
		return -ENAMETOOLONG;
	memcpy(ret, *path, len);
	ret[len] = '\0';
	*path += len;
	*path += strspn(*path, "/");
	return strcmp(ret, "..") && len ? 0 : -EXDEV;
}

static int open_component(int dirfd, const char *name, int flags)
{
	int fd = openat(dirfd, name, flags | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	struct stat st;
	bool is_link = fstat(fd, &st) == 0 && S_ISLNK(st.st_mode); /* with O_PATH */
	if (!is_link)
		return fd;
	close(fd);
	return -ELOOP;
}

int beneath_walk(int dirfd, const char *path, int flags)
{
	if (!*path)
		return open_component(dirfd, ".", flags);
	CLEANUP(cleanup_close) int at = -1;
	int below = dirfd;
	for (;;) {
		char name[NAME_MAX + 1];
		int r = next_component(&path, name);
		if (r < 0)
			return r;
		int fd =
			open_component(below, name, *path ? O_PATH | O_DIRECTORY : flags);
		if (fd < 0 || !*path)
			return fd;
		cleanup_close(&at);
		below = at = fd;
	}
}

/* A path with ".." that stays inside passes the kernel's test but not ours. */
static bool climbs(const char *path)
{
	for (const char *p = path; p; p = strchr(p, '/') ? strchr(p, '/') + 1 : NULL)
		if (!strncmp(p, "..", 2) && (p[2] == '/' || !p[2]))
			return true;
	return *path == '/';
}

int beneath_open(int dirfd, const char *path, int flags)
{
	if (climbs(path))
		return -EXDEV;
	int fd = open_by_kernel(dirfd, *path ? path : ".", flags);
	bool forbidden = fd == -ENOSYS || fd == -EPERM; /* old kernels, old sandboxes */
	return forbidden ? beneath_walk(dirfd, path, flags) : fd;
}

static int make_component(int dirfd, const char *name)
{
	if (mkdirat(dirfd, name, 0777) == 0)
		fsync(dirfd); /* best effort: the publication's own flush follows */
	else if (errno != EEXIST)
		return -errno;
	return open_component(dirfd, name, O_RDONLY | O_DIRECTORY);
}

int beneath_make_directory(int dirfd, const char *path)
{
	CLEANUP(cleanup_close)
	int at = open_component(dirfd, ".", O_RDONLY | O_DIRECTORY);
	while (at >= 0 && *path) {
		char name[NAME_MAX + 1];
		int r = next_component(&path, name);
		if (r < 0)
			return r;
		int fd = make_component(at, name);
		if (fd < 0)
			return fd;
		cleanup_close(&at);
		at = fd;
	}
	return at < 0 ? at : steal_fd(&at);
}
