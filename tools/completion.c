#include "tools/completion.h"

#include <errno.h>
#include <string.h>

#include "tools/command.h"

/* An option of either table. */
struct word {
	const char *name;
	char letter;
	const char *argument;
	const char *help;
};

typedef void word_fn(FILE *out, const struct command *c, const struct word *w);

static void each_option(FILE *out, const struct command *c, word_fn *fn)
{
	for (size_t i = 0; i < options_count; i++) {
		const struct option_info *o = &options_table[i];
		if (o->commands & c->bit)
			fn(out, c,
				&(struct word){o->name, o->letter, o->argument, o->help});
	}
	for (size_t i = 0; i < settings_count && (c->bit & COMMAND_STORE); i++) {
		const struct setting_info *s = &settings_table[i];
		fn(out, c, &(struct word){s->name, 0, s->argument, s->help});
	}
}

static bool wants_file(const struct word *w)
{
	return w->argument &&
	       (!strcmp(w->argument, "FILE") || !strcmp(w->argument, "DIR"));
}

/* The words an option has a fixed set of, or NULL. */
static const char *fixed_words(const struct word *w)
{
	return !strcmp(w->name, "prefetch") ? "auto none all" : NULL;
}

/* text within single quotes, as a shell reads it. escaped: characters that get a backslash,
 * for whom the shell hands it to. */
static void put_quoted(
	FILE *out, const char *text, const char *quote_as, const char *escaped)
{
	for (; *text; text++) {
		if (strchr(escaped, *text))
			putc('\\', out);
		if (*text == '\'')
			fputs(quote_as, out);
		else
			putc(*text, out);
	}
}

/* --- bash ------------------------------------------------------------------------------
 */

static void bash_option(FILE *out, const struct command *c, const struct word *w)
{
	fprintf(out, " --%s", w->name);
}

static void bash_argument(FILE *out, const struct command *c, const struct word *w)
{
	if (!w->argument)
		return;
	fprintf(out, "\t%s:--%s", c->name, w->name);
	if (w->letter)
		fprintf(out, "|%s:-%c", c->name, w->letter);
	if (fixed_words(w))
		fprintf(out, ") words='%s' ;;\n", fixed_words(w));
	else
		fprintf(out, ") %s ;;\n", wants_file(w) ? "files=1" : "return");
}

static void print_bash(FILE *out)
{
	fputs("# bash completion for larder, made from its option tables\n"
	      "_larder() {\n"
	      "\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
	      "\tlocal command=${COMP_WORDS[1]} words='' files=''\n"
	      "\tCOMPREPLY=()\n"
	      "\tif [ \"$COMP_CWORD\" -eq 1 ]; then\n"
	      "\t\tCOMPREPLY=($(compgen -W '",
		out);
	for (unsigned i = 0; i < commands_count; i++)
		fprintf(out, "%s ", commands[i].name);
	fputs("--help --version' -- \"$cur\"))\n"
	      "\t\treturn\n"
	      "\tfi\n"
	      "\tcase $command:$prev in\n",
		out);
	for (unsigned i = 0; i < commands_count; i++)
		each_option(out, &commands[i], bash_argument);
	fputs("\t*)\n"
	      "\t\tcase $cur in -*) ;; *) files=1 ;; esac\n"
	      "\t\tcase $command in\n",
		out);
	for (unsigned i = 0; i < commands_count; i++) {
		fprintf(out, "\t\t%s) words='", commands[i].name);
		each_option(out, &commands[i], bash_option);
		fputs("' ;;\n", out);
	}
	fputs("\t\tesac ;;\n"
	      "\tesac\n"
	      "\tif [ -n \"$files\" ]; then\n"
	      "\t\tcompopt -o filenames 2>/dev/null\n"
	      "\t\tmapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n"
	      "\telse\n"
	      "\t\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
	      "\tfi\n"
	      "}\n"
	      "complete -F _larder larder\n",
		out);
}

/* --- zsh -------------------------------------------------------------------------------
 */

static void zsh_option(FILE *out, const struct command *c, const struct word *w)
{
	const char *repeated = strstr(w->help, "repeatable") ? "*" : "";
	if (w->letter)
		fprintf(out, " \\\n\t\t'(-%c --%s)'{-%c,--%s}'[", w->letter, w->name,
			w->letter, w->name);
	else
		fprintf(out, " \\\n\t\t'%s--%s[", repeated, w->name);
	put_quoted(out, w->help, "'\\''", "[]:\\"); /* _arguments reads these */
	putc(']', out);
	if (fixed_words(w))
		fprintf(out, ":%s:(%s)", w->argument, fixed_words(w));
	else if (w->argument)
		fprintf(out, ":%s:%s", w->argument, wants_file(w) ? "_files" : " ");
	putc('\'', out);
}

static void print_zsh(FILE *out)
{
	fputs("#compdef larder\n"
	      "# zsh completion for larder, made from its option tables\n"
	      "_larder() {\n"
	      "\tlocal -a commands\n"
	      "\tcommands=(\n",
		out);
	for (unsigned i = 0; i < commands_count; i++) {
		fprintf(out, "\t\t'%s:", commands[i].name);
		put_quoted(out, commands[i].summary, "'\\''", "\\");
		fputs("'\n", out);
	}
	fputs("\t)\n"
	      "\tif (( CURRENT == 2 )); then\n"
	      "\t\t_describe command commands\n"
	      "\t\treturn\n"
	      "\tfi\n"
	      "\tshift words\n"
	      "\t(( CURRENT-- ))\n"
	      "\tcase $words[1] in\n",
		out);
	for (unsigned i = 0; i < commands_count; i++) {
		fprintf(out, "\t(%s) _arguments -s", commands[i].name);
		each_option(out, &commands[i], zsh_option);
		fputs(" \\\n\t\t'*:argument:_files' ;;\n", out);
	}
	fputs("\tesac\n"
	      "}\n"
	      "_larder \"$@\"\n",
		out);
}

/* --- fish ------------------------------------------------------------------------------
 */

static void fish_option(FILE *out, const struct command *c, const struct word *w)
{
	fprintf(out, "complete -c larder -n '__fish_seen_subcommand_from %s' -l %s",
		c->name, w->name);
	if (w->letter)
		fprintf(out, " -s %c", w->letter);
	if (fixed_words(w))
		fprintf(out, " -x -a '%s'", fixed_words(w));
	else if (w->argument)
		fputs(wants_file(w) ? " -r" : " -x", out);
	fputs(" -d '", out);
	put_quoted(out, w->help, "\\'", "\\");
	fputs("'\n", out);
}

static void print_fish(FILE *out)
{
	fputs("# fish completion for larder, made from its option tables\n", out);
	for (unsigned i = 0; i < commands_count; i++) {
		fprintf(out, "complete -c larder -f -n __fish_use_subcommand -a %s -d '",
			commands[i].name);
		put_quoted(out, commands[i].summary, "\\'", "\\");
		fputs("'\n", out);
	}
	for (unsigned i = 0; i < commands_count; i++)
		each_option(out, &commands[i], fish_option);
}

int completion_print(FILE *out, const char *shell)
{
	if (!strcmp(shell, "bash"))
		print_bash(out);
	else if (!strcmp(shell, "zsh"))
		print_zsh(out);
	else if (!strcmp(shell, "fish"))
		print_fish(out);
	else
		return -EINVAL;
	return 0;
}
