#include "tools/unmount.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fetch/base/call.h"
#include "fetch/base/cleanup.h"
#include "fetch/base/exit_code.h"
#include "fetch/base/io.h"
#include "fetch/base/mount_ask.h"
#include "fetch/base/mounts.h"
#include "fetch/json.h"
#include "tools/mount_holder.h"
#include "tools/process_name.h"
#include "tools/session.h"

#define GONE_NS (10 * NS_PER_SECOND) /* the daemon's time to end after the unmount */

extern char **environ;

/* The daemon behind a mount, as far as it tells of itself. */
struct daemon {
	int fd; /* owned: of pidfd_open(2); -1: unknown */
	bool dead;
	bool mute; /* it did not answer in time */
	struct mount_facts mount;
};

static void daemon_finish(struct daemon *d)
{
	cleanup_close(&d->fd);
}

static int open_daemon(const char *status, size_t len)
{
	int64_t pid;
	char name[PROCESS_NAME_SIZE];
	if (json_get_integer(status, len, "pid", &pid) < 0 || pid <= 0 || pid > INT_MAX)
		return -1;
	int fd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
	/* fd holds the number: look now, whose it is */
	if (!process_name((pid_t)pid, name) || strcmp(name, "larderfs") != 0)
		cleanup_close(&fd);
	return fd;
}

/* The kernel answers stat(2) of a dead daemon's mount from its cache, but not this. 0 or
 * -ECANCELED. */
static int find_daemon(const char *path, struct daemon *ret, struct error *e)
{
	CLEANUP(cleanup_free) char *status = NULL;
	size_t len;
	int r = mount_ask(path, MOUNT_STATUS, session_signal_fd(), &status, &len);
	if (r == -ECANCELED)
		return error_set(e, r, "interrupted; '%s' stays mounted", path);
	*ret = (struct daemon){
		.fd = r < 0 ? -1 : open_daemon(status, len),
		.dead = r == -ENOTCONN,
		.mute = r == -ETIMEDOUT,
	};
	mount_facts_of(path, &ret->mount, NULL); /* where it fails, nothing is mounted */
	return 0;
}

static int tell_who_holds(const struct daemon *d, const char *path, struct error *e)
{
	struct mount_holder holder;
	if (!d->mount.mounted || mount_holder_find(d->mount.device, &holder) < 0)
		return error_set(e, -ETIMEDOUT,
			"'%s' is unmounted, but its daemon has not ended", path);
	return error_set(e, -ETIMEDOUT,
		"'%s' is unmounted, but its daemon has not ended: process %d (%s) has a "
		"copy of the mount",
		path, (int)holder.pid, holder.name);
}

static int wait_for_end(const struct daemon *d, const char *path, struct error *e)
{
	if (d->mute)
		return error_set(e, -ETIMEDOUT,
			"'%s' is unmounted, but its daemon did not answer, and may not "
			"have ended",
			path);
	if (d->fd < 0)
		return 0;
	struct pollfd fds[] = {{.fd = d->fd, .events = POLLIN},
		{.fd = session_signal_fd(), .events = POLLIN}};
	uint64_t deadline = clock_monotonic_ns() + GONE_NS;
	for (;;) {
		uint64_t now = clock_monotonic_ns();
		if (now >= deadline)
			break;
		int n = poll(fds, 2, (int)((deadline - now) / NS_PER_MS) + 1);
		if (n < 0 && errno != EINTR)
			return error_set_errno(e, -errno, "cannot wait for the daemon");
		if (n > 0 && fds[0].revents)
			return 0;
		if (n > 0)
			return error_set(e, -ECANCELED,
				"interrupted: '%s' is unmounted, but its daemon has not "
				"ended yet",
				path);
	}
	return tell_who_holds(d, path, e);
}

/* Our signals are blocked; a child's are not. */
static int spawn(
	const char *const words[], const char *directory, const char *output, pid_t *ret)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none;
	sigemptyset(&none);
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
	int r = directory ? posix_spawn_file_actions_addchdir_np(&actions, directory) : 0;
	if (r == 0 && output)
		r = posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, output,
			O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (r == 0)
		r = posix_spawnp(ret, words[0], &actions, &attributes,
			(char *const *)words, environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return -r;
}

/* Returns when the child has ended, or was sent our signal. */
static void pass_on(pid_t child)
{
	CLEANUP(cleanup_close) int end = (int)syscall(SYS_pidfd_open, child, 0);
	struct pollfd fds[] = {{.fd = end, .events = POLLIN},
		{.fd = session_signal_fd(), .events = POLLIN}};
	int n;
	do
		n = end < 0 ? 0 : poll(fds, 2, -1);
	while (n < 0 && errno == EINTR);
	if (n > 0 && fds[1].revents)
		kill(child, session_signal());
}

int run_program(const char *const words[], const char *directory, const char *output,
	bool pass_signal)
{
	pid_t pid;
	int status, r = spawn(words, directory, output, &pid);
	if (r < 0)
		return r;
	if (pass_signal)
		pass_on(pid);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFSIGNALED(status) ? EXIT_SIGNAL + WTERMSIG(status) : WEXITSTATUS(status);
}

static int refuse_in_use(const char *path, struct error *e)
{
	return error_set(e, -EIO,
		"'%s' is in use; end what uses it (fuser -vm %s), or give --lazy", path,
		path);
}

/* fusermount3 says only that it failed. */
static int tell_why_not(const char *path, struct error *e)
{
	struct mount_facts facts;
	if (mount_facts_of(path, &facts, NULL) < 0 || facts.user < 0 ||
		facts.user == (int64_t)getuid())
		return refuse_in_use(path, e);
	if (facts.user == 0)
		return error_set(e, -EPERM,
			"'%s' was mounted by root, who alone can unmount it", path);
	return error_set(e, -EPERM,
		"'%s' was mounted by user %lld, who alone can unmount it, or root", path,
		(long long)facts.user);
}

/* fusermount3 may unmount for those who are not root. */
static int run_fusermount(const char *path, bool lazy, struct error *e)
{
	const char *const words[] = {
		"fusermount3", "-q", lazy ? "-uz" : "-u", "--", path, NULL};
	int r = run_program(words, NULL, NULL, false);
	if (r < 0)
		return error_set_errno(e, r, "cannot run 'fusermount3'");
	return r > 0 ? tell_why_not(path, e) : 0;
}

int unmount(const char *path, bool lazy, struct error *e)
{
	if (geteuid() != 0)
		return run_fusermount(path, lazy, e);
	if (umount2(path, lazy ? MNT_DETACH | UMOUNT_NOFOLLOW : UMOUNT_NOFOLLOW) == 0)
		return 0;
	return errno == EBUSY ? refuse_in_use(path, e)
			      : error_set_errno(e, -errno, "cannot unmount '%s'", path);
}

/* in_use: even while it is. */
static int unmount_and_wait(const char *path, bool in_use, struct error *e)
{
	CLEANUP(daemon_finish) struct daemon d = {.fd = -1};
	int r = find_daemon(path, &d, e);
	if (r == 0)
		r = unmount(path, in_use || d.dead, e);
	return r < 0 ? r : wait_for_end(&d, path, e);
}

int unmount_larderfs(const char *path, bool lazy, struct error *e)
{
	if (lazy)
		return unmount(path, true, e);
	return unmount_and_wait(path, false, e);
}

int unmount_lower(const char *path, struct error *e)
{
	return unmount_and_wait(path, true, e);
}
