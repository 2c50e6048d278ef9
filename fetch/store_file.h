/*
 * A store that is a folder: each key is a file below it.
 *
 * What identifies a version is the open descriptor: a key replaced by rename(2) leaves
 * its readers on the old file, and they never go stale; a file written to in place is
 * -ESTALE. The pin's ETag is made of device, inode, size, mtime and ctime.
 *
 * Symbolic links below the folder are neither followed nor listed (fetch/beneath.h); the
 * folder itself may be reached through one. What is no regular file is no key. The folder
 * is opened anew by each operation and made by the first publication; until then every
 * key is a miss.
 *
 * Below the folder only ".larder/tmp" is not keys: files on their way to a key, where the
 * file system has no unnamed ones (fetch/file_temp.h).
 *
 * No locks: counters are atomic, everything else is fixed by store_file_new().
 */
#ifndef LARDER_FETCH_STORE_FILE_H
#define LARDER_FETCH_STORE_FILE_H

#include <stdatomic.h>
#include <sys/stat.h>

#include "fetch/store_impl.h"

struct store_file {
	struct store base;
	char *path; /* owned, absolute */
	atomic_uint_fast64_t requests;
	atomic_uint_fast64_t received; /* bytes */
	atomic_uint_fast64_t sent;     /* bytes */
};

/* The folder's descriptor, owned by the caller. -ENOENT when it is not there. */
int store_file_root(const struct store_file *s, struct error *e);

/* What a file is pinned by. */
void store_file_pin(const struct stat *st, struct pin *ret);

/* The operations that have a file of their own. */
int store_file_list(struct store *s, const struct call *call, const char *prefix,
	bool deep, list_fn *fn, void *arg, struct error *e);
int store_file_publish(struct store *s, const struct call *call, const char *key,
	const struct publish_options *options, struct publication **ret, struct error *e);
int store_file_probe(struct store *s, const struct call *call, unsigned racers,
	unsigned rounds, struct probe_answer *ret, struct error *e);

#endif
