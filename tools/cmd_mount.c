#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fetch/base/buf.h"
#include "fetch/base/cleanup.h"
#include "fetch/store_url.h"
#include "tools/command.h"
#include "tools/daemon_path.h"
#include "tools/session.h"

#define COMMAND_LINE_MAX (256u << 10) /* bytes of all words together */

/* The words for execv(): pointers into argv, the tables, or `made`. */
struct command_line {
	struct word_vec words;
	struct word_vec made; /* owned strings */
};

static void command_line_finish(struct command_line *l)
{
	for (size_t i = 0; i < l->made.len; i++)
		free((char *)l->made.data[i]);
	word_vec_finish(&l->made);
	word_vec_finish(&l->words);
}

/* Adds --name or --name=value. */
static int add(struct command_line *l, const char *name, const char *value)
{
	CLEANUP(buf_finish) struct buf b = BUF_INIT(COMMAND_LINE_MAX);
	int r = buf_printf(&b, value ? "--%s=%s" : "--%s", name, value);
	if (r < 0)
		return r;
	r = word_vec_push(&l->made, b.data);
	return r < 0 ? r : word_vec_push(&l->words, buf_steal(&b));
}

static int add_option(
	struct command_line *l, const struct options *o, const struct option_info *info)
{
	if (info->kind == OPTION_FLAG)
		return options_flag(o, info) ? add(l, info->name, NULL) : 0;
	if (info->kind == OPTION_TEXT) {
		const char *value = options_text(o, info);
		return value ? add(l, info->name, value) : 0;
	}
	const struct word_vec *list = options_list(o, info);
	int r = 0;
	for (size_t i = 0; r == 0 && i < list->len; i++)
		r = add(l, info->name, list->data[i]);
	return r;
}

/* larderfs reads the environment itself; only what the command line said is passed on. */
static int add_settings(struct command_line *l, const struct options *o)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < o->setting_words.len; i += 2)
		r = add(l, o->setting_words.data[i], o->setting_words.data[i + 1]);
	return r;
}

static int compose(struct command_line *l, const struct options *o, const char *program,
	const char *store, struct error *e)
{
	int r = word_vec_push(&l->words, program);
	for (size_t i = 0; r == 0 && i < options_count; i++)
		if (options_table[i].commands & COMMAND_MOUNT)
			r = add_option(l, o, &options_table[i]);
	if (r == 0)
		r = add_settings(l, o);
	if (r == 0)
		r = word_vec_push(&l->words, "--");
	if (r == 0)
		r = word_vec_push(&l->words, store);
	if (r == 0)
		r = word_vec_push(&l->words, o->arguments.data[o->arguments.len - 1]);
	if (r == 0)
		r = word_vec_push(&l->words, NULL);
	return r < 0 ? error_set_errno(e, r, "cannot compose larderfs's arguments") : 0;
}

int cmd_mount(const struct options *o, struct error *e)
{
	CLEANUP(buf_finish) struct buf fallback = BUF_INIT(STORE_URL_MAX);
	CLEANUP(buf_finish) struct buf program = BUF_INIT(4096);
	CLEANUP(command_line_finish) struct command_line line = { 0 };
	const char *store = o->arguments.data[0], *key;
	int r = o->key ? session_key(o, &key, e) : 0;
	if (r == 0 && !session_store_given(o, 2)) {
		r = store_url_default(&fallback, e);
		store = buf_str(&fallback);
	}
	if (r == 0)
		r = daemon_path(&program, e);
	if (r == 0)
		r = compose(&line, o, buf_str(&program), store, e);
	if (r < 0)
		return r;
	session_unblock_signals();
	execv(buf_str(&program), (char *const *)line.words.data);
	return error_set_errno(e, -errno, "cannot start '%s'", buf_str(&program));
}
