/*
 * One member's headers: the facts of an entry to the bytes that docs/format.md says.
 *
 * Pure. The bytes are, in this order and each only where something needs it: a GNU long
 * link (type K), a GNU long name (L), a pax extended header (x), then the ustar header,
 * which is always there. All are multiples of 512 bytes.
 */
#ifndef LARDER_ARCHIVE_TAR_HEADER_H
#define LARDER_ARCHIVE_TAR_HEADER_H

#include <stddef.h>
#include <stdint.h>

#include "archive/xattrs.h"

#define TAR_BLOCK     512        /* bytes */
#define TAR_END_SIZE  1024       /* bytes of zeros that end a tar */
#define TAR_EXTRA_MAX (1u << 20) /* bytes of one extended header: libarchive's limit */

enum tar_type {
	TAR_FILE = '0',
	TAR_HARD_LINK = '1',
	TAR_SYMLINK = '2',
	TAR_DIRECTORY = '5',
};

struct tar_member {
	enum tar_type type;
	const char *path; /* as in the tar: a directory's ends in '/' */
	size_t path_len;
	const char *target; /* of links; "" for others */
	size_t target_len;
	uint16_t mode; /* permission bits */
	uint32_t uid, gid;
	uint64_t size;               /* of the content; 0 for all but files */
	int64_t mtime_s;             /* seconds since the epoch */
	uint32_t mtime_ns;           /* below 10^9 */
	const struct xattrs *xattrs; /* NULL: none */
};

/* The bytes of the headers. 0, or -E2BIG when an extended header would pass
 * TAR_EXTRA_MAX. */
int tar_header_size(const struct tar_member *m, size_t *ret);

/* Writes exactly that many bytes to out. */
void tar_header_write(const struct tar_member *m, uint8_t *out);

/* The zero bytes behind a content of `size` bytes. */
static inline size_t tar_padding(uint64_t size)
{
	return (size_t)(-size & (TAR_BLOCK - 1));
}

#endif
