/*
 * The options of every command, each written down once.
 *
 * Those that concern the store are fetch/settings.h's table; this one adds the rest.
 * Parsing, --help, completions and the check of the man pages all read the two tables.
 */
#ifndef LARDER_FETCH_OPTIONS_H
#define LARDER_FETCH_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "fetch/base/error.h"
#include "fetch/base/vec.h"
#include "fetch/settings.h"

/* Which commands take an option. */
enum command_set {
	COMMAND_MOUNT = 1 << 0,
	COMMAND_UMOUNT = 1 << 1,
	COMMAND_COMMIT = 1 << 2,
	COMMAND_RESTORE = 1 << 3,
	COMMAND_LS = 1 << 4,
	COMMAND_EXISTS = 1 << 5,
	COMMAND_VERIFY = 1 << 6,
	COMMAND_PROBE = 1 << 7,
	COMMAND_STATUS = 1 << 8,
	COMMAND_KEY = 1 << 9,
	COMMAND_DOCTOR = 1 << 10,
	COMMAND_DAEMON = 1 << 11, /* larderfs itself, which `larder mount` starts */
	COMMAND_ALL = (1 << 12) - 1,
	/* those that reach a store: they take fetch/settings.h's options too */
	COMMAND_STORE = COMMAND_MOUNT | COMMAND_COMMIT | COMMAND_RESTORE | COMMAND_LS |
			COMMAND_EXISTS | COMMAND_VERIFY | COMMAND_PROBE | COMMAND_DOCTOR |
			COMMAND_DAEMON,
};

DEFINE_VEC(word_vec, const char *);

/* What was said. Words are borrowed from argv or the environment. */
struct options {
	struct settings settings;  /* owned */
	struct word_vec arguments; /* owned array: what is no option */
	struct word_vec
		setting_words; /* owned array: name, value (NULL for a flag) of each
				  setting on the command line, to be passed on */

	const char *key;
	struct word_vec fallback_keys;
	struct word_vec exclude;
	const char *output;
	const char *prefetch;
	const char *uid;
	const char *gid;
	const char *scope;
	const char *metrics_file;
	const char *log_file;
	const char *shown_as;
	const char *upper_dir;
	const char *keep_upper;
	unsigned level;
	bool fail_on_miss;
	bool allow_other;
	bool preserve_owner;
	bool foreground;
	bool writable;
	bool force;
	bool fail_if_exists;
	bool reproducible;
	bool unsafe_overwrite;
	bool lazy;
	bool json;
	bool quiet;
	bool verbose;
	bool soft_fail;
	bool help;
};

enum option_kind { OPTION_FLAG, OPTION_TEXT, OPTION_LIST, OPTION_LEVEL };

struct option_info {
	const char *name;
	char letter;          /* 0: none */
	const char *argument; /* the word for --help; NULL for a flag */
	const char *variable; /* environment; NULL: none */
	enum option_kind kind;
	unsigned commands; /* of enum command_set */
	const char *help;
	size_t offset; /* in struct options */
};

extern const struct option_info options_table[];
extern const size_t options_count;

void options_init(struct options *o);
void options_finish(struct options *o);

/* Reads argv[1...] for one command (argv[0] is its name) and the environment. argv's
 * order may change. 0; -EINVAL with a sentence that names the word; -ENOMEM. */
int options_parse(
	struct options *o, unsigned command, int argc, char **argv, struct error *e);

/* Prints one option as --help shows it, in at most 80 columns. letter 0, argument NULL:
 * it has none. */
void options_print(
	FILE *out, char letter, const char *name, const char *argument, const char *help);

/* Was this option of options_table given on the command line? For passing options on. */
bool options_flag(const struct options *o, const struct option_info *info);
const char *options_text(const struct options *o, const struct option_info *info);
const struct word_vec *options_list(
	const struct options *o, const struct option_info *info);

#endif
