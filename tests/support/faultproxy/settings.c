/* SPDX-License-Identifier: Apache-2.0 */
#include "settings.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <strings.h>

#include "relay.h"

#define MS_MAX 3600000.0

bool parse_size(const char *text, uint64_t *ret_value)
{
	unsigned long long value, unit = 1;
	char *end;

	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	value = strtoull(text, &end, 10);
	if (*end == 'k')
		unit = 1000;
	else if (*end == 'M')
		unit = 1000000;
	else if (*end == 'G')
		unit = 1000000000;
	if (errno || end[*end != '\0' && unit > 1] || value > UINT64_MAX / unit)
		return false;
	*ret_value = value * unit;
	return true;
}

bool parse_ms(const char *text, uint64_t *ret_ns)
{
	char *end;
	double value;

	if (!isdigit((unsigned char)*text) && *text != '.')
		return false;
	value = strtod(text, &end);
	if (*end || end == text || !(value >= 0 && value <= MS_MAX))
		return false;
	*ret_ns = (uint64_t)llround(value * 1e6);
	return true;
}

void set_total_rate(struct proxy *proxy, uint64_t rate)
{
	link_set_rate(&proxy->total_up, rate);
	link_set_rate(&proxy->total_down, rate);
}

bool set_profile(struct proxy *proxy, const char *name)
{
	static const struct {
		const char *name;
		uint64_t rtt_ms, rate, total;
	} profiles[] = {
		{"none", 0, 0, 0},
		{"lan", 1, 0, 0},
		{"cloud", 20, 90000000, 625000000},
		{"wan", 60, 20000000, 60000000},
	};

	for (size_t i = 0; i < sizeof(profiles) / sizeof(*profiles); i++) {
		if (strcasecmp(profiles[i].name, name))
			continue;
		proxy->rtt = profiles[i].rtt_ms * NS_PER_MS;
		proxy->conn_rate = profiles[i].rate;
		set_total_rate(proxy, profiles[i].total);
		return true;
	}
	return false;
}
