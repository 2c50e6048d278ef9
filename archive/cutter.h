/*
 * The cutter: decides where the tar is cut into frames (docs/format.md, "Where frames are
 * cut").
 *
 * Pure: the cut before a member depends on its path, on its size, and on how much the
 * running frame holds, so that a change in one frame leaves the later cuts alone as soon
 * as one of them is met by path. Frames of a large file's content follow from its size.
 */
#ifndef LARDER_ARCHIVE_CUTTER_H
#define LARDER_ARCHIVE_CUTTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A zeroed one is ready. */
struct cutter {
	uint64_t held; /* bytes of tar in the running frame */
};

struct cut {
	bool before; /* the running frame ends, the member goes into a new one */
	bool after; /* the member is large: its headers end the frame, its content follows
		       in frames of its own */
};

/* Deals out the next member: path as in the tar; bytes of headers; of content (0 for all
 * but regular files). */
struct cut cutter_add(struct cutter *c, const char *path, size_t path_len,
	uint64_t header_len, uint64_t content_len);

/* True for content that has frames of its own. */
bool cutter_is_large(uint64_t content_len);

/* The frames of a large file's content, and the bytes of content in the one that begins
 * at `offset` (a multiple of LARGE_FRAME). */
uint64_t cutter_large_frames(uint64_t content_len);
uint64_t cutter_large_piece(uint64_t content_len, uint64_t offset);

#endif
