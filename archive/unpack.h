/*
 * Unpacking: an archive to a directory, in parallel, all or nothing.
 *
 * Directories are made first, then files are written frame by frame by `threads` workers
 * (each takes a run of neighbouring frames, so that one range serves many files), then
 * hard links, symlinks, xattrs, and directory modes and mtimes, deepest first. Everything
 * is reached through directory descriptors without following links; no name of an index
 * that was parsed can leave the target. Runs of zero blocks become holes.
 *
 * The tree is made beside the target under a temporary name on the same file system and
 * renamed into place, so that a failed or interrupted unpacking leaves the target as it
 * was.
 */
#ifndef LARDER_ARCHIVE_UNPACK_H
#define LARDER_ARCHIVE_UNPACK_H

#include "archive/archive.h"

struct unpack_progress {
	uint64_t files;
	uint64_t total_files;
	uint64_t bytes; /* of content written */
	uint64_t total_bytes;
};

struct unpack_options {
	unsigned threads;    /* 0: one for each processor online, and for waiting on ranges */
	bool preserve_owner; /* chown to the archive's owners, keep set-id bits: needs root */
	void (*progress)(void *arg, const struct unpack_progress *p);
	void *arg;
};

/* target must not exist or be an empty directory (-ENOTEMPTY else). source is the
 * verified one. Errors: reader's, those of open(2), write(2), -ENOSPC; named. */
int unpack_archive(const struct archive *a, struct range_source *source,
	const struct call *call, const char *target, const struct unpack_options *options,
	struct error *e);

#endif
