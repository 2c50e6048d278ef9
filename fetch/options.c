#include "fetch/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/base/cleanup.h"

#define LEVEL_MOST    19
#define LEVEL_DEFAULT 3
#define NAME_WIDTH    27 /* columns of an option and its word */

/* getopt_long's values: letters for options that have one, these for the others. */
#define VALUE_SETTING 0x1000
#define VALUE_OPTION  0x2000

#define MOUNTING (COMMAND_MOUNT | COMMAND_DAEMON)
#define KEYED (MOUNTING | COMMAND_COMMIT | COMMAND_RESTORE | COMMAND_LS |           \
	COMMAND_EXISTS | COMMAND_VERIFY)
#define AT(field) offsetof(struct options, field)

/* clang-format off */
const struct option_info options_table[] = {
	{ "key", 'k', "KEY", "LARDER_KEY", OPTION_TEXT, KEYED,
	  "the key", AT(key) },
	{ "scope", 0, "NAMES", "LARDER_SCOPE", OPTION_TEXT, KEYED,
	  "SCOPE or SCOPE:TRUSTED...: before the key", AT(scope) },
	{ "fallback-key", 0, "PREFIX", NULL, OPTION_LIST, MOUNTING | COMMAND_RESTORE,
	  "else the newest key that begins so; repeatable", AT(fallback_keys) },
	{ "fail-on-miss", 0, NULL, NULL, OPTION_FLAG, MOUNTING | COMMAND_RESTORE,
	  "exit 3 when there is no such key", AT(fail_on_miss) },
	{ "prefetch", 0, "WHAT", NULL, OPTION_TEXT, MOUNTING,
	  "auto, none or all (auto)", AT(prefetch) },
	{ "allow-other", 0, NULL, NULL, OPTION_FLAG, MOUNTING,
	  "let other users see the mount", AT(allow_other) },
	{ "uid", 0, "UID", NULL, OPTION_TEXT, MOUNTING,
	  "who owns the files (whoever mounts)", AT(uid) },
	{ "gid", 0, "GID", NULL, OPTION_TEXT, MOUNTING,
	  "the files' group (of whoever mounts)", AT(gid) },
	{ "log-file", 0, "FILE", "LARDER_LOG", OPTION_TEXT, MOUNTING,
	  "where the mounted daemon logs (syslog)", AT(log_file) },
	{ "metrics-file", 0, "FILE", NULL, OPTION_TEXT, MOUNTING,
	  "keep numbers there, as OpenMetrics text", AT(metrics_file) },
	{ "foreground", 0, NULL, NULL, OPTION_FLAG, MOUNTING,
	  "stay in the foreground", AT(foreground) },
	{ "shown-as", 0, "PATH", NULL, OPTION_TEXT, COMMAND_DAEMON,
	  "what messages call the mountpoint", AT(shown_as) },
	{ "writable", 0, NULL, NULL, OPTION_FLAG, COMMAND_MOUNT,
	  "let it be written to; the key stays as it is", AT(writable) },
	{ "upper-dir", 0, "DIR", NULL, OPTION_TEXT, COMMAND_MOUNT,
	  "where --writable keeps what is written", AT(upper_dir) },
	{ "preserve-owner", 0, NULL, NULL, OPTION_FLAG,
	  MOUNTING | COMMAND_COMMIT | COMMAND_RESTORE,
	  "keep owners and set-id bits", AT(preserve_owner) },
	{ "force", 0, NULL, NULL, OPTION_FLAG, COMMAND_COMMIT,
	  "overwrite what is published", AT(force) },
	{ "fail-if-exists", 0, NULL, NULL, OPTION_FLAG, COMMAND_COMMIT,
	  "exit 7 when it is published already", AT(fail_if_exists) },
	{ "unsafe-overwrite", 0, NULL, NULL, OPTION_FLAG, COMMAND_COMMIT,
	  "publish where the store honours no condition", AT(unsafe_overwrite) },
	{ "exclude", 0, "PATTERN", NULL, OPTION_LIST, COMMAND_COMMIT,
	  "leave out what matches; repeatable", AT(exclude) },
	{ "level", 0, "N", NULL, OPTION_LEVEL, COMMAND_COMMIT,
	  "zstd level, 1 to 19 (3)", AT(level) },
	{ "reproducible", 0, NULL, NULL, OPTION_FLAG, COMMAND_COMMIT,
	  "one mtime for all: SOURCE_DATE_EPOCH, else 1980", AT(reproducible) },
	{ "output", 0, "FILE", NULL, OPTION_TEXT,
	  MOUNTING | COMMAND_COMMIT | COMMAND_RESTORE | COMMAND_EXISTS,
	  "append key=value lines for a CI system", AT(output) },
	{ "lazy", 0, NULL, NULL, OPTION_FLAG, COMMAND_UMOUNT,
	  "detach now even while it is in use", AT(lazy) },
	{ "keep-upper", 0, "DIR", NULL, OPTION_TEXT, COMMAND_UMOUNT,
	  "move what was written there", AT(keep_upper) },
	{ "json", 0, NULL, NULL, OPTION_FLAG, COMMAND_ALL & ~(MOUNTING | COMMAND_UMOUNT),
	  "results for machines", AT(json) },
	{ "soft-fail", 0, NULL, NULL, OPTION_FLAG, COMMAND_ALL,
	  "exit 0 with a warning where it fails", AT(soft_fail) },
	{ "quiet", 'q', NULL, NULL, OPTION_FLAG, COMMAND_ALL,
	  "only errors", AT(quiet) },
	{ "verbose", 'v', NULL, NULL, OPTION_FLAG, COMMAND_ALL,
	  "say what happens inside", AT(verbose) },
	{ "help", 'h', NULL, NULL, OPTION_FLAG, COMMAND_ALL,
	  "print this", AT(help) },
};
/* clang-format on */
const size_t options_count = sizeof(options_table) / sizeof(options_table[0]);

