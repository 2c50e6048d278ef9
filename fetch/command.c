#include "fetch/command.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#include "fetch/base/cleanup.h"
#include "fetch/base/process.h"
#include "fetch/secret.h"

#define SLICE_MS 50 /* a call's end is no descriptor that poll(2) could wait for */

extern char **environ;

/* Waits until fd is readable (a pidfd: until the process has ended). */
static int wait_readable(const struct call *call, int fd)
{
	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		int r = call_check(call);
		if (r < 0)
			return r;
		int n = poll(&p, 1, SLICE_MS);
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
	}
}

static int read_output(
	const struct call *call, int fd, char *text, size_t max, size_t *ret_len)
{
	size_t len = 0;
	for (;;) {
		int r = wait_readable(call, fd);
		if (r < 0)
			return r;
		ssize_t n = read(fd, text + len, max + 1 - len);
		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return -errno;
		if (n == 0)
			break;
		len += n > 0 ? (size_t)n : 0;
		if (len > max)
			return -EMSGSIZE;
	}
	text[len] = '\0';
	*ret_len = len;
	return 0;
}

/* What the shell gets: its own group, no signal blocked or ignored, nothing open. */
static int set_up(posix_spawn_file_actions_t *files, posix_spawnattr_t *attributes,
	const char *directory, int output)
{
	sigset_t none, all;
	sigemptyset(&none);
	sigfillset(&all);
	int r = posix_spawn_file_actions_addopen(files, 0, "/dev/null", O_RDONLY, 0);
	if (!r)
		r = posix_spawn_file_actions_adddup2(files, output, 1);
	if (!r)
		r = posix_spawn_file_actions_addopen(files, 2, "/dev/null", O_WRONLY, 0);
	if (!r)
		r = posix_spawn_file_actions_addclosefrom_np(files, 3);
	if (!r && directory)
		r = posix_spawn_file_actions_addchdir_np(files, directory);
	if (!r)
		r = posix_spawnattr_setsigmask(attributes, &none);
	if (!r)
		r = posix_spawnattr_setsigdefault(attributes, &all);
	if (!r)
		r = posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETPGROUP |
								 POSIX_SPAWN_SETSIGMASK |
								 POSIX_SPAWN_SETSIGDEF);
	return -r;
}

/* The line, behind one that gives back the limit of open files: posix_spawn(3) has no
 * word for limits. */
static char *line_with_limits(const char *line)
{
	char *text;
	unsigned long files = open_files_before();
	int len = files ? asprintf(&text, "ulimit -S -n %lu\n%s", files, line)
			: asprintf(&text, "%s", line);
	return len < 0 ? NULL : text;
}

static int spawn_shell(const char *line, const char *directory, int output, pid_t *ret)
{
	CLEANUP(cleanup_free) char *text = line_with_limits(line);
	if (!text)
		return -ENOMEM;
	char *const arguments[] = {(char *)"sh", (char *)"-c", text, NULL};
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	if (posix_spawn_file_actions_init(&files))
		return -ENOMEM;
	if (posix_spawnattr_init(&attributes)) {
		posix_spawn_file_actions_destroy(&files);
		return -ENOMEM;
	}
	int r = set_up(&files, &attributes, directory, output);
	if (r == 0)
		r = -posix_spawn(ret, "/bin/sh", &files, &attributes, arguments, environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&files);
	return r;
}

/* A directory that is gone keeps nobody from running what does not need it. */
static int spawn_anyway(const char *line, const char *directory, int output, pid_t *ret)
{
	int r = spawn_shell(line, directory, output, ret);
	return r < 0 && directory ? spawn_shell(line, NULL, output, ret) : r;
}

/* A process may close its output and live on. */
static int wait_for_end(const struct call *call, pid_t pid)
{
	CLEANUP(cleanup_close) int fd = pidfd_open(pid, 0);
	return fd < 0 ? -errno : wait_readable(call, fd);
}

/* -1: somebody else has reaped it, as the kernel does where SIGCHLD is ignored. */
static int reap(pid_t pid)
{
	int status;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	return status;
}

int command_output(const struct call *call, const char *line, const char *directory,
	size_t max, char **ret_text, size_t *ret_len, int *ret_status)
{
	int ends[2];
	pid_t pid;
	CLEANUP(cleanup_secret) char *text = secret_new(max + 1);
	if (!text)
		return -ENOMEM;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	CLEANUP(cleanup_close) int output = ends[0];
	int r = spawn_anyway(line, directory, ends[1], &pid);
	close(ends[1]);
	if (r < 0)
		return r;
	size_t len = 0;
	r = read_output(call, output, text, max, &len);
	if (r == 0)
		r = wait_for_end(call, pid);
	if (r < 0)
		kill(-pid, SIGKILL);
	int status = reap(pid);
	if (r < 0)
		return r;
	*ret_text = steal_pointer(text);
	*ret_len = len;
	*ret_status = status;
	return 0;
}
