/*
 * Unpacking: an archive to a directory, in parallel, all or nothing.
 *
 * `threads` workers take runs of neighbouring frames, read each as one range, decode it
 * and write the files in it, while the caller's thread makes directories and symlinks.
 * Then come hard links, and last the directories' modes and times, deepest first.
 * Everything is reached through directory descriptors without following links; no name of
 * an index that was parsed can leave the target. Long runs of zeros become holes.
 *
 * The tree is made beside the target under a temporary name and renamed into place, so
 * that a failed or interrupted unpacking leaves the target as it was. Where that cannot be
 * (the target is a mount point, the current directory, another's in a sticky directory, or
 * its parent is not writable) the temporary tree is within the target, which must be empty,
 * and what it holds is moved up; what somebody else has put there meanwhile is neither
 * replaced nor removed. What a killed unpacking has left is removed by the next one to the
 * same target, but for what it had moved up already: such a target is not empty. One that
 * belongs to somebody else is not given the archive's mode, time and attributes for it.
 */
#ifndef LARDER_ARCHIVE_UNPACK_H
#define LARDER_ARCHIVE_UNPACK_H

#include "archive/archive.h"

struct unpack_progress {
	uint64_t files; /* inodes: further names of one do not count */
	uint64_t total_files;
	uint64_t bytes; /* of content written */
	uint64_t total_bytes;
};

struct unpack_options {
	unsigned threads;    /* 0: one for each processor online, and for waiting on ranges */
	bool preserve_owner; /* chown to the archive's owners, keep set-id bits: needs root */
	void (*warn)(void *arg, const char *sentence); /* NULL: silent; the caller's thread */
	void (*progress)(void *arg, const struct unpack_progress *p); /* likewise, a few
	                                                                 times a second */
	void *arg;
};

/* target must not exist, or be an empty directory: else -ENOTEMPTY, or -ENOTDIR. source is
 * the verified one. Extended attributes that the file system does not take are warned of.
 * Errors: those of reader_read(), of open(2) and write(2) such as -ENOSPC, of link(2); each
 * names the file. -EIO: somebody else is at work in the tree, or a code of these that means
 * something else in Larder. */
int unpack_archive(const struct archive *a, struct range_source *source,
	const struct call *call, const char *target, const struct unpack_options *options,
	struct error *e);

#endif
