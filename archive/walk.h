/*
 * The walk: fills a tree from a directory, one entry a step.
 *
 * Everything is reached from the directory's descriptor, name by name, and no symlink is
 * followed, so paths may be longer than PATH_MAX and the walk cannot be led elsewhere. At
 * most WALK_OPEN_MAX directories are open at a time; a directory that was closed for that
 * is reached again through "..", and must be the one it was. Mount points are crossed.
 * Hard links are told by device and inode. Sockets, devices and FIFOs are left out, and
 * so is the chunk cache.
 *
 * Memory beside the tree: the names of the directories on the way down from the root.
 */
#ifndef LARDER_ARCHIVE_WALK_H
#define LARDER_ARCHIVE_WALK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "archive/glob.h"
#include "archive/tree.h"
#include "fetch/base/error.h"

#define WALK_OPEN_MAX 64 /* directories */

struct walk_options {
	bool keep_set_id; /* the set-id bits of files: kept with their owners */
	bool fixed_mtime; /* every mtime becomes mtime_s */
	int64_t mtime_s;
	const struct glob_set *excludes; /* borrowed; NULL: none */
	const struct stat *cache;        /* borrowed: the cache folder; NULL: none */
	void (*warn)(void *arg, const char *sentence); /* NULL: silent */
	void *arg;
};

struct walk;

/* Begins with entry 0, what the open directory dirfd is; the three are borrowed, as is
 * name, which messages begin paths with. Errors as below, and -ENOTDIR. */
int walk_new(int dirfd, const char *name, struct tree *tree,
	const struct walk_options *options, struct walk **ret, struct error *e);
void walk_free(struct walk *w);
DEFINE_CLEANUP(cleanup_walk, struct walk, walk_free);

/* Appends the next entry to the tree; *ret_more is false when there was none. 0; -EBUSY
 * when what is there changed under us; -EFBIG past a limit of the format; -EACCES and
 * others of open(2), stat(2), readlink(2), getxattr(2), as error_recode(); -ENOMEM. Each
 * names the entry. */
int walk_next(struct walk *w, bool *ret_more, struct error *e);

/* What was left out so far, the cache folder as one. */
uint64_t walk_left_out(const struct walk *w);

#endif
