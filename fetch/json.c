#include "fetch/json.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "fetch/base/bytes.h"

/* What is still to be read, and how deep it is nested. */
struct reader {
	const char *p, *end;
	unsigned depth;
};

/* Where a decoded string goes; data NULL: it is only checked. */
struct sink {
	char *data;
	size_t size, len; /* bytes; len may pass size */
};

/* What a member's value looks like in the text. */
struct slice {
	const char *begin, *end;
};

static int skip_value(struct reader *r);

static void skip_space(struct reader *r)
{
	while (r->p < r->end && strchr(" \t\r\n", *r->p) && *r->p)
		r->p++;
}

/* Takes c when it comes next. */
static bool take(struct reader *r, char c)
{
	if (r->p >= r->end || *r->p != c)
		return false;
	r->p++;
	return true;
}

static bool take_word(struct reader *r, const char *word)
{
	size_t len = strlen(word);
	if ((size_t)(r->end - r->p) < len || memcmp(r->p, word, len) != 0)
		return false;
	r->p += len;
	return true;
}

/* --- strings ----------------------------------------------------------------------- */

static void put(struct sink *s, unsigned c)
{
	if (s->data && s->len < s->size)
		s->data[s->len] = (char)c;
	s->len++;
}

/* UTF-8 (RFC 3629). */
static void put_code_point(struct sink *s, unsigned c)
{
	if (c < 0x80) {
		put(s, c);
	} else if (c < 0x800) {
		put(s, 0xc0 | c >> 6);
		put(s, 0x80 | (c & 0x3f));
	} else if (c < 0x10000) {
		put(s, 0xe0 | c >> 12);
		put(s, 0x80 | (c >> 6 & 0x3f));
		put(s, 0x80 | (c & 0x3f));
	} else {
		put(s, 0xf0 | c >> 18);
		put(s, 0x80 | (c >> 12 & 0x3f));
		put(s, 0x80 | (c >> 6 & 0x3f));
		put(s, 0x80 | (c & 0x3f));
	}
}

/* Four hexadecimal digits. */
static int read_unit(struct reader *r, unsigned *ret)
{
	unsigned unit = 0;
	if (r->end - r->p < 4)
		return -EBADMSG;
	for (int i = 0; i < 4; i++) {
		int digit = hex_value(*r->p++);
		if (digit < 0)
			return -EBADMSG;
		unit = unit << 4 | (unsigned)digit;
	}
	*ret = unit;
	return 0;
}

/* What follows "\u". Half a surrogate pair is no character, and NUL no part of a C
 * string. */
static int read_code_point(struct reader *r, struct sink *s)
{
	unsigned c, low;
	if (read_unit(r, &c) < 0 || c == 0 || (c >= 0xdc00 && c <= 0xdfff))
		return -EBADMSG;
	if (c >= 0xd800 && c <= 0xdbff) {
		if (!take_word(r, "\\u") || read_unit(r, &low) < 0 || low < 0xdc00 ||
			low > 0xdfff)
			return -EBADMSG;
		c = 0x10000 + ((c & 0x3ff) << 10 | (low & 0x3ff));
	}
	put_code_point(s, c);
	return 0;
}

/* What follows a backslash. */
static int read_escape(struct reader *r, struct sink *s)
{
	static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
	if (take(r, 'u'))
		return read_code_point(r, s);
	const char *name = r->p < r->end && *r->p ? strchr(names, *r->p) : NULL;
	if (!name)
		return -EBADMSG;
	r->p++;
	put(s, (unsigned char)values[name - names]);
	return 0;
}

static int read_string(struct reader *r, struct sink *s)
{
	if (!take(r, '"'))
		return -EBADMSG;
	while (r->p < r->end) {
		unsigned char c = (unsigned char)*r->p++;
		if (c == '"')
			return 0;
		if (c < 0x20)
			return -EBADMSG;
		if (c != '\\')
			put(s, c);
		else if (read_escape(r, s) < 0)
			return -EBADMSG;
	}
	return -EBADMSG;
}

static int skip_string(struct reader *r)
{
	return read_string(r, &(struct sink){0});
}

/* --- other values ------------------------------------------------------------------ */

static bool skip_digits(struct reader *r)
{
	const char *begin = r->p;
	while (r->p < r->end && *r->p >= '0' && *r->p <= '9')
		r->p++;
	return r->p > begin;
}

