#include "fetch/base/mount_ask.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fetch/base/call.h"
#include "fetch/base/cleanup.h"
#include "fetch/base/io.h"

#define PATIENCE_NS (10 * NS_PER_SECOND)
#define KILL_MS     1000 /* a killed child's time to let go of the mount */

/* As it comes through the pipe, the text no longer than it is. */
struct answer {
	int error; /* errno, or 0 */
	char text[XATTR_SIZE_MAX + 1];
};

/* In the child, where only what is safe in a signal handler may be called. */
static _Noreturn void answer(const char *path, const char *name, int to, pid_t parent)
{
	struct answer a;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent || dup2(to, STDIN_FILENO) < 0)
		_exit(1);
	close_range(STDIN_FILENO + 1, UINT_MAX, 0);
	ssize_t len = getxattr(path, name, a.text, XATTR_SIZE_MAX);
	a.error = len < 0 ? errno : 0;
	write_fully(STDIN_FILENO, &a,
		offsetof(struct answer, text) + (len < 0 ? 0 : (size_t)len));
	_exit(0);
}

static pid_t start_child(const char *path, const char *name, int *ret_from)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	CLEANUP(cleanup_close) int from = ends[0];
	CLEANUP(cleanup_close) int to = ends[1];
	pid_t parent = getpid(), child = fork();
	if (child == 0)
		answer(path, name, to, parent);
	if (child < 0)
		return -errno;
	*ret_from = steal_fd(&from);
	return child;
}

/* 0 when there is something to read, or the child has ended. */
static int wait_for_child(int from, int stop, uint64_t deadline)
{
	struct pollfd fds[] = {
		{.fd = from, .events = POLLIN}, {.fd = stop, .events = POLLIN}};
	for (;;) {
		uint64_t now = clock_monotonic_ns();
		if (now >= deadline)
			return -ETIMEDOUT;
		int n = poll(fds, 2, (int)((deadline - now) / NS_PER_MS) + 1);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0)
			return fds[0].revents ? 0 : -ECANCELED;
	}
}

static int read_answer(int from, int stop, struct answer *a, size_t *ret_len)
{
	uint64_t deadline = clock_monotonic_ns() + PATIENCE_NS;
	size_t head = offsetof(struct answer, text), most = head + XATTR_SIZE_MAX,
	       got = 0;
	for (;;) {
		int r = wait_for_child(from, stop, deadline);
		if (r < 0)
			return r;
		ssize_t n = read(from, (char *)a + got, most - got);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			break;
		got += n > 0 ? (size_t)n : 0;
	}
	if (got < head)
		return -EIO; /* somebody killed it */
	*ret_len = got - head;
	return -a->error;
}

/* As long as the child asks, the mount is in use. One that no signal reaches becomes
 * init's when we end. */
static void end_child(pid_t child, int from)
{
	struct pollfd end = {.fd = from, .events = 0};
	kill(child, SIGKILL);
	poll(&end, 1, KILL_MS);
	waitpid(child, NULL, end.revents ? 0 : WNOHANG);
}

int mount_ask(const char *path, const char *name, int stop, char **ret, size_t *ret_len)
{
	CLEANUP(cleanup_close) int from = -1;
	pid_t child = start_child(path, name, &from);
	if (child < 0)
		return child;
	size_t len = 0;
	CLEANUP(cleanup_free) struct answer *a = calloc(1, sizeof(*a));
	int r = a ? read_answer(from, stop, a, &len) : -ENOMEM;
	end_child(child, from);
	char *text = r == 0 ? strndup(a->text, len) : NULL;
	if (!text)
		return r < 0 ? r : -ENOMEM;
	*ret = text;
	*ret_len = len;
	return 0;
}
