/*
 * The numbers of a mount as OpenMetrics text, in a file that is kept up to date.
 *
 * The format is OpenMetrics 1.0's text (https://openmetrics.io): families with TYPE, UNIT
 * and HELP, their samples together, "# EOF" last. A reader never sees half a file: each
 * version is written beside it and renamed over it. That is done to a regular file only,
 * for a symlink to what it names: whatever else has the name is left as it is.
 */
#ifndef LARDER_FS_METRICS_H
#define LARDER_FS_METRICS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "fetch/base/error.h"
#include "fetch/base/ticker.h"
#include "fs/larderfs.h"

#define METRICS_INTERVAL_NS (5 * NS_PER_SECOND)

/* malloc()ed text for the caller, not NUL-terminated. 0, -ENOMEM. */
int metrics_text(struct larderfs *l, char **ret, size_t *ret_len);

struct metrics_file {
	struct larderfs *fs; /* borrowed; NULL: not started */
	char path[PATH_MAX]; /* absolute, as a daemon leaves its directory; no symlink */
	bool failed;         /* the last writing did: said once */
	struct ticker ticker;
};

/* Before the mount: can path be written so? 0, or -EINVAL with a sentence. */
int metrics_file_check(const char *path, struct error *e);

/* Writes the file for the first time, and then every METRICS_INTERVAL_NS on a thread of
 * its own. A zeroed *m is to be finished whatever comes back. -EINVAL when it cannot be
 * written; -ENOMEM. */
int metrics_file_start(
	struct metrics_file *m, const char *path, struct larderfs *l, struct error *e);

/* Ends the thread, and writes the last numbers. Harmless when it was never started. */
void metrics_file_finish(struct metrics_file *m);

#endif
