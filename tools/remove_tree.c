#include "tools/remove_tree.h"

#include <errno.h>
#include <fts.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>

/* One step of the walk: 0 or -errno. */
static int take(const FTSENT *entry)
{
	switch (entry->fts_info) {
	case FTS_D: /* before it is read */
		if ((entry->fts_statp->st_mode & 0700) != 0700)
			chmod(entry->fts_accpath, 0700);
		return 0;
	case FTS_ERR:
	case FTS_NS:
		return -entry->fts_errno;
	case FTS_DP:
	case FTS_DNR:
		return rmdir(entry->fts_accpath) < 0 ? -errno : 0;
	default:
		return unlink(entry->fts_accpath) < 0 ? -errno : 0;
	}
}

int remove_tree(const char *path)
{
	char *const paths[] = {(char *)path, NULL};
	FTS *walk = fts_open(paths, FTS_PHYSICAL | FTS_XDEV, NULL);
	if (!walk)
		return -errno;
	int r = 0;
	for (;;) {
		errno = 0;
		const FTSENT *entry = fts_read(walk);
		int now = entry ? take(entry) : -errno;
		if (r == 0)
			r = now;
		if (!entry)
			break;
	}
	fts_close(walk);
	return r;
}
