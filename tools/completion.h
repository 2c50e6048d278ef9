/*
 * Completions for shells, made from the command and option tables: what
 * `larder help --completion SHELL` prints, and what is installed.
 *
 * They offer commands, the options of a command, the words of an option that has a fixed
 * set, and files where a file or directory is wanted. Keys are not offered: listing a
 * store at each press of the tabulator would be slow and cost money.
 */
#ifndef LARDER_TOOLS_COMPLETION_H
#define LARDER_TOOLS_COMPLETION_H

#include <stdio.h>

/* shell: "bash", "zsh" or "fish". 0, or -EINVAL for another one. */
int completion_print(FILE *out, const char *shell);

#endif
