#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fetch/base/call.h"
#include "fetch/base/cleanup.h"
#include "fetch/base/io.h"
#include "fetch/base/mounts.h"
#include "fetch/json.h"
#include "tools/command.h"
#include "tools/session.h"

#define STATUS_MAX (64u << 10)          /* bytes: the kernel's limit for an xattr */
#define GONE_NS    (10 * NS_PER_SECOND) /* the daemon's time to end after the unmount */

extern char **environ;

/* The number may be of another pid namespace, and then be anybody's here. */
static bool is_larderfs(pid_t pid)
{
	char path[64];
	CLEANUP(cleanup_free) char *name = NULL;
	size_t len;
	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	return read_small_file(path, sizeof(path), &name, &len) == 0 &&
	       !strcmp(name, "larderfs\n");
}

/* A descriptor for the daemon behind the mount, or -1 when it is dead or will not say.
 * The kernel answers stat(2) of a dead daemon's mount from its cache, but not this. */
static int open_daemon(const char *path, bool *ret_dead)
{
	CLEANUP(cleanup_free) char *text = malloc(STATUS_MAX);
	ssize_t len = text ? getxattr(path, "user.larder.status", text, STATUS_MAX) : 0;
	*ret_dead = len < 0 && errno == ENOTCONN;
	int64_t pid;
	if (len <= 0 || json_get_integer(text, (size_t)len, "pid", &pid) < 0 ||
		pid <= 0 || pid > INT_MAX)
		return -1;
	int fd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
	if (fd >= 0 && !is_larderfs((pid_t)pid)) /* fd holds the number: look now */
		cleanup_close(&fd);
	return fd;
}

static int wait_for_end(int daemon, const char *path, struct error *e)
{
	if (daemon < 0)
		return 0;
	struct pollfd poll_fd = {.fd = daemon, .events = POLLIN};
	uint64_t deadline = clock_monotonic_ns() + GONE_NS;
	for (;;) {
		uint64_t now = clock_monotonic_ns();
		if (now >= deadline)
			break;
		int n = poll(&poll_fd, 1, (int)((deadline - now) / NS_PER_MS) + 1);
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return error_set_errno(e, -errno, "cannot wait for the daemon");
	}
	return error_set(
		e, -ETIMEDOUT, "'%s' is unmounted, but its daemon has not ended", path);
}

/* Runs fusermount3, which may unmount for those who are not root. */
static int run_fusermount(const char *path, bool lazy, struct error *e)
{
	const char *words[] = {
		"fusermount3", "-q", lazy ? "-uz" : "-u", "--", path, NULL};
	pid_t pid;
	int r = posix_spawnp(&pid, words[0], NULL, NULL, (char *const *)words, environ);
	if (r)
		return error_set_errno(e, -r, "cannot run 'fusermount3'");
	int status;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return error_set_errno(
				e, -errno, "cannot wait for 'fusermount3'");
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EBUSY;
}

static int unmount(const char *path, bool lazy, struct error *e)
{
	int r = 0;
	if (geteuid() == 0)
		r = umount2(path, lazy ? MNT_DETACH | UMOUNT_NOFOLLOW : UMOUNT_NOFOLLOW) <
				    0
			    ? -errno
			    : 0;
	else
		r = run_fusermount(path, lazy, e);
	if (r == -EBUSY) {
		error_set(e, -EIO,
			"'%s' is in use; end what uses it (fuser -vm %s), or give --lazy",
			path, path);
		return -EIO;
	}
	return r < 0 ? error_set_errno(e, r, "cannot unmount '%s'", path) : 0;
}

int cmd_umount(const struct options *o, struct error *e)
{
	char path[PATH_MAX];
	struct mount_facts facts;
	int r = mountpoint_resolve(o->arguments.data[0], path, e);
	if (r < 0)
		return r == -ENOENT || r == -ENOTDIR ? -EINVAL : r;
	r = mount_facts_of(path, &facts, e);
	if (r < 0)
		return r;
	if (!facts.mounted || strcmp(facts.type, "fuse.larderfs"))
		return error_set(e, -EINVAL, "'%s' is not a mount of larderfs", path);
	if (o->lazy) /* without asking the daemon: it may be stuck */
		return unmount(path, true, e);
	bool dead;
	CLEANUP(cleanup_close) int daemon = open_daemon(path, &dead);
	r = unmount(path, dead, e);
	return r < 0 ? r : wait_for_end(daemon, path, e);
}