void options_init(struct options *o)
{
	*o = (struct options){ .level = LEVEL_DEFAULT };
	settings_init(&o->settings);
}

void options_finish(struct options *o)
{
	settings_finish(&o->settings);
	word_vec_finish(&o->arguments);
	word_vec_finish(&o->setting_words);
	word_vec_finish(&o->fallback_keys);
	word_vec_finish(&o->exclude);
}

static void *field(const struct options *o, const struct option_info *info)
{
	return (char *)o + info->offset;
}

bool options_flag(const struct options *o, const struct option_info *info)
{
	return *(const bool *)field(o, info);
}

const char *options_text(const struct options *o, const struct option_info *info)
{
	return *(const char *const *)field(o, info);
}

const struct word_vec *options_list(
	const struct options *o, const struct option_info *info)
{
	return field(o, info);
}

static int set_level(struct options *o, const char *value, struct error *e)
{
	unsigned level;
	if (parse_count(value, LEVEL_MOST, &level) < 0 || level < 1)
		return error_set(e, -EINVAL, "--level wants a number from 1 to %d, not '%s'",
			LEVEL_MOST, value);
	o->level = level;
	return 0;
}

static int set_option(struct options *o, const struct option_info *info, const char *value,
	struct error *e)
{
	if (info->argument && !*value)
		return error_set(
			e, -EINVAL, "--%s wants a value that is not empty", info->name);
	switch (info->kind) {
	case OPTION_FLAG:
		*(bool *)field(o, info) = true;
		return 0;
	case OPTION_TEXT:
		*(const char **)field(o, info) = value;
		return 0;
	case OPTION_LIST:
		return word_vec_push(field(o, info), value);
	case OPTION_LEVEL:
		break;
	}
	return set_level(o, value, e);
}

/* The two tables as getopt_long wants them, for one command. */
struct grammar {
	struct option *longs; /* owned */
	char letters[64];
};

static void grammar_finish(struct grammar *g)
{
	free(g->longs);
}

