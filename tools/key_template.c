#include "tools/key_template.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "fetch/base/cleanup.h"

#define WORD_MAX 4096 /* bytes of one argument */

/* One {{ function "argument" ... }}, taken apart. */
struct action {
	char name[32];
	char *args[KEY_TEMPLATE_ARGS]; /* owned */
	size_t count;
};

static void action_finish(struct action *a)
{
	for (size_t i = 0; i < a->count; i++)
		free(a->args[i]);
}

static const char *skip_space(const char *p)
{
	while (isspace((unsigned char)*p))
		p++;
	return p;
}

static int parse_name(const char **p, struct action *a, struct error *e)
{
	size_t len = strspn(*p, "abcdefghijklmnopqrstuvwxyz_");
	if (!len || len >= sizeof(a->name))
		return error_set(e, -EINVAL,
			"the key template has no function name at '%.20s'", *p);
	memcpy(a->name, *p, len);
	a->name[len] = '\0';
	*p += len;
	return 0;
}

/* A quoted argument; *p is at its opening quote. */
static int parse_argument(const char **p, struct action *a, struct error *e)
{
	if (a->count == KEY_TEMPLATE_ARGS)
		return error_set(e, -EINVAL,
			"'%s' in the key template has more than %d arguments", a->name,
			KEY_TEMPLATE_ARGS);
	CLEANUP(buf_finish) struct buf word = BUF_INIT(WORD_MAX);
	const char quote = *(*p)++;
	int r = buf_append_str(&word, "");
	while (r == 0 && **p && **p != quote) {
		if (quote == '"' && **p == '\\' && ((*p)[1] == '"' || (*p)[1] == '\\'))
			(*p)++;
		r = buf_append(&word, (*p)++, 1);
	}
	if (r < 0)
		return error_set(e, r, "an argument of '%s' in the key template is too long",
			a->name);
	if (!**p)
		return error_set(e, -EINVAL,
			"the key template has a quote that is not closed after '%s'", a->name);
	(*p)++;
	a->args[a->count++] = buf_steal(&word);
	return 0;
}

/* *p is behind the opening braces, and is left behind the closing ones. */
static int parse_action(const char **p, struct action *a, struct error *e)
{
	*p = skip_space(*p);
	int r = parse_name(p, a, e);
	while (r == 0) {
		*p = skip_space(*p);
		if (!strncmp(*p, "}}", 2)) {
			*p += 2;
			return 0;
		}
		if (**p == '"' || **p == '\'')
			r = parse_argument(p, a, e);
		else
			r = error_set(e, -EINVAL,
				"the key template wants a quoted argument or '}}' "
				"%s'%.20s'",
				**p ? "at " : "after ", **p ? *p : a->name);
	}
	return r;
}

static int expand_env(const struct action *a, const struct key_facts *facts,
	struct buf *ret, struct error *e)
{
	const char *value = facts->variable(facts->arg, a->args[0]);
	if (!value && a->count == 2)
		value = a->args[1];
	if (!value)
		return error_set(e, -EINVAL,
			"the key template asks for the variable '%s', which is not set",
			a->args[0]);
	return buf_append_str(ret, value);
}

static int expand_checksum(const struct action *a, const struct key_facts *facts,
	struct buf *ret, struct error *e)
{
	return facts->checksum(facts->arg, (const char *const *)a->args, a->count, ret, e);
}

static int expand_os(const struct action *a, const struct key_facts *facts,
	struct buf *ret, struct error *e)
{
	return buf_append_str(ret, facts->os);
}

static int expand_arch(const struct action *a, const struct key_facts *facts,
	struct buf *ret, struct error *e)
{
	return buf_append_str(ret, facts->arch);
}

static int expand_epoch(const struct action *a, const struct key_facts *facts,
	struct buf *ret, struct error *e)
{
	return buf_printf(ret, "%lld", (long long)facts->now_s);
}

static const struct function {
	const char *name;
	size_t least, most; /* arguments */
	int (*expand)(const struct action *a, const struct key_facts *facts,
		struct buf *ret, struct error *e);
} functions[] = {
	{ "arch", 0, 0, expand_arch },
	{ "checksum", 1, KEY_TEMPLATE_ARGS, expand_checksum },
	{ "env", 1, 2, expand_env },
	{ "epoch", 0, 0, expand_epoch },
	{ "os", 0, 0, expand_os },
};

static int run_action(const struct action *a, const struct key_facts *facts,
	struct buf *ret, struct error *e)
{
	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
		const struct function *f = &functions[i];
		if (strcmp(f->name, a->name))
			continue;
		if (a->count < f->least || a->count > f->most)
			return error_set(e, -EINVAL,
				"'%s' in the key template does not take %zu arguments",
				a->name, a->count);
		return f->expand(a, facts, ret, e);
	}
	return error_set(e, -EINVAL,
		"the key template knows no '%s'; there are arch, checksum, env, epoch and os",
		a->name);
}

static int expand_one(const char **p, const struct key_facts *facts, struct buf *ret,
	struct error *e)
{
	CLEANUP(action_finish) struct action a = { 0 };
	int r = parse_action(p, &a, e);
	return r < 0 ? r : run_action(&a, facts, ret, e);
}

int key_template_expand(const char *template, const struct key_facts *facts,
	struct buf *ret, struct error *e)
{
	int r = 0;
	for (const char *p = template; r == 0 && *p;) {
		const char *open = strstr(p, "{{");
		size_t plain = open ? (size_t)(open - p) : strlen(p);
		r = buf_append(ret, p, plain);
		p += plain;
		if (r == 0 && open) {
			p += 2;
			r = expand_one(&p, facts, ret, e);
		}
	}
	if (r == -EMSGSIZE)
		return error_set(e, r, "the key that '%s' stands for is longer than %zu bytes",
			template, ret->max);
	return r;
}
