#include "fetch/base/controls.h"

#include <string.h>

size_t control_at(const char *text, size_t len)
{
	const unsigned char *p = (const unsigned char *)text;
	if (p[0] < 0x20 || p[0] == 0x7f)
		return 1;
	return p[0] == 0xc2 && len > 1 && p[1] >= 0x80 && p[1] < 0xa0 ? 2 : 0;
}

void controls_blot(char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		memset(text + i, '?', control_at(text + i, len - i));
}
