#include "fetch/percent.h"

#include "fetch/base/bytes.h"

int percent_byte(const char *p)
{
	int high = p[0] == '%' ? hex_value(p[1]) : -1;
	int low = high < 0 ? -1 : hex_value(p[2]);
	return low < 0 ? -1 : high << 4 | low;
}
