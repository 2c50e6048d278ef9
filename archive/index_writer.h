/*
 * The index writer: a tree and its frames to the bytes of docs/format.md, "The index".
 *
 * A tree is numbered depth-first, as the tar goes; the index breadth-first. The writer is
 * made from a finished tree and holds 4 bytes an entry beside what it hands out.
 */
#ifndef LARDER_ARCHIVE_INDEX_WRITER_H
#define LARDER_ARCHIVE_INDEX_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "archive/tree.h"
#include "fetch/base/digest.h"
#include "fetch/base/vec.h"

struct index_frame {
	uint32_t stored; /* bytes in the object */
	uint32_t raw;    /* bytes of tar */
	struct digest digest;
};

DEFINE_VEC(index_frame_vec, struct index_frame);

struct index_outer {
	uint32_t id;
	uint64_t offset; /* in the object, of the stored bytes */
	uint64_t stored_len;
	uint64_t raw_len;
	struct digest digest; /* of the stored bytes */
};

struct index_writer;

/* tree is borrowed and complete. 0 or -ENOMEM. */
int index_writer_new(const struct tree *tree, struct index_writer **ret);
void index_writer_free(struct index_writer *w);
DEFINE_CLEANUP(cleanup_index_writer, struct index_writer, index_writer_free);

/* The content digests' section, raw: malloc()ed for the caller. 0 or -ENOMEM. */
int index_writer_digests(const struct index_writer *w, uint8_t **ret, size_t *ret_len);

/* The index, raw; flags: INDEX_FLAG_..., 0 in what goes into an object. malloc()ed for the caller. 0; -ENOMEM; -EFBIG when names or targets
 * need more than 4 GiB. */
int index_writer_index(const struct index_writer *w, bool owners, uint64_t flags,
	const struct index_frame *frames, size_t frame_count,
	const struct index_outer *outer, size_t outer_count, uint8_t **ret,
	size_t *ret_len);

#endif
