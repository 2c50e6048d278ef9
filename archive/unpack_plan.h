/*
 * What unpacking reads in which order: runs of neighbouring frames, and their files.
 *
 * Pure. A run begins and ends with frames that hold content of regular files, and is read
 * as one range; it ends where the next such frame is far away or it would pass
 * UNPACK_RUN_BYTES, so a large file may lie in several runs. Immutable once made, but for
 * the counters of such files.
 */
#ifndef LARDER_ARCHIVE_UNPACK_PLAN_H
#define LARDER_ARCHIVE_UNPACK_PLAN_H

#include <stdatomic.h>

#include "archive/index.h"

/* A file whose content lies in more than one run. */
struct unpack_shared {
	struct unpack_shared *next; /* owned by the plan */
	uint32_t entry;
	atomic_uint left; /* runs that have not written their part yet */
};

struct unpack_run {
	uint32_t first_frame;
	uint32_t frame_count; /* 0: only empty files */
	size_t first_file;    /* in the plan's files; a shared one is in several runs */
	size_t end_file;
	struct unpack_shared *head; /* borrowed; the first file, when it began before */
	struct unpack_shared *tail; /* borrowed; the last file, when it goes on after */
};

struct unpack_plan {
	uint32_t *files; /* owned; regular files that are no hard links, in tar order */
	size_t file_count;
	struct unpack_run *runs; /* owned */
	size_t run_count;
	uint64_t bytes;               /* of content */
	struct unpack_shared *shared; /* owned */
};

/* 0; -ENOMEM; -EBADMSG: contents overlap, which only a loose index can say. */
int unpack_plan_make(const struct index *ix, struct unpack_plan *ret);
void unpack_plan_finish(struct unpack_plan *p);

#endif
