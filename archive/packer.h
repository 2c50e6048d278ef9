/*
 * A packer: makes frames from plans, on one worker thread.
 *
 * Reads what a plan names from the tree's files straight into a frame's bytes, hashes
 * each file's content (and keeps the digest in the tree), compresses the frame, and
 * hashes what came out. Holds buffers of one raw frame and a zstd context, used again and
 * again.
 */
#ifndef LARDER_ARCHIVE_PACKER_H
#define LARDER_ARCHIVE_PACKER_H

#include "archive/planner.h"
#include "fetch/base/digest.h"

struct packer;

struct packer_options {
	int rootfd;              /* borrowed */
	const struct tree *tree; /* borrowed */
	const char *top;         /* borrowed: what messages begin paths with */
	size_t dirs;             /* descriptors for directories, as dir_cache_new() */
	bool owner;
	int level;
};

/* A frame as it will lie in the object. A zeroed one is ready; memory is used again. */
struct packed_frame {
	uint8_t *data; /* owned */
	size_t size;   /* bytes allocated */
	size_t len;    /* bytes */
	uint32_t raw;  /* bytes of tar */
	struct digest digest;
};

void packed_frame_finish(struct packed_frame *f);

/* 0 or -ENOMEM. */
int packer_new(const struct packer_options *options, struct packer **ret);
void packer_free(struct packer *p);
DEFINE_CLEANUP(cleanup_packer, struct packer, packer_free);

/* Makes the frame. 0; -EBUSY when a file is not what the walk saw, -errno of open(2) and
 * read(2), as error_recode(), each naming the file; -ENOMEM. On failure *frame keeps its
 * memory, its fields mean nothing. */
int packer_make(struct packer *p, const struct frame_plan *plan,
	struct packed_frame *frame, struct error *e);

#endif
