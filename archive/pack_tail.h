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
};

void pack_tail_init(struct pack_tail *t);
void pack_tail_finish(struct pack_tail *t);

/* offset: bytes that the frames take in the object. 0; -EFBIG past a limit of the format;
 * -ENOMEM. */
int pack_tail_make(struct pack_tail *t, const struct tree *tree, bool owners,
	const struct index_frame *frames, size_t frame_count, uint64_t offset);

#endif
