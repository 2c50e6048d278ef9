#include "fs/mount_words.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "fetch/base/buf.h"
#include "fetch/base/cleanup.h"
#include "fetch/base/vec.h"
#include "fetch/options.h"

#define WORD_MAX (64u << 10) /* bytes */

DEFINE_VEC(string_vec, char *);

/* mount(8)'s own, and what it says of this mount anyway. */
static const char *const passed_over[] = {
	"ro",
	"rw",
	"suid",
	"nosuid",
	"dev",
	"nodev",
	"exec",
	"atime",
	"noatime",
	"relatime",
	"norelatime",
	"strictatime",
	"nostrictatime",
	"diratime",
	"nodiratime",
	"lazytime",
	"nolazytime",
	"sync",
	"async",
	"dirsync",
	"iversion",
	"noiversion",
	"mand",
	"nomand",
	"silent",
	"loud",
	"auto",
	"noauto",
	"user",
	"nouser",
	"users",
	"nousers",
	"owner",
	"noowner",
	"group",
	"nogroup",
	"defaults",
	"-netdev",
	"nofail",
	"default-permissions",
};

static bool is_passed_over(const char *name)
{
	for (size_t i = 0; i < sizeof(passed_over) / sizeof(passed_over[0]); i++)
		if (strcmp(passed_over[i], name) == 0)
			return true;
	return strncasecmp(name, "x-", 2) == 0 || strncmp(name, "comment=", 8) == 0;
}

static bool is_known(const char *name, size_t len)
{
	for (size_t i = 0; i < settings_count; i++)
		if (strlen(settings_table[i].name) == len &&
			memcmp(settings_table[i].name, name, len) == 0)
			return true;
	for (size_t i = 0; i < options_count; i++)
		if ((options_table[i].commands & COMMAND_DAEMON) &&
			strlen(options_table[i].name) == len &&
			memcmp(options_table[i].name, name, len) == 0)
			return true;
	return false;
}

static int push(struct string_vec *v, char *word)
{
	int r = word ? string_vec_push(v, word) : -ENOMEM;
	if (r < 0)
		free(word);
	return r;
}

static void strings_finish(struct string_vec *v)
{
	for (size_t i = 0; i < v->len; i++)
		free(v->data[i]);
	string_vec_finish(v);
}

/* What the mount has besides. */
static bool is_restriction(struct mount_words *w, const char *name)
{
	bool no_exec = strcmp(name, "noexec") == 0;
	bool no_sym_follow = strcmp(name, "nosymfollow") == 0;
	w->no_exec |= no_exec;
	w->no_sym_follow |= no_sym_follow;
	return no_exec || no_sym_follow;
}

/* One of the words between commas, already without its escapes. */
static int take_word(
	struct string_vec *out, struct mount_words *w, char *word, struct error *e)
{
	size_t len = strcspn(word, "=");
	for (size_t i = 0; i < len; i++)
		if (word[i] == '_')
			word[i] = '-';
	if (!*word || is_passed_over(word) || is_restriction(w, word))
		return 0;
	if (!is_known(word, len))
		return error_set(
			e, -EINVAL, "there is no mount option '%.*s'", (int)len, word);
	CLEANUP(buf_finish) struct buf b = BUF_INIT(WORD_MAX);
	int r = buf_printf(&b, "--%s", word);
	return r < 0 ? r : push(out, buf_steal(&b));
}

static int take_list(
	struct string_vec *out, struct mount_words *w, const char *list, struct error *e)
{
	CLEANUP(buf_finish) struct buf word = BUF_INIT(WORD_MAX);
	int r = 0;
	for (const char *p = list; r == 0; p++) {
		if (*p == '\\' && p[1]) {
			r = buf_append(&word, ++p, 1);
		} else if (*p && *p != ',') {
			r = buf_append(&word, p, 1);
		} else {
			r = word.len ? take_word(out, w, word.data, e) : 0;
			buf_clear(&word);
			if (!*p)
				break;
		}
	}
	return r;
}

static int take_argument(struct string_vec *out, struct mount_words *w, int argc,
	char **argv, int *i, struct error *e)
{
	const char *word = argv[*i];
	if (strncmp(word, "-o", 2) != 0)
		return push(out, strdup(word));
	if (word[2])
		return take_list(out, w, word + 2, e);
	if (*i + 1 >= argc)
		return error_set(e, -EINVAL, "option '-o' wants a value");
	return take_list(out, w, argv[++*i], e);
}

static int expand(struct string_vec *out, struct mount_words *w, int argc, char **argv,
	struct error *e)
{
	bool more = true;
	for (int i = 0; i < argc; i++) {
		more = more && strcmp(argv[i], "--") != 0;
		int r = more && i ? take_argument(out, w, argc, argv, &i, e)
				  : push(out, strdup(argv[i]));
		if (r < 0)
			return r;
	}
	return 0;
}

int mount_words_expand(int argc, char **argv, struct mount_words *ret, struct error *e)
{
	CLEANUP(strings_finish) struct string_vec out = {0};
	struct mount_words w = {0};
	int r = expand(&out, &w, argc, argv, e);
	if (r == 0)
		r = string_vec_reserve(&out, out.len + 1);
	if (r < 0)
		return r == -ENOMEM ? error_set_errno(e, r, "cannot read the options")
				    : r;
	out.data[out.len] = NULL;
	w.argc = (int)out.len;
	w.argv = out.data;
	out = (struct string_vec){0};
	*ret = w;
	return 0;
}

void mount_words_finish(struct mount_words *w)
{
	for (int i = 0; i < w->argc; i++)
		free(w->argv[i]);
	free(w->argv);
	*w = (struct mount_words){0};
}
