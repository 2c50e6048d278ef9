/*
 * The planner: deals the entries of a tree out to frames, and finds where in the tar each
 * one's content will be.
 *
 * Entries are added in order as the walk appends them; plans come out in the order of the
 * tar. Pure but for memory: nothing is read, only sizes and paths count.
 */
#ifndef LARDER_ARCHIVE_PLANNER_H
#define LARDER_ARCHIVE_PLANNER_H

#include <stdbool.h>

#include "archive/cutter.h"
#include "archive/member.h"
#include "fetch/base/error.h"
#include "fetch/base/vec.h"

enum plan_kind {
	PLAN_MEMBERS, /* headers, and the content of those that are not large */
	PLAN_CONTENT, /* a piece of a large file's content */
	PLAN_END,     /* the zero blocks */
};

struct frame_plan {
	enum plan_kind kind;
	uint32_t first;   /* entry: the first one, or the large file */
	uint32_t count;   /* entries, of PLAN_MEMBERS */
	uint32_t raw;     /* bytes of tar */
	uint64_t offset;  /* into the content, of PLAN_CONTENT */
	uint64_t content; /* bytes of files' content in it, for progress */
};

DEFINE_VEC(frame_plan_vec, struct frame_plan);

struct planner {
	const struct tree *tree; /* borrowed */
	const char *top;         /* borrowed: what messages begin paths with */
	bool owner;
	struct cutter cutter;
	struct member member;        /* scratch */
	struct frame_plan running;   /* count 0: none */
	uint64_t tar_size;           /* bytes so far, the running frame included */
	uint64_t frames;             /* so far, the running one not included */
	struct frame_plan_vec ready; /* for the caller to take out and clear */
};

void planner_init(
	struct planner *p, const struct tree *tree, const char *top, bool owner);
void planner_finish(struct planner *p);

/* Adds the entry that follows those added before, and sets its place in the tree. 0,
 * -EFBIG past a limit of the format, naming the entry; -ENOMEM. */
int planner_add(struct planner *p, uint32_t entry, struct error *e);

/* No entry will follow. Same errors. */
int planner_end(struct planner *p, struct error *e);

#endif
