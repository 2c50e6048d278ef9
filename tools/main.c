/*
 * larder: finds the command, reads its options, runs it, and turns what came of it into
 * one sentence and an exit code.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "fetch/base/exit_code.h"
#include "fetch/base/log.h"
#include "fetch/base/output_file.h"
#include "fetch/base/process.h"
#include "tools/command.h"
#include "tools/completion.h"
#include "tools/help.h"
#include "tools/results.h"
#include "tools/session.h"

/* clang-format off */
const struct command commands[] = {
	{ "mount", COMMAND_MOUNT, "[--key KEY] [STORE] MOUNTPOINT",
	  "Mount a store's keys, or one key, as directories", 1, 2, cmd_mount },
	{ "umount", COMMAND_UMOUNT, "MOUNTPOINT",
	  "Unmount, and wait until the daemon has gone", 1, 1, cmd_umount },
	{ "commit", COMMAND_COMMIT, "--key KEY [STORE] DIR",
	  "Pack a directory and publish it under a key, once", 1, 2, cmd_commit },
	{ "restore", COMMAND_RESTORE, "--key KEY [STORE] DIR",
	  "Unpack a key into a directory, whole or not at all", 1, 2, cmd_restore },
	{ "ls", COMMAND_LS, "[STORE] [PREFIX]   or   --key KEY [STORE] [PATH]",
	  "List keys, or the files inside one", 0, 2, cmd_ls },
	{ "exists", COMMAND_EXISTS, "--key KEY [STORE]",
	  "Exit 0 when the key is published, 3 when not", 0, 1, cmd_exists },
	{ "verify", COMMAND_VERIFY, "--key KEY [STORE]",
	  "Read a key's whole object and prove every byte of it", 0, 1, cmd_verify },
	{ "probe", COMMAND_PROBE, "[STORE]",
	  "Find out which conditional writes a store honours", 0, 1, cmd_probe },
	{ "key", COMMAND_KEY, "TEMPLATE",
	  "Make a key from a template", 1, 1, cmd_key },
	{ "doctor", COMMAND_DOCTOR, "[STORE]",
	  "Find out what is wrong, in one go", 0, 1, cmd_doctor },
	{ "status", COMMAND_STATUS, "MOUNTPOINT",
	  "Tell what a mount serves, fetched and cached", 1, 1, cmd_status },
};
/* clang-format on */
const unsigned commands_count = sizeof(commands) / sizeof(commands[0]);

