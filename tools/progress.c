#include "tools/progress.h"

#include <stdio.h>
#include <unistd.h>

#include "fetch/base/call.h"
#include "tools/human.h"

#define REDRAW_NS (NS_PER_SECOND / 10)
#define LINE_NS   (5 * NS_PER_SECOND)

void progress_init(struct progress *p, const char *verb, bool quiet)
{
	uint64_t now = clock_monotonic_ns();
	*p = (struct progress){
		.verb = verb,
		.silent = quiet,
		.terminal = isatty(STDERR_FILENO) == 1,
		.begun_ns = now,
		.shown_ns = now,
	};
}

/* ", 12 MiB/s, 3.1 s left", as far as it is known. */
static void rate_words(const struct progress *p, uint64_t done, uint64_t total,
	uint64_t now, char *ret, size_t size)
{
	double seconds = (double)(now - p->begun_ns) / (double)NS_PER_SECOND;
	double rate = seconds > 0.5 ? (double)done / seconds : 0;
	char speed[HUMAN_SIZE], left[HUMAN_SIZE];
	ret[0] = '\0';
	if (rate < 1)
		return;
	human_bytes((uint64_t)rate, speed);
	int used = snprintf(ret, size, ", %s/s", speed);
	if (total <= done || used < 0)
		return;
	human_duration((uint64_t)((double)(total - done) / rate * (double)NS_PER_SECOND), left);
	snprintf(ret + used, size - (size_t)used, ", %s left", left);
}

void progress_show(struct progress *p, uint64_t done, uint64_t total)
{
	uint64_t now = clock_monotonic_ns();
	if (p->silent || now - p->shown_ns < (p->terminal ? REDRAW_NS : LINE_NS))
		return;
	p->shown_ns = now;
	char have[HUMAN_SIZE], all[HUMAN_SIZE], rate[80];
	human_bytes(done, have);
	human_bytes(total, all);
	rate_words(p, done, total, now, rate, sizeof(rate));
	const char *begin = p->terminal ? "\r\033[K" : "", *end = p->terminal ? "" : "\n";
	if (total)
		fprintf(stderr, "%slarder: %s: %s of %s%s%s", begin, p->verb, have, all, rate,
			end);
	else
		fprintf(stderr, "%slarder: %s: %s%s%s", begin, p->verb, have, rate, end);
	p->drawn = true;
}

void progress_finish(struct progress *p)
{
	if (p->drawn && p->terminal)
		fputs("\r\033[K", stderr);
	p->drawn = false;
}
