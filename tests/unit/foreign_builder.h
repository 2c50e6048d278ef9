/*
 * Makes foreign archives in memory, with libarchive's writer.
 */
#ifndef LARDER_TESTS_UNIT_FOREIGN_BUILDER_H
#define LARDER_TESTS_UNIT_FOREIGN_BUILDER_H

#include <stddef.h>
#include <stdint.h>

struct member {
	const char *path;
	char type;           /* '-', 'd', 'l': symlink, 'h': hard link, 'p': FIFO */
	unsigned mode;       /* 0: 0644, or 0755 for directories */
	const char *link;    /* target */
	const char *content; /* of a file; NULL with size: pseudo-random bytes */
	uint64_t size;       /* bytes; 0: of content as a string */
	uint64_t hole;       /* bytes of hole before the content; included in size */
	int64_t mtime_s;
	long mtime_ns;
	const char *xattr; /* a user attribute's value, of user.test */
};

/* Ends with a member without path. format: "pax", "gnutar", "ustar", "zip"; filter:
 * "gzip", "zstd", "xz", "lz4", "none"; options: libarchive's, or NULL. Free the result;
 * aborts on failure. */
unsigned char *foreign_build(const char *format, const char *filter, const char *options,
	const struct member *members, size_t *ret_len);

/* The byte at `offset` of what is pseudo-random in the member called path. */
unsigned char foreign_byte(const char *path, uint64_t offset);

#endif
