/*
 * Doubts: the files of which only another look at their content can tell whether they
 * changed while they were packed, each with the digest of what was packed of it.
 *
 * They are added in the order of the tree. One thread's.
 */
#ifndef LARDER_ARCHIVE_DOUBTS_H
#define LARDER_ARCHIVE_DOUBTS_H

#include "archive/planner.h"

struct doubt {
	uint32_t entry;
	uint8_t digest[TREE_DIGEST];
};

DEFINE_VEC(doubt_vec, struct doubt);

/* 0 or -ENOMEM. */
int doubts_add(struct doubt_vec *doubts, const struct tree *t, uint32_t entry);

/* Does the plan's frame hold content of one? */
bool doubts_concern(const struct doubt_vec *doubts, const struct frame_plan *plan);

/* To be asked when that frame was made once more, with other bytes: the first of its
 * files whose digest is another one by now. A large file has no digest, and its frames to
 * itself. */
uint32_t doubts_confirmed(const struct doubt_vec *doubts, const struct tree *t,
	const struct frame_plan *plan);

#endif