static int skip_number(struct reader *r)
{
	take(r, '-');
	if (!take(r, '0') && !skip_digits(r))
		return -EBADMSG;
	if (take(r, '.') && !skip_digits(r))
		return -EBADMSG;
	if (take(r, 'e') || take(r, 'E')) {
		if (!take(r, '+'))
			take(r, '-');
		if (!skip_digits(r))
			return -EBADMSG;
	}
	return 0;
}

static int skip_array(struct reader *r)
{
	skip_space(r);
	if (take(r, ']'))
		return 0;
	do {
		if (skip_value(r) < 0)
			return -EBADMSG;
		skip_space(r);
	} while (take(r, ','));
	return take(r, ']') ? 0 : -EBADMSG;
}

static bool is_name(const struct sink *s, const char *name)
{
	return s->len == strlen(name) && s->len <= s->size &&
	       !memcmp(s->data, name, s->len);
}

/* The members behind a '{'. The value of the one called `name` goes to *ret, whose begin
 * stays NULL when there is none; name NULL: they are only checked. */
static int read_members(struct reader *r, const char *name, struct slice *ret)
{
	skip_space(r);
	if (take(r, '}'))
		return 0;
	do {
		char text[64];
		struct sink s = {.data = text, .size = sizeof(text)};
		skip_space(r);
		if (read_string(r, &s) < 0)
			return -EBADMSG;
		skip_space(r);
		if (!take(r, ':'))
			return -EBADMSG;
		skip_space(r);
		const char *begin = r->p;
		if (skip_value(r) < 0)
			return -EBADMSG;
		if (name && is_name(&s, name)) {
			if (ret->begin)
				return -EBADMSG;
			*ret = (struct slice){begin, r->p};
		}
		skip_space(r);
	} while (take(r, ','));
	return take(r, '}') ? 0 : -EBADMSG;
}

static int skip_nested(struct reader *r)
{
	if (r->depth == JSON_DEPTH_MAX)
		return -EBADMSG;
	r->depth++;
	int result = take(r, '{')   ? read_members(r, NULL, NULL)
		     : take(r, '[') ? skip_array(r)
				    : -EBADMSG;
	r->depth--;
	return result;
}

static int skip_value(struct reader *r)
{
	skip_space(r);
	if (r->p >= r->end)
		return -EBADMSG;
	switch (*r->p) {
	case '{':
	case '[':
		return skip_nested(r);
	case '"':
		return skip_string(r);
	case 't':
		return take_word(r, "true") ? 0 : -EBADMSG;
	case 'f':
		return take_word(r, "false") ? 0 : -EBADMSG;
	case 'n':
		return take_word(r, "null") ? 0 : -EBADMSG;
	default:
		return skip_number(r);
	}
}

/* --- look-ups ---------------------------------------------------------------------- */

static int find_member(const char *text, size_t len, const char *name, struct slice *ret)
{
	struct reader r = {.p = text, .end = text + len, .depth = 1};
	struct slice found = {0};
	skip_space(&r);
	if (!take(&r, '{') || read_members(&r, name, &found) < 0)
		return -EBADMSG;
	skip_space(&r);
	if (r.p != r.end)
		return -EBADMSG;
	if (!found.begin || *found.begin == 'n')
		return -ENOENT;
	*ret = found;
	return 0;
}

int json_get_string(
	const char *text, size_t len, const char *name, char *ret, size_t size)
{
	struct slice value;
	int r = find_member(text, len, name, &value);
	if (r < 0)
		return r;
	struct sink measured = {0};
	if (read_string(&(struct reader){value.begin, value.end, 0}, &measured) < 0)
		return -EBADMSG;
	if (measured.len >= size)
		return -EMSGSIZE;
	struct sink s = {.data = ret, .size = size};
	read_string(&(struct reader){value.begin, value.end, 0}, &s);
	ret[s.len] = '\0';
	return 0;
}

int json_get_integer(const char *text, size_t len, const char *name, int64_t *ret)
{
	struct slice value;
	int r = find_member(text, len, name, &value);
	if (r < 0)
		return r;
	bool negative = *value.begin == '-';
	int64_t n = 0;
	for (const char *p = value.begin + negative; p < value.end; p++) {
		int digit = *p >= '0' && *p <= '9' ? *p - '0' : -1;
		if (digit < 0 || __builtin_mul_overflow(n, 10, &n) ||
			__builtin_add_overflow(n, negative ? -digit : digit, &n))
			return -EBADMSG;
	}
	*ret = n;
	return 0;
}
