#include "fetch/key.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "fetch/base/controls.h"

#define COMPONENT_MAX 255 /* bytes: NAME_MAX */

/* The length of the UTF-8 sequence at p (RFC 3629), or 0 when there is none. */
static size_t utf8_sequence(const unsigned char *p)
{
	if (p[0] < 0x80)
		return 1;
	size_t len = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	bool overlong = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xf0 && p[1] < 0x90);
	bool surrogate = p[0] == 0xed && p[1] >= 0xa0;
	bool beyond = p[0] == 0xf4 && p[1] >= 0x90;
	return overlong || surrogate || beyond ? 0 : len;
}

static int check_characters(const char *key, struct error *e)
{
	const unsigned char *p = (const unsigned char *)key;
	while (*p) {
		if (control_at((const char *)p, 2)) /* the second may be the NUL */
			return error_set(e, -EINVAL,
				"key '%s' holds a control character", key);
		size_t len = utf8_sequence(p);
		if (!len)
			return error_set(e, -EINVAL, "key '%s' is not UTF-8", key);
		p += len;
	}
	return 0;
}

static int check_component(const char *key, const char *begin, size_t len, struct error *e)
{
	if (!len)
		return error_set(e, -EINVAL,
			"key '%s' begins or ends with '/' or has '//' in it", key);
	if (len > COMPONENT_MAX)
		return error_set(e, -EINVAL,
			"key '%s' has a part of %zu bytes between slashes; the most is %d", key,
			len, COMPONENT_MAX);
	if ((len == 1 && begin[0] == '.') || (len == 2 && !memcmp(begin, "..", 2)))
		return error_set(e, -EINVAL, "key '%s' has '%.*s' as a part", key, (int)len,
			begin);
	return 0;
}

int key_check(const char *key, struct error *e)
{
	size_t len = strlen(key);
	if (!len)
		return error_set(e, -EINVAL, "the key is empty");
	if (len > KEY_MAX)
		return error_set(e, -EINVAL, "key '%.40s...' has %zu bytes; the most is %d",
			key, len, KEY_MAX);
	int r = check_characters(key, e);
	for (const char *begin = key; r == 0;) {
		const char *end = strchrnul(begin, '/');
		r = check_component(key, begin, (size_t)(end - begin), e);
		if (!*end)
			break;
		begin = end + 1;
	}
	if (r == 0 && !strncmp(key, ".larder", 7) && (key[7] == '/' || !key[7]))
		return error_set(e, -EINVAL,
			"key '%s' begins with '.larder', which is Larder's own", key);
	return r;
}
