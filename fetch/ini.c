#include "fetch/ini.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "fetch/secret.h"

struct parser {
	const char *name;
	unsigned line;       /* from 1 */
	const char *section; /* NULL: none began yet */
	bool nested;         /* the last property has properties */
	char *value_end;     /* the NUL of the last property's value */
	struct ini ini;      /* owned */
	struct error *e;
};

static int fault(struct parser *p, const char *what)
{
	return error_set(p->e, -EINVAL, "line %u of '%s' %s", p->line, p->name, what);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static char *skip_blanks(char *s)
{
	while (is_blank(*s))
		s++;
	return s;
}

/* Ends the text behind its last character that is no blank. */
static void trim_end(char *s)
{
	size_t len = strlen(s);
	while (len && (is_blank(s[len - 1]) || s[len - 1] == '\r'))
		len--;
	s[len] = '\0';
}

/* A comment behind a value stands behind a blank: what has none before it is part of the
 * value. There is always a character before s, the key's separator or a blank. */
static void cut_comment(char *s)
{
	while (*s && !((*s == '#' || *s == ';') && is_blank(s[-1])))
		s++;
	*s = '\0';
}

static int push(struct parser *p, const char *key, const char *subkey, char *value)
{
	int r = ini_entries_push(
		&p->ini.entries, (struct ini_entry){.section = p->section,
					 .key = key,
					 .subkey = subkey,
					 .value = value});
	if (r == -E2BIG)
		return error_set(p->e, -EFBIG, "'%s' has more than %d properties",
			p->name, INI_ENTRIES_MAX);
	return r < 0 ? error_set_errno(p->e, r, "cannot read '%s'", p->name) : 0;
}

/* A run of blanks counts as one; quotes, which keep them, are taken off. */
static void tidy_section(char *name)
{
	char quote = '\0', *out = name;
	for (const char *in = name; *in; in++) {
		bool opens = !quote && (*in == '"' || *in == '\'');
		if (opens || (quote && *in == quote))
			quote = opens ? *in : '\0';
		else if (quote || !is_blank(*in))
			*out++ = *in;
		else if (out > name && !is_blank(in[1]) && in[1])
			*out++ = ' ';
	}
	*out = '\0';
}

static int read_section(struct parser *p, char *line)
{
	char *end = strchr(line, ']');
	if (!end)
		return fault(p, "lacks a ']'");
	char *rest = skip_blanks(end + 1);
	if (*rest && *rest != '#' && *rest != ';')
		return fault(p, "goes on behind its ']'");
	*end = '\0';
	tidy_section(line + 1);
	p->section = line + 1;
	p->nested = false;
	return *p->section ? 0 : fault(p, "names no section");
}

/* Cuts "key = value" in two. */
static int split_property(struct parser *p, char *line, char **ret_value)
{
	size_t len = strcspn(line, "=:");
	bool split = line[len] != '\0';
	line[len] = '\0';
	trim_end(line);
	if (!split || !*line)
		return fault(p, "is not 'name = value'");
	*ret_value = skip_blanks(line + len + 1);
	cut_comment(*ret_value);
	trim_end(*ret_value);
	return 0;
}

static int read_property(struct parser *p, char *line)
{
	char *value;
	if (!p->section)
		return fault(p, "stands before any [section]");
	int r = split_property(p, line, &value);
	if (r < 0)
		return r;
	p->nested = false;
	p->value_end = value + strlen(value);
	return push(p, line, NULL, value);
}

static struct ini_entry *last_entry(struct parser *p)
{
	struct ini_entries *v = &p->ini.entries;
	return v->len ? &v->data[v->len - 1] : NULL;
}

static int read_nested(struct parser *p, const char *key, char *line)
{
	char *value;
	int r = split_property(p, line, &value);
	p->nested = true;
	return r < 0 ? r : push(p, key, line, value);
}

/* The line lies behind the value in the same text, so there is room to join them. */
static void continue_value(struct parser *p, char *line)
{
	cut_comment(line);
	trim_end(line);
	size_t len = strlen(line);
	*p->value_end++ = '\n';
	memmove(p->value_end, line, len + 1);
	p->value_end += len;
}

static int read_indented(struct parser *p, char *line)
{
	struct ini_entry *last = last_entry(p);
	if (!last || last->section != p->section)
		return read_property(p, line);
	if (p->nested || !*last->value)
		return read_nested(p, last->key, line);
	continue_value(p, line);
	return 0;
}

static int read_line(struct parser *p, char *line)
{
	char *text = skip_blanks(line);
	trim_end(text);
	if (!*text || *text == '#' || *text == ';')
		return 0;
	if (text == line && *text == '[')
		return read_section(p, text);
	return text > line ? read_indented(p, text) : read_property(p, text);
}

static int read_lines(struct parser *p, char *text)
{
	int r = 0;
	while (r == 0 && text) {
		char *line = text;
		p->line++;
		text = strchr(line, '\n');
		if (text)
			*text++ = '\0';
		r = read_line(p, line);
	}
	return r;
}

/* Takes the text over. */
static int parse_text(
	const char *name, char *text, size_t len, struct ini *ret, struct error *e)
{
	struct parser p = {.name = name, .e = e};
	p.ini = (struct ini){.text = text, .entries.max = INI_ENTRIES_MAX};
	bool marked = len >= 3 && !memcmp(text, "\xef\xbb\xbf", 3);
	int r = strlen(text) == len
			? read_lines(&p, marked ? text + 3 : text)
			: error_set(e, -EINVAL, "'%s' is not a text file", name);
	if (r < 0) {
		ini_finish(&p.ini);
		return r;
	}
	*ret = p.ini;
	return 0;
}

static int too_large(const char *name, struct error *e)
{
	return error_set(e, -EFBIG, "'%s' has more than %u bytes", name, INI_TEXT_MAX);
}

int ini_parse(
	const char *name, const char *data, size_t len, struct ini *ret, struct error *e)
{
	if (len > INI_TEXT_MAX)
		return too_large(name, e);
	char *text = secret_new(len + 1);
	if (!text)
		return error_set_errno(e, -ENOMEM, "cannot read '%s'", name);
	if (len)
		memcpy(text, data, len);
	return parse_text(name, text, len, ret, e);
}

int ini_load(const char *path, struct ini *ret, struct error *e)
{
	char *text;
	size_t len;
	int r = secret_read_file(path, INI_TEXT_MAX, &text, &len);
	if (r == -EFBIG)
		return too_large(path, e);
	if (r < 0)
		return error_set_errno(e, r, "cannot read '%s'", path);
	return parse_text(path, text, len, ret, e);
}

void ini_finish(struct ini *ini)
{
	if (!ini)
		return;
	ini_entries_finish(&ini->entries);
	secret_free(ini->text);
	ini->text = NULL;
}

static bool same_subkey(const char *a, const char *b)
{
	return a && b ? !strcasecmp(a, b) : a == b;
}

/* Is it "kind name", or name alone where kind is ""? */
static bool is_section(const char *section, const char *kind, const char *name)
{
	size_t len = strlen(kind);
	if (len == 0)
		return !strcmp(section, name);
	return !strncmp(section, kind, len) && section[len] == ' ' &&
	       !strcmp(section + len + 1, name);
}

const char *ini_get_of(const struct ini *ini, const char *kind, const char *name,
	const char *key, const char *subkey)
{
	for (size_t i = ini->entries.len; i-- > 0;) {
		const struct ini_entry *entry = &ini->entries.data[i];
		if (is_section(entry->section, kind, name) &&
			!strcasecmp(entry->key, key) &&
			same_subkey(entry->subkey, subkey))
			return entry->value;
	}
	return NULL;
}

const char *ini_get(
	const struct ini *ini, const char *section, const char *key, const char *subkey)
{
	return ini_get_of(ini, "", section, key, subkey);
}
