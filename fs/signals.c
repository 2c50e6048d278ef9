#include "fs/signals.h"

#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fetch/base/cleanup.h"

#define STATUS_MOST 8192 /* bytes; more than that has who is in a thousand groups */

#define BIT(sig) (UINT64_C(1) << ((sig)-1))

#define ASKED_TO_STOP                                                                    \
	(BIT(SIGINT) | BIT(SIGTERM) | BIT(SIGHUP) | BIT(SIGQUIT) | BIT(SIGKILL))

/* Signals whose default is to do nothing, to stop or to go on (signal(7)); the default of
 * every other one ends the program. */
#define HARMLESS                                                                         \
	(BIT(SIGCHLD) | BIT(SIGCONT) | BIT(SIGSTOP) | BIT(SIGTSTP) | BIT(SIGTTIN) |      \
		BIT(SIGTTOU) | BIT(SIGURG) | BIT(SIGWINCH))

static bool mask_of(const char *status, const char *field, uint64_t *ret)
{
	const char *line = strstr(status, field);
	if (!line)
		return false;
	*ret = strtoull(line + strlen(field), NULL, 16);
	return true;
}

bool signals_say_stop(const char *status, bool unseen)
{
	uint64_t own, shared, blocked, ignored, caught;
	if (!mask_of(status, "\nSigPnd:", &own) ||
		!mask_of(status, "\nShdPnd:", &shared) ||
		!mask_of(status, "\nSigBlk:", &blocked) ||
		!mask_of(status, "\nSigIgn:", &ignored) ||
		!mask_of(status, "\nSigCgt:", &caught))
		return unseen;
	uint64_t heard = (own | shared) & ~blocked & ~ignored;
	return heard & (ASKED_TO_STOP | ~(caught | HARMLESS));
}

bool thread_wants_stop(pid_t tid, bool unseen)
{
	char path[64];
	char status[STATUS_MOST];
	if (!tid)
		return unseen;
	snprintf(path, sizeof(path), "/proc/%ld/status", (long)tid);
	CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return unseen;
	ssize_t len = read(fd, status, sizeof(status) - 1);
	if (len <= 0)
		return unseen;
	status[len] = '\0';
	return signals_say_stop(status, unseen);
}
