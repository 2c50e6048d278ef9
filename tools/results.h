/*
 * Standard output, where a command's results go: does it take them, and if not, why.
 */
#ifndef LARDER_TOOLS_RESULTS_H
#define LARDER_TOOLS_RESULTS_H

#include <stdbool.h>

/* Has everything been taken so far? To be asked right after printing, as errno tells why
 * not; who prints much stops then. */
bool results_taken(void);

/* Writes out what is buffered. The exit code: the one given, or 1 in place of 0 when not
 * everything was taken, which is said. A reader that went away (`larder ls | head`) is no
 * failure worth words: 128 + SIGPIPE, as it is of programs which that signal ends. */
int results_flush(int code);

#endif
