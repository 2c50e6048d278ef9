/*
 * What --help prints, made from the option tables. At most 80 columns.
 */
#ifndef LARDER_TOOLS_HELP_H
#define LARDER_TOOLS_HELP_H

#include "tools/command.h"

/* All commands, a line each. */
void help_overview(void);

/* One command: its words, what it does, its options. */
void help_command(const struct command *c);

/* Both tables as JSON, from which completions are made and man pages checked. */
void help_json(void);

#endif
