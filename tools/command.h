/*
 * The commands of `larder`. Each returns 0 or a negative errno with e filled; main turns
 * that into the exit code and prints the sentence once. cmd_mount() may also return an
 * exit code: larderfs's, which has said what is wrong.
 */
#ifndef LARDER_TOOLS_COMMAND_H
#define LARDER_TOOLS_COMMAND_H

#include "fetch/options.h"

struct command {
	const char *name;
	unsigned bit;        /* enum command_set */
	const char *words;   /* its arguments as written in --help */
	const char *summary; /* one line */
	unsigned least, most; /* arguments, STORE left out counted as absent */
	int (*run)(const struct options *o, struct error *e);
};

extern const struct command commands[];
extern const unsigned commands_count;

int cmd_commit(const struct options *o, struct error *e);
int cmd_doctor(const struct options *o, struct error *e);
int cmd_exists(const struct options *o, struct error *e);
int cmd_key(const struct options *o, struct error *e);
int cmd_ls(const struct options *o, struct error *e);
int cmd_mount(const struct options *o, struct error *e);
int cmd_probe(const struct options *o, struct error *e);
int cmd_restore(const struct options *o, struct error *e);
int cmd_status(const struct options *o, struct error *e);
int cmd_umount(const struct options *o, struct error *e);
int cmd_verify(const struct options *o, struct error *e);

#endif
