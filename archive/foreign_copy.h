/*
 * A converted archive on the shelf, as a range source that lets go of it when it is
 * condemned: nothing but this file is wrong, so the next opening shall make another. It
 * holds one descriptor, the file's: a mount may have thousands open.
 */
#ifndef LARDER_ARCHIVE_FOREIGN_COPY_H
#define LARDER_ARCHIVE_FOREIGN_COPY_H

#include "archive/foreign_shelf.h"
#include "fetch/range_source.h"

/* fd, the file that the shelf has for d, is taken over; name, for messages, is copied. 0;
 * file_source_new()'s errors; -errno of fstat(2). */
int foreign_copy_new(const struct foreign_shelf *shelf, const struct digest *d, int fd,
	const char *name, struct range_source **ret, struct error *e);

#endif
