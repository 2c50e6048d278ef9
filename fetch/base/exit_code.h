/*
 * What an error means to the shell (docs/errors.md). Pure.
 */
#ifndef LARDER_FETCH_BASE_EXIT_CODE_H
#define LARDER_FETCH_BASE_EXIT_CODE_H

#include <stdbool.h>

enum exit_code {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_MISS = 3,
	EXIT_CORRUPT = 4,
	EXIT_CREDENTIALS = 5,
	EXIT_NO_CONDITION = 6,
	EXIT_ALREADY = 7,
	EXIT_DEADLINE = 124,
	EXIT_SIGNAL = 128, /* and the signal's number on top */
};

/* The exit code for a negative errno; 0 for 0. -ECANCELED is EXIT_SIGNAL + signal. */
int exit_code_of(int error, int signal);

/* True for the codes that --soft-fail turns into EXIT_DONE. */
bool exit_code_is_soft(int code);

#endif
