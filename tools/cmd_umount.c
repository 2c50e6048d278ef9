#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fetch/base/call.h"
#include "fetch/base/cleanup.h"
#include "fetch/base/mounts.h"
#include "tools/command.h"
#include "tools/session.h"

#define GONE_NS (10 * NS_PER_SECOND) /* the daemon's time to end after the unmount */

extern char **environ;

/* A descriptor for the daemon behind the mount, or -1 when it is dead or will not say. */
static int open_daemon(const char *path)
{
	char text[32];
	ssize_t len = getxattr(path, "user.larder.pid", text, sizeof(text) - 1);
	if (len <= 0)
		return -1;
	text[len] = '\0';
	return (int)syscall(SYS_pidfd_open, (pid_t)atoi(text), 0);
}

static int wait_for_end(int daemon, const char *path, struct error *e)
{
	if (daemon < 0)
		return 0;
	struct pollfd poll_fd = { .fd = daemon, .events = POLLIN };
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
	return error_set(e, -ETIMEDOUT, "'%s' is unmounted, but its daemon has not ended",
		path);
}

/* Runs fusermount3, which may unmount for those who are not root. */
static int run_fusermount(const char *path, bool lazy, struct error *e)
{
	const char *words[] = { "fusermount3", "-q", lazy ? "-uz" : "-u", "--", path, NULL };
	pid_t pid;
	int r = posix_spawnp(&pid, words[0], NULL, NULL, (char *const *)words, environ);
	if (r)
		return error_set_errno(e, -r, "cannot run 'fusermount3'");
	int status;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return error_set_errno(e, -errno, "cannot wait for 'fusermount3'");
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EBUSY;
}

static int unmount(const char *path, bool lazy, struct error *e)
{
	int r = 0;
	if (geteuid() == 0)
		r = umount2(path, lazy ? MNT_DETACH | UMOUNT_NOFOLLOW : UMOUNT_NOFOLLOW) < 0 ?
			-errno :
			0;
	else
		r = run_fusermount(path, lazy, e);
	if (r == -EBUSY) {
		error_set(e, -EIO,
			"'%s' is in use; end what uses it (fuser -vm %s), or give --lazy", path,
			path);
		return -EIO;
	}
	return r < 0 ? error_set_errno(e, r, "cannot unmount '%s'", path) : 0;
}

static bool daemon_is_dead(const char *path)
{
	struct stat st;
	return stat(path, &st) < 0 && errno == ENOTCONN;
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
	bool dead = daemon_is_dead(path);
	CLEANUP(cleanup_close) int daemon = dead ? -1 : open_daemon(path);
	r = unmount(path, dead || o->lazy, e);
	return r < 0 || o->lazy ? r : wait_for_end(daemon, path, e);
}
