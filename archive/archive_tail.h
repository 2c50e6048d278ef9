/*
 * The last bytes of an object, as many as turn out to be needed.
 *
 * It begins with what a first suffix range brought. When something that is looked for
 * lies before that, the missing bytes are read as one range and put in front. Then the
 * seek table can be parsed and the index frame found, as docs/format.md says.
 */
#ifndef LARDER_ARCHIVE_ARCHIVE_TAIL_H
#define LARDER_ARCHIVE_ARCHIVE_TAIL_H

#include "archive/seek_table.h"
#include "fetch/base/digest.h"
#include "fetch/range_source.h"

/* Skippable frames behind the tar that are looked at; more is -EBADMSG. */
#define TRAILING_FRAMES_LIMIT 16

struct archive_tail {
	struct range_source *source; /* borrowed */
	const struct call *call;     /* borrowed */
	const unsigned char *data;   /* borrowed at first, then `grown` */
	uint64_t begin;              /* where data begins in the object */
	unsigned char *grown;        /* owned */
};

/* data: the last len bytes of source. */
void archive_tail_init(struct archive_tail *t, struct range_source *source,
	const struct call *call, const void *data, size_t len);
void archive_tail_finish(struct archive_tail *t);

/* Parses the seek table. 0; -ENOMSG: there is none; -EBADMSG; -ENOMEM; and
 * range_source_read()'s. *ret borrows from t until the next call. */
int archive_tail_seek_table(
	struct archive_tail *t, struct seek_table *ret, struct error *e);

/* Finds the stored index: the skippable frame's content, borrowed until the next call; and
 * its SHA-256, the archive's identity, which is the one in the frame before the index where
 * there is such a frame. Same errors; -ENOMSG: no skippable frame behind the tar is an
 * index. */
int archive_tail_index(struct archive_tail *t, const void **ret, size_t *ret_len,
	struct digest *ret_identity, struct error *e);

/* Reads all that is held anew, as one range. *ret_same: it was the same bytes as before.
 * 0, -ENOMEM, and range_source_read()'s errors; then what was held stays. */
int archive_tail_read_again(struct archive_tail *t, bool *ret_same, struct error *e);

#endif
