/*
 * A view: some bytes of one file on their way to the kernel, without a copy.
 *
 * Usually a few spans of decoded frames, held until the view is released. A stretch that
 * lies in more frames than VIEW_SPANS (only other programs' archives have such small
 * ones) is copied together instead. Always all bytes up to the file's end or none: the
 * kernel takes a short answer for the end of the file.
 */
#ifndef LARDER_FS_VIEW_H
#define LARDER_FS_VIEW_H

#include <sys/uio.h>

#include "fs/generation.h"

#define VIEW_SPANS 16

struct view {
	struct generation *from; /* one reference; the spans are its reader's */
	struct span spans[VIEW_SPANS];
	size_t count;
	void *copied; /* owned; NULL: the spans have it */
	size_t len;   /* bytes */
};

/* The content of a regular file, [offset, offset + len) cut at its end. 0; -EISDIR;
 * reader_spans()'s errors. *ret is the caller's to release. */
int view_of_entry(struct generation *g, const struct call *call, uint32_t entry,
	uint64_t offset, size_t len, struct view *ret, struct error *e);
void view_release(struct view *v);

/* Fills iov (VIEW_SPANS of them) and returns how many there are. */
int view_iov(const struct view *v, struct iovec *iov);

#endif
