/*
 * An archive's tail: what follows the tar's frames, content digests, index, seek table.
 *
 * Most of the index is known when the walk has ended, long before the last frame is
 * made, and compressing it is the largest part of the work. So it goes by pieces, between
 * other work, and only the rest is left for the end. The bytes do not depend on when.
 */
#ifndef LARDER_ARCHIVE_PACK_TAIL_H
#define LARDER_ARCHIVE_PACK_TAIL_H

#include "archive/index_writer.h"
#include "fetch/base/buf.h"

#define PACK_TAIL_LIMIT (UINT64_C(3) << 32) /* bytes: three sections below 4 GiB */

struct pack_tail;

/* The walk and the planning have ended: facts is what they found, with one outer section.
 * 0; -EFBIG past a limit of the format; -ENOMEM. */
int pack_tail_new(const struct index_facts *facts, struct pack_tail **ret);
void pack_tail_free(struct pack_tail *t);
DEFINE_CLEANUP(cleanup_pack_tail, struct pack_tail, pack_tail_free);

/* Compresses the next piece of the index, for about a millisecond. 0; -EFBIG; -ENOMEM. */
int pack_tail_advance(struct pack_tail *t);

/* True when only the frames are waited for. */
bool pack_tail_settled(const struct pack_tail *t);

/* All frames are made, stored_bytes in all. The tail's bytes are borrowed. Same errors.
 */
int pack_tail_finish(struct pack_tail *t, const struct index_frame *frames,
	uint64_t stored_bytes, const struct buf **ret_bytes, struct digest *ret_identity);

/* Appends the whole tail of a converted archive, which stays on this machine: its index
 * is loose, and its sections are compressed fast and carry zstd's checksum, against the
 * disk. 0; -EFBIG past out's cap or a limit of the format; -ENOMEM. */
int pack_tail_local(const struct tree *tree, const struct index_frame *frames,
	size_t frame_count, uint64_t stored_bytes, struct buf *out);

/* Appends the index of a plain tar, stored, to out: its frames are the object's own bytes
 * (archive_load_plain()). Same errors. */
int pack_plain_index(const struct tree *tree, const struct index_frame *frames,
	size_t frame_count, struct buf *out);

#endif
