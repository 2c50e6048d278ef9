/*
 * Runs a command of the user's configuration for what it prints.
 */
#ifndef LARDER_FETCH_COMMAND_H
#define LARDER_FETCH_COMMAND_H

#include <stddef.h>

#include "fetch/base/call.h"

/* Runs `line` in /bin/sh, in `directory` (in ours when that is NULL or gone), in a
 * process group of its own that is killed when the call ends first; standard input and
 * error are /dev/null, other descriptors are closed, and it may have as many open as we
 * might before raise_open_files(). *ret_text, what it printed, NUL-terminated, is memory
 * of fetch/secret.h: secret_free() it. *ret_status is as waitpid(2) gives it. 0;
 * -EMSGSIZE: it printed more than `max` bytes; -ETIMEDOUT, -ECANCELED (noticed within 50
 * ms), -ENOMEM, -errno when it cannot be run.
 */
int command_output(const struct call *call, const char *line, const char *directory,
	size_t max, char **ret_text, size_t *ret_len, int *ret_status);

#endif
