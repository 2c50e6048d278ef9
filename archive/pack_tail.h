/*
 * An archive's tail: what follows the tar's frames, content digests, index, seek table.
 */
#ifndef LARDER_ARCHIVE_PACK_TAIL_H
#define LARDER_ARCHIVE_PACK_TAIL_H

#include "archive/index_writer.h"
#include "fetch/base/buf.h"

struct pack_tail {
	struct buf bytes;       /* owned */
	struct digest identity; /* of the archive */
	uint64_t flags;         /* of the index; 0: it goes into an object */
};

void pack_tail_init(struct pack_tail *t);
void pack_tail_finish(struct pack_tail *t);

/* offset: bytes that the frames take in the object. 0; -EFBIG past a limit of the format;
 * -ENOMEM. */
int pack_tail_make(struct pack_tail *t, const struct tree *tree, bool owners,
	const struct index_frame *frames, size_t frame_count, uint64_t offset);

/* The same for a converted archive, which stays on this machine: its index is loose, and
 * its sections are compressed fast and carry zstd's checksum, against the disk. */
int pack_tail_make_local(struct pack_tail *t, const struct tree *tree,
	const struct index_frame *frames, size_t frame_count, uint64_t offset);

/* Appends the index of a plain tar, stored, to out: its frames are the object's own bytes
 * (archive_load_plain()). 0; -EFBIG past out's cap or a limit of the format; -ENOMEM. */
int pack_plain_index(const struct tree *tree, const struct index_frame *frames,
	size_t frame_count, struct buf *out);

#endif
