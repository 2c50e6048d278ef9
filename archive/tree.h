/*
 * The tree: what the walk found, in the order of the tar.
 *
 * Entries are numbered from 0, the root; a directory comes before what it holds, and what
 * it holds comes sorted by name, each followed by what it holds itself. Memory: 104 bytes
 * an entry and its name, in blocks that never move.
 *
 * One thread appends. Others may read an entry once they have learned of it through a
 * lock, and may set `digest` of a file that is theirs to read.
 */
#ifndef LARDER_ARCHIVE_TREE_H
#define LARDER_ARCHIVE_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "archive/xattrs.h"
#include "fetch/base/buf.h"
#include "fetch/base/cleanup.h"

#define TREE_NO_LINK    UINT32_MAX
#define TREE_DIGEST     16         /* bytes kept of a content's SHA-256 */
#define TREE_PATH_LIMIT (1u << 20) /* bytes of a path in the tar */

struct tree_entry {
	const char *name; /* owned by the tree; "" for the root */
	union {
		const char *target;          /* symlinks; owned by the tree */
		const struct xattrs *xattrs; /* others; owned by the tree; NULL: none */
	};
	uint64_t size;   /* bytes: of content, of a symlink's target; else 0 */
	uint64_t place;  /* where a file's content begins in the tar */
	int64_t mtime_s; /* as it goes into the archive */
	uint64_t stamp;  /* tree_stamp() of what the walk saw */
	uint64_t facts;  /* tree_facts() of it */
	uint64_t inode;
	uint8_t digest[TREE_DIGEST]; /* of a file's content */
	uint32_t mtime_ns;
	uint32_t parent;
	uint32_t uid, gid;
	uint32_t primary; /* hard links: the inode's first entry; else TREE_NO_LINK */
	uint16_t mode;    /* st_mode as it goes into the archive */
	uint8_t name_len;
	bool linked; /* it had more names than this one */
};

struct tree;

/* NULL when out of memory. */
struct tree *tree_new(void);
void tree_free(struct tree *t);
DEFINE_CLEANUP(cleanup_tree, struct tree, tree_free);

/* Appends a zeroed entry with that name, copied, and returns it as *ret_entry, number
 * tree_count() - 1. 0, -ENOMEM, -E2BIG past ENTRY_COUNT_LIMIT, -ENAMETOOLONG past
 * NAME_LIMIT. */
int tree_append(struct tree *t, const char *name, struct tree_entry **ret_entry);

/* Copies a string into the tree. NULL when out of memory. */
char *tree_keep(struct tree *t, const char *text, size_t len);

/* Takes over a malloc()ed block, also on failure. 0 or -ENOMEM. */
int tree_own(struct tree *t, void *block);

uint32_t tree_count(const struct tree *t);

/* Entry i < tree_count(). */
struct tree_entry *tree_entry(const struct tree *t, uint32_t i);

/* The path from the root without a leading slash, "" for the root, into out (cleared
 * first). 0, -ENAMETOOLONG past out's cap, -ENOMEM. */
int tree_path(const struct tree *t, uint32_t i, struct buf *out);

/* The same as the tar has it: "./" for the root, a '/' behind directories. */
int tree_tar_path(const struct tree *t, uint32_t i, struct buf *out);

/* How messages call entry i, or `child` in it (NULL: itself): below `top`, the name of
 * the whole; cut from the left when it does not fit into size bytes. */
void tree_label(const struct tree *t, const char *top, uint32_t i, const char *child,
	char *ret, size_t size);

/* What changes whenever an inode does: size, mtime and ctime in one number. */
uint64_t tree_stamp(const struct stat *st);

/* What stays when a hard link is made or removed: size, mtime, mode and owner in one. */
uint64_t tree_facts(const struct stat *st);

/* Is this the regular file that the walk saw as `entry`, with another ctime that hard links
 * explain, made or removed elsewhere? Its xattrs and content may be others. */
bool tree_is_relinked(const struct tree_entry *entry, const struct stat *st);

#endif
