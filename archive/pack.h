/*
 * Packing: a directory to an archive, the same bytes every time (docs/format.md).
 *
 * Threads: the caller's walks the tree, cuts it into frames and writes finished frames to
 * the sink in order; `threads` workers read files and compress. Memory is bounded by
 * 8 x (threads + 1) compressed frames of at most 1 MiB, and 110 bytes and a name for each
 * entry of the tree, whatever the directory holds.
 *
 * The directory must hold still: every file's size, mtime, ctime and inode are compared
 * before and after it is read, and those of all entries but the inode once more when all
 * has been read, so that what is published was so at one moment; a difference is -EBUSY
 * naming the file. But hard links to its files may come and go elsewhere, as those of a
 * package manager's store do: where they explain another ctime, the file's frames are made
 * once more, and must be the same.
 */
#ifndef LARDER_ARCHIVE_PACK_H
#define LARDER_ARCHIVE_PACK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "fetch/base/call.h"
#include "fetch/base/digest.h"
#include "fetch/base/error.h"

#define PACK_LEVEL_DEFAULT 3

struct pack_progress {
	uint64_t entries;      /* found by the walk */
	uint64_t total_bytes;  /* of file content found by the walk; 0 until it has ended */
	uint64_t packed_bytes; /* of file content */
	uint64_t stored_bytes; /* handed to the sink */
};

struct pack_options {
	int level;        /* zstd, 1 to 19 */
	unsigned threads; /* 0: one for each processor this process may run on; fewer
	                     where RLIMIT_NOFILE leaves no 3 descriptors for each */
	bool preserve_owner;
	bool reproducible;  /* every mtime becomes reproducible_mtime_s */
	int64_t reproducible_mtime_s;
	const char *const *exclude; /* NULL-ended, NULL: none. gitignore-like: a pattern
	                               without '/' matches names at any depth, with '/' paths
	                               from the top; *, ?, [ ] do not match '/', ** does */
	const struct stat *cache; /* the cache folder: left out where it is met, though not
	                             when it is what is packed. NULL: none */
	void (*warn)(void *arg, const char *sentence); /* NULL: silent */
	void (*progress)(void *arg, const struct pack_progress *p); /* a few times a second */
	void *arg;
};

/* Receives the archive's bytes in order, on the caller's thread. 0 or -errno, which ends
 * the packing and is returned. */
typedef int pack_sink_fn(void *arg, const void *data, size_t len, struct error *e);

struct pack_result {
	struct digest identity;
	uint64_t entries;
	uint64_t files;
	uint64_t content_bytes;
	uint64_t stored_bytes;
	uint64_t left_out; /* sockets, devices, FIFOs, the cache: each was warned of */
};

/* Packs what the open directory dirfd (borrowed) holds; name is for messages. call is
 * looked at between frames. 0; -EBUSY; -ECANCELED, -ETIMEDOUT; -EACCES and others of
 * open(2), read(2), as error_recode(), naming the file; -EFBIG past a limit of the
 * format; -ENOMEM; and the sink's. */
int pack_directory(int dirfd, const char *name, const struct pack_options *options,
	const struct call *call, pack_sink_fn *sink, void *sink_arg,
	struct pack_result *ret, struct error *e);

#endif
