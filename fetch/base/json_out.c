#include "fetch/base/json_out.h"

#include <stdbool.h>
#include <string.h>

#include "fetch/base/controls.h"

/* The length of the valid UTF-8 sequence (RFC 3629) at p, of at most left bytes; else 0. */
static size_t sequence(const unsigned char *p, size_t left)
{
	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	size_t len = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	if (len > left)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	bool wrong = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] >= 0xa0) ||
		(p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] >= 0x90);
	return wrong ? 0 : len;
}

void json_string_n(FILE *out, const char *text, size_t len)
{
	const unsigned char *p = (const unsigned char *)text;
	putc('"', out);
	while (len) {
		size_t n = sequence(p, len);
		if (!n)
			fputs("\xef\xbf\xbd", out);
		else if (*p == '"' || *p == '\\')
			fprintf(out, "\\%c", *p);
		else if (control_at((const char *)p, n))
			fprintf(out, "\\u%04x", p[n - 1]); /* the code point in both forms */
		else
			fwrite(p, 1, n, out);
		p += n ? n : 1;
		len -= n ? n : 1;
	}
	putc('"', out);
}

void json_string(FILE *out, const char *text)
{
	json_string_n(out, text, strlen(text));
}
