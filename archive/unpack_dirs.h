/*
 * Descriptors of an index's directories below the root of an unpacking.
 *
 * Each is opened below its parent's descriptor, never by a long path and never through a
 * link; the UNPACK_DIRS used last are kept. Files of one run are neighbours, so most of
 * them find their directory open. For one thread.
 */
#ifndef LARDER_ARCHIVE_UNPACK_DIRS_H
#define LARDER_ARCHIVE_UNPACK_DIRS_H

#include "archive/format.h"
#include "archive/index.h"

#define UNPACK_DIRS 16 /* descriptors */

struct unpack_dirs {
	int rootfd;             /* borrowed */
	const struct index *ix; /* borrowed */
	bool make;              /* make what is missing, mode 0700 */
	uint64_t clock;         /* counts uses */
	struct unpack_dir {
		uint32_t dir; /* 0: free, as the root needs none */
		int fd;       /* owned */
		uint64_t used;
	} open[UNPACK_DIRS];
	uint32_t *way; /* owned; scratch: directories to open, deepest first */
	size_t way_size;
};

void unpack_dirs_init(
	struct unpack_dirs *d, int rootfd, const struct index *ix, bool make);
void unpack_dirs_finish(struct unpack_dirs *d);

/* A descriptor (O_PATH) of directory `dir`, borrowed until the next call. 0, -ENOMEM,
 * -errno of mkdirat(2) and openat(2). */
int unpack_dirs_open(struct unpack_dirs *d, uint32_t dir, int *ret_fd);

/* An entry's name as a string. */
void unpack_name(const struct index *ix, uint32_t entry, char ret[NAME_LIMIT + 1]);

#endif
