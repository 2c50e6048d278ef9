/*
 * The index: the tree of an archive, loaded from bytes and used in place.
 *
 * index_parse() checks everything docs/format.md demands, so that accessors need no error
 * path: every number they return is in range. It is immutable afterwards, and so may be
 * read from any number of threads without a lock. Memory: the raw index (about 60 bytes
 * and the name for each entry) and 8 bytes a frame.
 *
 * Entries are numbers below index_count(). The root is 0.
 */
#ifndef LARDER_ARCHIVE_INDEX_H
#define LARDER_ARCHIVE_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "fetch/base/cleanup.h"
#include "fetch/base/digest.h"
#include "fetch/base/error.h"

struct index;

struct entry_info {
	mode_t mode;   /* type and permissions */
	uint64_t size; /* file: bytes; symlink: bytes of target; directory: children */
	struct timespec mtime;
	uint32_t nlink; /* 1 for directories: not counted */
	bool has_owner;
	uid_t uid;
	gid_t gid;
};

struct outer_section {
	uint32_t id;
	uint64_t offset; /* of the stored bytes in the object */
	uint64_t stored_len;
	uint64_t raw_len;
	struct digest digest; /* of the stored bytes */
};

/* Takes over raw (malloc()ed, also on failure). 0; -EBADMSG with what is wrong; -ENOMEM.
 */
int index_parse(void *raw, size_t len, struct index **ret, struct error *e);

/* The same for an index that this machine made of a foreign archive: contents may lie in
 * any order, and frames be plain bytes (docs/foreign.md). */
int index_parse_local(void *raw, size_t len, struct index **ret, struct error *e);
void index_free(struct index *ix);
DEFINE_CLEANUP(cleanup_index, struct index, index_free);

uint32_t index_count(const struct index *ix);
uint64_t index_tar_size(const struct index *ix);
size_t index_memory(const struct index *ix); /* bytes held */

mode_t index_mode(const struct index *ix, uint32_t entry);
void index_info(const struct index *ix, uint32_t entry, struct entry_info *ret);
uint32_t index_parent(const struct index *ix, uint32_t entry);

/* Borrowed, not NUL-terminated. */
const char *index_name(const struct index *ix, uint32_t entry, size_t *ret_len);
const char *index_target(const struct index *ix, uint32_t entry, size_t *ret_len);

/* The first child's number; *ret_count 0 for an empty directory or what is none. */
uint32_t index_children(const struct index *ix, uint32_t dir, uint32_t *ret_count);

/* The entry that comes next in the tar: depth first, children by name. 0 at the end. */
uint32_t index_next(const struct index *ix, uint32_t entry);

/* Finds a child by name: 0, -ENOENT, -ENOTDIR. O(log children). */
int index_lookup(const struct index *ix, uint32_t dir, const char *name, size_t len,
	uint32_t *ret);

/* Finds "a/b/c" from the root ("" is the root). 0, -ENOENT, -ENOTDIR. */
int index_find(const struct index *ix, const char *path, uint32_t *ret);

/* The entry whose number stands for the inode: itself, or the hard link's primary. */
uint32_t index_primary(const struct index *ix, uint32_t entry);

/* The hard links, pair i < index_link_count(), ascending by entry. */
size_t index_link_count(const struct index *ix);
void index_link(
	const struct index *ix, size_t i, uint32_t *ret_entry, uint32_t *ret_primary);

/* Where a regular file's content begins in the tar. */
uint64_t index_place(const struct index *ix, uint32_t entry);

/* False: contents may lie in another order than the entries do. */
bool index_in_tar_order(const struct index *ix);

/* True: frames are stored as they are, and index_frame_digests() is NULL. */
bool index_is_plain(const struct index *ix);

/* The path from the root, without a leading slash, into ret (size bytes, NUL-terminated;
 * cut from the left when it does not fit): for messages. */
void index_path(const struct index *ix, uint32_t entry, char *ret, size_t size);

/* xattrs: iterate with *cursor from 0; false at the end. Borrowed, not NUL-terminated. */
bool index_xattr_next(const struct index *ix, uint32_t entry, size_t *cursor,
	const char **ret_name, size_t *ret_name_len, const void **ret_value,
	size_t *ret_value_len);

/* Frames. offsets and digests have the shape of struct chunk_table. */
uint32_t index_frame_count(const struct index *ix);
const uint64_t *index_frame_offsets(const struct index *ix); /* stored; count + 1 */
const struct digest *index_frame_digests(const struct index *ix);
void index_frame_sizes(
	const struct index *ix, uint32_t frame, uint32_t *ret_stored, uint32_t *ret_raw);

/* Where each frame begins in the tar; count + 1. */
const uint64_t *index_frame_places(const struct index *ix);

/* The same of one frame <= index_frame_count(). */
uint64_t index_frame_begin(const struct index *ix, uint32_t frame);

/* The frame that holds tar byte `place` (< index_tar_size()), and where that frame begins
 * in the tar. O(log frames). */
uint32_t index_frame_at(const struct index *ix, uint64_t place, uint64_t *ret_begin);

/* 0 or -ENOENT. */
int index_outer(const struct index *ix, uint32_t id, struct outer_section *ret);

#endif
