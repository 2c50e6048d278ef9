#include "tools/daemon_path.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Keeps directory/rest in ret when that can be executed. */
static int try_path(struct buf *ret, const char *directory, size_t len, const char *rest)
{
	buf_clear(ret);
	int r = buf_append(ret, directory, len);
	if (r == 0)
		r = buf_append_str(ret, rest);
	if (r == 0 && access(buf_str(ret), X_OK) < 0)
		r = -ENOENT;
	return r;
}

static int try_search_path(struct buf *ret)
{
	const char *p = getenv("PATH");
	int r = -ENOENT;
	while (p && *p && r < 0) {
		size_t len = strcspn(p, ":");
		if (*p == '/')
			r = try_path(ret, p, len, "/larderfs");
		p += len + (p[len] == ':');
	}
	return r;
}

int daemon_path(struct buf *ret, struct error *e)
{
	char self[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	int r = -ENOENT;
	if (len > 0) {
		self[len] = '\0';
		size_t directory = (size_t)(strrchr(self, '/') - self);
		r = try_path(ret, self, directory, "/larderfs");
		if (r < 0) /* a build tree: tools/larder beside fs/larderfs */
			r = try_path(ret, self, directory, "/../fs/larderfs");
	}
	if (r < 0)
		r = try_search_path(ret);
	if (r < 0)
		return error_set(e, -EIO,
			"larderfs is neither beside larder nor in PATH; is it installed?");
	return 0;
}
