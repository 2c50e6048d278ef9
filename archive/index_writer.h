/*
 * The index writer: a tree and its frames to the bytes of docs/format.md, "The index".
 *
 * A tree is numbered depth-first, as the tar goes; the index breadth-first. All but the
 * last sections can be written as soon as the walk has ended, while frames are still
 * being made. Memory: the raw index, and 8 bytes an entry.
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

/* What an index is made from, besides the entries of the tree. */
struct index_facts {
	const struct tree *tree; /* borrowed, complete */
	bool owners;
	uint64_t flags;     /* INDEX_FLAG_...; 0 in what goes into an object */
	uint64_t tar_size;  /* bytes */
	size_t frame_count; /* index_writer_finish() will get as many */
	size_t outer_count;
};

/* Lays the raw index out and fills in what the tree tells. 0; -ENOMEM; -EFBIG past a
 * limit of the format. */
int index_writer_new(const struct index_facts *facts, struct index_writer **ret);
void index_writer_free(struct index_writer *w);
DEFINE_CLEANUP(cleanup_index_writer, struct index_writer, index_writer_free);

/* The raw index, borrowed. Its first *ret_settled bytes are what they will be; the rest
 * waits for index_writer_finish(). */
const uint8_t *index_writer_raw(
	const struct index_writer *w, size_t *ret_len, size_t *ret_settled);

/* Fills in the rest. */
void index_writer_finish(struct index_writer *w, const struct index_frame *frames,
	const struct index_outer *outer);

/* The content digests' section, raw: malloc()ed for the caller. 0 or -ENOMEM. */
int index_writer_digests(const struct index_writer *w, uint8_t **ret, size_t *ret_len);

#endif
