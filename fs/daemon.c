#include "fs/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fetch/base/cleanup.h"
#include "fetch/base/exit_code.h"
#include "fetch/base/io.h"
#include "fetch/base/log.h"
#include "fetch/base/process.h"

void daemon_close_inherited(void)
{
	occupy_standard_streams();
	close_range(3, ~0U, 0);
}

/* What the child's end without a report means. */
static int code_of_end(pid_t child)
{
	int status;
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return EXIT_FAILED;
	if (WIFSIGNALED(status))
		return EXIT_SIGNAL + WTERMSIG(status);
	return WEXITSTATUS(status) ? WEXITSTATUS(status) : EXIT_FAILED;
}

static volatile sig_atomic_t waited_for; /* a pid; 0: nobody's */

static void pass_on(int number)
{
	int saved = errno;
	if (waited_for)
		kill(waited_for, number);
	errno = saved;
}

/* What would end us ends the child, and that tells what became of it. */
static void pass_signals_on(pid_t child)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
	const struct sigaction passes = {.sa_handler = pass_on};
	struct sigaction inherited;
	waited_for = child;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
		if (sigaction(numbers[i], NULL, &inherited) == 0 &&
			inherited.sa_handler != SIG_IGN)
			sigaction(numbers[i], &passes, NULL);
}

static int wait_for_report(int from, pid_t child)
{
	unsigned char code;
	ssize_t got;
	do
		got = read(from, &code, 1);
	while (got < 0 && errno == EINTR);
	waited_for = 0; /* it is ending, and its number will be free */
	return got == 1 ? code : code_of_end(child);
}

/* fork(2) with all signals blocked in the child, which is about to have a thread that waits
 * for them. */
static pid_t fork_deaf(void)
{
	sigset_t all, before;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	pid_t child = fork();
	if (child > 0)
		pass_signals_on(child);
	if (child != 0)
		sigprocmask(SIG_SETMASK, &before, NULL);
	return child;
}

bool daemon_split(struct daemon *d, int *ret_code)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) < 0) {
		log_error("cannot make a pipe: %s", strerror(errno));
		*ret_code = EXIT_FAILED;
		return true;
	}
	CLEANUP(cleanup_close) int from = ends[0];
	CLEANUP(cleanup_close) int to = ends[1];
	pid_t child = fork_deaf();
	if (child < 0) {
		log_error("cannot start a process: %s", strerror(errno));
		*ret_code = EXIT_FAILED;
		return true;
	}
	if (child > 0) {
		cleanup_close(&to);
		*ret_code = wait_for_report(from, child);
		return true;
	}
	d->report = steal_fd(&to);
	return false;
}

static int report(struct daemon *d, int code)
{
	unsigned char byte = (unsigned char)code;
	int r = write_fully(d->report, &byte, 1);
	cleanup_close(&d->report);
	return r;
}

static void let_go_of_terminal(void)
{
	setsid();
	if (chdir("/") < 0)
		log_debug("cannot go to '/': %s", strerror(errno));
	CLEANUP(cleanup_close) int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int fd = 0; null >= 0 && fd <= 2; fd++)
		dup2(null, fd);
}

int daemon_ready(struct daemon *d)
{
	if (d->report < 0)
		return 0;
	int r = report(d, EXIT_DONE);
	if (r == 0)
		let_go_of_terminal();
	return r;
}

void daemon_failed(struct daemon *d, int code)
{
	if (d->report >= 0)
		report(d, code);
}
