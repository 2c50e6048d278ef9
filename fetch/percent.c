#include "fetch/percent.h"

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int percent_byte(const char *p)
{
	int high = p[0] == '%' ? hex_digit(p[1]) : -1;
	int low = high < 0 ? -1 : hex_digit(p[2]);
	return low < 0 ? -1 : high << 4 | low;
}
