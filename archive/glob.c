#include "archive/glob.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct pattern {
	char *text; /* owned */
	bool whole_path;
	bool directories_only;
};

struct glob_set {
	size_t count;
	struct pattern patterns[];
};

/* A character's number; bytes that are no UTF-8 get numbers of their own above it. */
#define NO_UTF8 UINT32_C(0x110000)

static uint32_t decode(const char *text, size_t *ret_len)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t len = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : p[0] >= 0xc2 ? 2 : 1;
	uint32_t c = len == 1 ? p[0] : p[0] & (0xffu >> (len + 1));
	bool whole = p[0] < 0x80 || (p[0] >= 0xc2 && p[0] <= 0xf4);
	for (size_t i = 1; whole && i < len; i++) {
		whole = (p[i] & 0xc0) == 0x80;
		c = c << 6 | (p[i] & 0x3f);
	}
	*ret_len = whole ? len : 1;
	return whole ? c : NO_UTF8 + p[0];
}

/* A set's member at *p, which moves behind it. */
static uint32_t take_member(const char **p)
{
	if (**p == '\\' && (*p)[1])
		++*p;
	size_t len;
	uint32_t c = decode(*p, &len);
	*p += len;
	return c;
}

/* The end of the set that begins at p ('['), or NULL when it has none. */
static const char *find_set_end(const char *p)
{
	p++;
	if (*p == '!' || *p == '^')
		p++;
	for (bool first = true; *p && (first || *p != ']'); first = false)
		take_member(&p);
	return *p ? p : NULL;
}

static bool in_set(const char *set, const char *end, uint32_t c)
{
	const char *p = set + 1;
	bool negated = *p == '!' || *p == '^';
	p += negated;
	bool found = false;
	while (p < end) {
		uint32_t low = take_member(&p), high = low;
		if (*p == '-' && p + 1 < end) {
			p++;
			high = take_member(&p);
		}
		found = found || (low <= c && c <= high);
	}
	return found != negated;
}

/* Matches one element of the pattern that is no star with one character. */
static bool match_one(const char **pattern, const char **text)
{
	const char *p = *pattern;
	const char *end = *p == '[' ? find_set_end(p) : NULL;
	size_t len;
	uint32_t c = decode(*text, &len);
	bool matched;
	if (end) {
		matched = c != '/' && in_set(p, end, c);
		p = end + 1;
	} else if (*p == '?') {
		matched = c != '/';
		p++;
	} else {
		p += *p == '\\' && p[1];
		matched = *p && *p == **text;
		p++;
		len = 1;
	}
	if (matched) {
		*pattern = p;
		*text += len;
	}
	return matched;
}

/* Where to go on when what follows a star did not match: with one more character taken
 * by the star, or (for a leading "**" + "/") one more directory. */
struct resume {
	const char *pattern; /* NULL: no such star */
	const char *text;
	bool slashes;     /* may take '/' */
	bool directories; /* takes whole directories */
};

static bool resume_at(struct resume *s, const char **pattern, const char **text)
{
	if (!s->pattern || !*s->text)
		return false;
	if (s->directories) {
		const char *slash = strchr(s->text, '/');
		if (!slash)
			return false;
		s->text = slash;
	} else if (*s->text == '/' && !s->slashes) {
		return false;
	}
	size_t len;
	decode(s->text, &len);
	s->text += len;
	*pattern = s->pattern;
	*text = s->text;
	return true;
}

static struct resume take_stars(const char *begin, const char **pattern, const char *text)
{
	const char *p = *pattern;
	bool at_start = p == begin || p[-1] == '/';
	struct resume s = {.text = text, .slashes = p[1] == '*'};
	while (*p == '*')
		p++;
	s.directories = s.slashes && at_start && *p == '/';
	p += s.directories;
	s.pattern = *pattern = p;
	return s;
}

static struct resume steal_resume(struct resume *s)
{
	struct resume stolen = *s;
	*s = (struct resume){0};
	return stolen;
}

bool glob_match(const char *pattern, const char *text)
{
	struct resume star = {0}, stars = {0};
	const char *p = pattern, *t = text;
	while (*t || *p) {
		if (*p == '*') {
			star = take_stars(pattern, &p, t);
			if (star.slashes)
				stars = steal_resume(&star);
			continue;
		}
		if (*t && match_one(&p, &t))
			continue;
		if (resume_at(&star, &p, &t))
			continue;
		if (!resume_at(&stars, &p, &t))
			return false;
		star = (struct resume){0};
	}
	return true;
}

/* Fills in p from one line; its text is a part of the line's copy. */
static int read_pattern(struct pattern *p, const char *line)
{
	if (!strncmp(line, "./", 2))
		line++;
	bool from_top = line[0] == '/';
	p->text = strdup(line + from_top);
	if (!p->text)
		return -ENOMEM;
	size_t len = strlen(p->text);
	if (len && p->text[len - 1] == '/') {
		p->directories_only = true;
		p->text[len - 1] = '\0';
	}
	p->whole_path = from_top || strchr(p->text, '/');
	return 0;
}

int glob_set_new(const char *const *lines, struct glob_set **ret)
{
	size_t count = 0;
	while (lines && lines[count])
		count++;
	CLEANUP(cleanup_glob_set)
	struct glob_set *set = calloc(1, sizeof(*set) + count * sizeof(set->patterns[0]));
	if (!set)
		return -ENOMEM;
	for (; set->count < count; set->count++) {
		int r = read_pattern(&set->patterns[set->count], lines[set->count]);
		if (r < 0)
			return r;
	}
	*ret = steal_pointer(set);
	return 0;
}

void glob_set_free(struct glob_set *set)
{
	if (!set)
		return;
	for (size_t i = 0; i < set->count; i++)
		free(set->patterns[i].text);
	free(set);
}

bool glob_set_matches(const struct glob_set *set, const char *path, bool is_directory)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	for (size_t i = 0; i < set->count; i++) {
		const struct pattern *p = &set->patterns[i];
		if (p->directories_only && !is_directory)
			continue;
		if (glob_match(p->text, p->whole_path ? path : name))
			return true;
	}
	return false;
}
