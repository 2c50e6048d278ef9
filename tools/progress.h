/*
 * Progress on standard error: one line redrawn on a terminal, a line every five seconds
 * elsewhere, nothing with --quiet. One thread at a time.
 */
#ifndef LARDER_TOOLS_PROGRESS_H
#define LARDER_TOOLS_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
	const char *verb; /* "packing": borrowed */
	bool silent;
	bool terminal;
	bool drawn;
	uint64_t begun_ns;
	uint64_t shown_ns; /* when a line was written last */
};

void progress_init(struct progress *p, const char *verb, bool quiet);

/* Says that `done` of `total` bytes are through (total 0: unknown), when it is time to. */
void progress_show(struct progress *p, uint64_t done, uint64_t total);

/* Clears the line on a terminal, so that the result can follow. */
void progress_finish(struct progress *p);

#endif
