#include "tools/results.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "fetch/base/exit_code.h"
#include "fetch/base/log.h"

static int reason; /* errno of the first failure */

bool results_taken(void)
{
	if (!reason && ferror(stdout))
		reason = errno;
	return !reason;
}

int results_flush(int code)
{
	if (results_taken() && fflush(stdout))
		reason = errno;
	if (!reason)
		return code;
	if (code == EXIT_DONE) /* as if SIGPIPE were not ignored */
		code = reason == EPIPE ? EXIT_SIGNAL + SIGPIPE : EXIT_FAILED;
	if (reason != EPIPE)
		log_error("cannot write to standard output: %s", strerror(reason));
	return code;
}
