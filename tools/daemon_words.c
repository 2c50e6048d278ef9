#include "tools/daemon_words.h"

#include <errno.h>
#include <stdlib.h>

#include "fetch/base/buf.h"
#include "fetch/base/cleanup.h"
#include "fetch/store_url.h"
#include "tools/session.h"

#define COMMAND_LINE_MAX (256u << 10) /* bytes of all words together */

void daemon_words_finish(struct daemon_words *l)
{
	for (size_t i = 0; i < l->made.len; i++)
		free((char *)l->made.data[i]);
	word_vec_finish(&l->made);
	word_vec_finish(&l->words);
}

/* Adds a word of our own making. */
static int add_made(struct daemon_words *l, struct buf *word)
{
	int r = word_vec_push(&l->made, word->data);
	return r < 0 ? r : word_vec_push(&l->words, buf_steal(word));
}

/* Adds --name or --name=value. */
static int add(struct daemon_words *l, const char *name, const char *value)
{
	CLEANUP(buf_finish) struct buf b = BUF_INIT(COMMAND_LINE_MAX);
	int r = buf_printf(&b, value ? "--%s=%s" : "--%s", name, value);
	return r < 0 ? r : add_made(l, &b);
}

static int add_option(
	struct daemon_words *l, const struct options *o, const struct option_info *info)
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
static int add_settings(struct daemon_words *l, const struct options *o)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < o->setting_words.len; i += 2)
		r = add(l, o->setting_words.data[i], o->setting_words.data[i + 1]);
	return r;
}

static int add_store(struct daemon_words *l, const struct options *o, struct error *e)
{
	CLEANUP(buf_finish) struct buf fallback = BUF_INIT(STORE_URL_MAX);
	if (session_store_given(o, 2))
		return word_vec_push(&l->words, o->arguments.data[0]);
	int r = store_url_default(&fallback, e);
	return r < 0 ? r : add_made(l, &fallback);
}

static int compose(struct daemon_words *l, const char *program, const struct options *o,
	const char *mountpoint, struct error *e)
{
	int r = word_vec_push(&l->words, program);
	for (size_t i = 0; r == 0 && i < options_count; i++)
		if (options_table[i].commands & COMMAND_DAEMON)
			r = add_option(l, o, &options_table[i]);
	if (r == 0)
		r = add_settings(l, o);
	if (r == 0)
		r = word_vec_push(&l->words, "--");
	if (r == 0)
		r = add_store(l, o, e);
	if (r == 0)
		r = word_vec_push(&l->words, mountpoint);
	return r < 0 ? r : word_vec_push(&l->words, NULL);
}

int daemon_words_make(struct daemon_words *ret, const char *program,
	const struct options *o, const char *mountpoint, struct error *e)
{
	int r = compose(ret, program, o, mountpoint, e);
	if (r == -ENOMEM || r == -EMSGSIZE)
		return error_set_errno(e, r, "cannot compose larderfs's arguments");
	return r;
}
