#include "tools/human.h"

#include <stdio.h>

#include "fetch/base/call.h"

void human_bytes(uint64_t bytes, char ret[static HUMAN_SIZE])
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double value = (double)bytes;
	unsigned unit = 0;
	while (value >= 1023.5 && unit < 6) {
		value /= 1024;
		unit++;
	}
	snprintf(ret, HUMAN_SIZE, unit && value < 9.95 ? "%.1f %s" : "%.0f %s", value,
		units[unit]);
}

void human_age(int64_t seconds, char ret[static HUMAN_SIZE])
{
	if (seconds < 1)
		snprintf(ret, HUMAN_SIZE, "now");
	else if (seconds < 60)
		snprintf(ret, HUMAN_SIZE, "%d s", (int)seconds);
	else if (seconds < 3600)
		snprintf(ret, HUMAN_SIZE, "%d min", (int)(seconds / 60));
	else if (seconds < 2 * 86400)
		snprintf(ret, HUMAN_SIZE, "%d h", (int)(seconds / 3600));
	else
		snprintf(ret, HUMAN_SIZE, "%lld d", (long long)(seconds / 86400));
}

void human_duration(uint64_t ns, char ret[static HUMAN_SIZE])
{
	double seconds = (double)ns / (double)NS_PER_SECOND;
	if (seconds < 10)
		snprintf(ret, HUMAN_SIZE, "%.2f s", seconds);
	else if (seconds < 120)
		snprintf(ret, HUMAN_SIZE, "%.1f s", seconds);
	else
		snprintf(ret, HUMAN_SIZE, "%d min %d s", (int)(seconds / 60),
			(int)seconds % 60);
}
