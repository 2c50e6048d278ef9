/*
 * The tree of a foreign archive while its members come, in whatever order they come.
 *
 * A later member of the same name wins, except that a directory which holds something
 * stays a directory; directories merge. Parents that no member named are made, mode 0755,
 * mtime 0. Names and inodes are two things, so that hard links to a file live on when its
 * first name is replaced.
 *
 * Paths are foreign_name()'s. Memory: about 120 bytes an entry, and its name twice. Used
 * by one thread.
 */
#ifndef LARDER_ARCHIVE_FOREIGN_TREE_H
#define LARDER_ARCHIVE_FOREIGN_TREE_H

#include "archive/tree.h"

#define FOREIGN_ENTRY_LIMIT  (UINT32_C(1) << 24) /* names */
#define FOREIGN_PARENT_LIMIT (UINT32_C(1) << 20) /* of them, made for want of a member   \
						  */

struct foreign_inode {
	uint64_t size; /* file: bytes */
	uint64_t place;
	int64_t mtime_s;
	uint32_t mtime_ns;
	uint16_t mode;         /* type and permissions */
	const char *target;    /* symlinks: copied */
	struct xattrs *xattrs; /* others: taken over, also on failure; NULL: none */
	uint8_t digest[TREE_DIGEST];
};

struct foreign_tree;

/* NULL when out of memory. */
struct foreign_tree *foreign_tree_new(void);
void foreign_tree_free(struct foreign_tree *t);
DEFINE_CLEANUP(cleanup_foreign_tree, struct foreign_tree, foreign_tree_free);

/* Puts an inode under path. *ret is its number. 0; -ENOTDIR: something that is no
 * directory stands where one would be needed, or path is the root and this is none;
 * -ENOTEMPTY: it would take the place of a directory that holds something; -E2BIG past a
 * limit; -ENOMEM. */
int foreign_tree_put(struct foreign_tree *t, const char *path,
	const struct foreign_inode *inode, uint32_t *ret);

/* Another name for what `target` names now. The same; -ENOENT: it names nothing, or a
 * directory. */
int foreign_tree_link(struct foreign_tree *t, const char *path, const char *target);

/* What is known only after the content: of an inode just put. */
void foreign_tree_set_content(struct foreign_tree *t, uint32_t inode, uint64_t size,
	const uint8_t digest[TREE_DIGEST]);

/* Hands out the tree, sorted; the foreign tree can only be freed afterwards. -ENOMEM. */
int foreign_tree_finish(struct foreign_tree *t, struct tree **ret);

#endif