static int grammar_init(struct grammar *g, unsigned command)
{
	g->longs = calloc(settings_count + options_count + 1, sizeof(*g->longs));
	if (!g->longs)
		return -ENOMEM;
	struct option *next = g->longs;
	char *letter = stpcpy(g->letters, ":");
	for (size_t i = 0; i < settings_count && (command & COMMAND_STORE); i++)
		*next++ = (struct option){
			.name = settings_table[i].name,
			.has_arg = settings_table[i].argument ? required_argument : no_argument,
			.val = VALUE_SETTING + (int)i,
		};
	for (size_t i = 0; i < options_count; i++) {
		const struct option_info *info = &options_table[i];
		if (!(info->commands & command))
			continue;
		*next++ = (struct option){
			.name = info->name,
			.has_arg = info->argument ? required_argument : no_argument,
			.val = VALUE_OPTION + (int)i,
		};
		if (info->letter)
			*letter++ = info->letter;
		if (info->letter && info->argument)
			*letter++ = ':';
	}
	*letter = '\0';
	return 0;
}

static const struct option_info *by_letter(int letter)
{
	for (size_t i = 0; i < options_count; i++)
		if (options_table[i].letter == letter)
			return &options_table[i];
	return NULL;
}

static int refuse_word(int c, char **argv, struct error *e)
{
	const char *word = argv[optind - 1];
	char letter[3] = { '-', (char)optopt, '\0' };
	if (optopt > 0 && optopt < VALUE_SETTING)
		word = letter;
	if (c == ':')
		return error_set(e, -EINVAL, "option '%s' wants a value", word);
	if (optopt >= VALUE_SETTING)
		return error_set(e, -EINVAL, "option '%s' takes no value", word);
	return error_set(e, -EINVAL,
		"'larder %s' has no option '%s'; 'larder %s --help' lists them", argv[0],
		word, argv[0]);
}

static int take_setting(struct options *o, const char *name, struct error *e)
{
	int r = settings_set(&o->settings, name, optarg, e);
	if (r == 0)
		r = word_vec_push(&o->setting_words, name);
	return r < 0 ? r : word_vec_push(&o->setting_words, optarg);
}

static int take_option(struct options *o, int c, char **argv, struct error *e)
{
	if (c == '?' || c == ':')
		return refuse_word(c, argv, e);
	if (c >= VALUE_OPTION)
		return set_option(o, &options_table[c - VALUE_OPTION], optarg, e);
	if (c >= VALUE_SETTING)
		return take_setting(o, settings_table[c - VALUE_SETTING].name, e);
	return set_option(o, by_letter(c), optarg, e);
}

/* What the environment says of options that the command line left out. */
static int take_environment(struct options *o, unsigned command, struct error *e)
{
	for (size_t i = 0; i < options_count; i++) {
		const struct option_info *info = &options_table[i];
		if (!(info->commands & command) || !info->variable)
			continue;
		const char *value = getenv(info->variable);
		if (value && *value && !options_text(o, info))
			*(const char **)field(o, info) = value;
	}
	return command & COMMAND_STORE ? settings_from_environment(&o->settings, e) : 0;
}

int options_parse(struct options *o, unsigned command, int argc, char **argv,
	struct error *e)
{
	CLEANUP(grammar_finish) struct grammar g = { 0 };
	int r = grammar_init(&g, command);
	optind = 0; /* GNU: scan from the start, with fresh state */
	opterr = 0;
	while (r == 0) {
		int c = getopt_long(argc, argv, g.letters, g.longs, NULL);
		if (c < 0)
			break;
		r = take_option(o, c, argv, e);
	}
	for (int i = optind; r == 0 && i < argc; i++)
		r = word_vec_push(&o->arguments, argv[i]);
	if (r == 0 && !o->help)
		r = take_environment(o, command, e);
	if (r == 0 && !o->help && (command & COMMAND_STORE))
		r = settings_finish_defaults(&o->settings, e);
	return r;
}

void options_print(FILE *out, char letter, const char *name, const char *argument, const char *help)
{
	char left[64];
	int used = letter ? snprintf(left, sizeof(left), "  -%c, ", letter) :
			    snprintf(left, sizeof(left), "      ");
	snprintf(left + used, sizeof(left) - (size_t)used, "--%s%s%s", name,
		argument ? " " : "", argument ? argument : "");
	fprintf(out, "%-*s  %s\n", NAME_WIDTH, left, help);
}
