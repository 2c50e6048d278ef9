/*
 * A range source: some bytes that never change, read by range.
 *
 * This is all that archive/ knows of where bytes come from. A source has a fixed size and
 * one content for its whole life: when the thing behind it is replaced, reads fail, they
 * never yield other bytes. read() may be called from many threads at once, blocks until
 * done, and delivers exactly the bytes asked for or fails.
 *
 * Errors of range_source_read(), beside those of fetch/base/error.h:
 *   -EINVAL     the range is not within [0, size)
 *   -ESTALE     the object behind is no longer the version pinned
 *   -ENOENT     the object behind has vanished
 *   -EBADMSG    the bytes are there and are wrong
 *   -EACCES     the store refuses to let us read it
 *   -EIO        the transfer failed as often as it may
 */
#ifndef LARDER_FETCH_RANGE_SOURCE_H
#define LARDER_FETCH_RANGE_SOURCE_H

#include <stddef.h>
#include <stdint.h>

#include "fetch/base/call.h"
#include "fetch/base/cleanup.h"
#include "fetch/base/error.h"

struct range_source;

struct range_source_ops {
	int (*read)(struct range_source *s, const struct call *call, uint64_t offset,
		size_t len, void *buf, struct error *e);
	void (*condemn)(struct range_source *s, struct error *e); /* NULL: does nothing */
	void (*free)(struct range_source *s);
};

/* Embedded first in every implementation. */
struct range_source {
	const struct range_source_ops *ops;
	uint64_t size; /* bytes */
};

/* Reads bytes [offset, offset + len) into buf. 0 or as above; on failure buf may hold
 * anything. len 0 succeeds. */
int range_source_read(struct range_source *s, const struct call *call, uint64_t offset,
	size_t len, void *buf, struct error *e);

/* What was read is wrong, and so it is when it is read again. A source that only holds a
 * copy lets go of it, and says so in *e (or NULL); its reads go on as before. */
void range_source_condemn(struct range_source *s, struct error *e);

/* Accepts NULL. No read may be under way. */
void range_source_free(struct range_source *s);
DEFINE_CLEANUP(cleanup_range_source, struct range_source, range_source_free);

/* A source over memory that outlives it (borrowed). NULL when out of memory. */
struct range_source *memory_source_new(const void *data, size_t size);

/* A source over an open regular file; owns fd. Its content is taken to be what fstat()
 * says now: a later change of size, mtime or inode makes reads -ESTALE. 0 or -errno. */
int file_source_new(int fd, struct range_source **ret, struct error *e);

#endif