static const struct command *find_command(const char *name)
{
	for (unsigned i = 0; i < commands_count; i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

/* The store that stands where the directory belongs: "larder mount s3://bucket". Or NULL. */
static const char *store_for_directory(const struct command *c, const struct options *o)
{
	const unsigned to_directory = COMMAND_MOUNT | COMMAND_COMMIT | COMMAND_RESTORE;
	size_t count = o->arguments.len;
	const char *last = count == 1 || count == 2 ? o->arguments.data[count - 1] : "";
	return c->bit & to_directory && strstr(last, "://") ? last : NULL;
}

static int check_arguments(const struct command *c, const struct options *o, struct error *e)
{
	const char *store = store_for_directory(c, o);
	if (store)
		return error_set(e, -EINVAL,
			o->arguments.len == 1 ?
				"a directory is missing after the store '%s': larder %s %s" :
				"'%s' is a store, which comes before the directory: larder "
				"%s %s",
			store, c->name, c->words);
	if (o->arguments.len < c->least)
		return error_set(e, -EINVAL, "arguments are missing: larder %s %s", c->name,
			c->words);
	if (o->arguments.len > c->most)
		return error_set(e, -EINVAL, "'%s' is one argument too many: larder %s %s",
			o->arguments.data[c->most], c->name, c->words);
	return 0;
}

static int run_command(
	const struct command *c, struct options *o, int argc, char **argv, struct error *e)
{
	int r = options_parse(o, c->bit, argc, argv, e);
	if (r < 0)
		return r;
	if (o->help) {
		help_command(c);
		return 0;
	}
	log_init("larder", o->verbose ? LOG_DEBUG : o->quiet ? LOG_ERROR : LOG_INFO, 2);
	r = check_arguments(c, o, e);
	if (r == 0)
		r = output_check(o->output, e);
	return r < 0 ? r : c->run(o, e);
}

/* Says what went wrong, once, and returns the exit code. */
static int conclude(int r, const struct error *e, bool soft)
{
	if (r > 0)
		return r;
	int code = exit_code_of(r, session_signal());
	if (code == EXIT_DONE)
		return EXIT_DONE;
	soft = soft && exit_code_is_soft(code);
	const char *sentence = e->text[0] ? e->text : strerror(-r);
	int number = r == -ECANCELED ? session_signal() : 0;
	if (soft)
		log_warning("%s", sentence);
	else if (number)
		log_error("%s (SIG%s)", sentence, sigabbrev_np(number));
	else if (e->text[0] || code != EXIT_MISS)
		log_error("%s", sentence);
	return soft ? EXIT_DONE : code;
}

/* What else it is called, or NULL. */
static const char *meant_by(const char *word)
{
	static const char *const names[][2] = { { "unmount", "umount" }, { "list", "ls" } };
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(names[i][0], word))
			return names[i][1];
	return NULL;
}

static int no_such_command(const char *word)
{
	const char *meant = meant_by(word);
	if (meant)
		fprintf(stderr,
			"larder: error: there is no command '%s'; did you mean '%s'?\n",
			word, meant);
	else
		fprintf(stderr,
			"larder: error: there is no command '%s'; 'larder --help' lists "
			"them\n",
			word);
	return EXIT_USAGE;
}

/* What is wrong with the words behind a known first one. */
static int check_help(int argc, char **argv, struct error *e)
{
	static const char words[] = "larder help [COMMAND | --json | --completion SHELL]";
	int wanted = strcmp(argv[0], "--completion") ? 1 : 2;
	if (argc > wanted)
		return error_set(e, -EINVAL, "'%s' is one argument too many: %s",
			argv[wanted], words);
	if (argc < wanted)
		return error_set(e, -EINVAL, "the name of a shell is missing: %s", words);
	return 0;
}

static int print_completion(const char *shell, struct error *e)
{
	int r = completion_print(stdout, shell);
	return r < 0 ? error_set(e, r,
			       "there are no completions for '%s', only for bash, fish and zsh",
			       shell)
		     : 0;
}

/* larder help [COMMAND | --json | --completion SHELL] */
static int help(int argc, char **argv)
{
	const char *first = argc ? argv[0] : "";
	const struct command *c = find_command(first);
	bool json = !strcmp(first, "--json"), completion = !strcmp(first, "--completion");
	if (argc && !c && !json && !completion)
		return no_such_command(first);
	struct error e = { 0 };
	int r = argc ? check_help(argc, argv, &e) : 0;
	if (r == 0 && completion)
		r = print_completion(argv[1], &e);
	else if (r == 0 && json)
		help_json();
	else if (r == 0 && c)
		help_command(c);
	else if (r == 0)
		help_overview();
	return results_flush(conclude(r, &e, false));
}

int main(int argc, char **argv)
{
	occupy_standard_streams();
	if (argc < 2) {
		help_overview();
		return EXIT_USAGE;
	}
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
		puts("larder " LARDER_VERSION);
		return EXIT_DONE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
		return help_overview(), EXIT_DONE;
	if (!strcmp(argv[1], "help"))
		return help(argc - 2, argv + 2);
	const struct command *c = find_command(argv[1]);
	if (!c)
		return no_such_command(argv[1]);

	struct error e = { 0 };
	struct options o;
	options_init(&o);
	int r = harden_process();
	if (r == 0 && c->bit != COMMAND_MOUNT) /* which may become larderfs */
		r = session_signals(&e);
	if (r == 0)
		r = run_command(c, &o, argc - 1, argv + 1, &e);
	int code = conclude(r, &e, o.soft_fail);
	options_finish(&o);
	session_only_prints();
	code = results_flush(code);
	session_signals_end();
	return code;
}
