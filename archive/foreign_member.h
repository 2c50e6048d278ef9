/*
 * One member of a foreign archive, as libarchive tells of it, on its way into the tree.
 *
 * What cannot be taken over is left out with a warning; set-user-id and set-group-id go,
 * from all but directories; "user." extended attributes stay, others go silently.
 */
#ifndef LARDER_ARCHIVE_FOREIGN_MEMBER_H
#define LARDER_ARCHIVE_FOREIGN_MEMBER_H

#include <locale.h>

#include "archive/foreign.h"
#include "archive/foreign_tree.h"

struct archive_entry;

struct foreign_members {
	const char *name;                      /* borrowed: of the archive */
	const struct foreign_options *options; /* borrowed */
	struct foreign_tree *tree;             /* owned until foreign_tree_finish() */
	struct buf path;                       /* scratch */
	struct buf target;                     /* scratch */
	uint64_t left_out;
	locale_t locale; /* owned: what libarchive converts names to */
	locale_t before; /* what the thread had */
};

/* Changes the thread's locale until foreign_members_finish(). In the C locale libarchive
 * hands out the names of a tar as they are, where in a UTF-8 one it would compose letters
 * and accents (Unicode's form NFC) and fail on what is no UTF-8; but it hands out no
 * UTF-8 names of a zip there. 0 or -ENOMEM. */
int foreign_members_init(struct foreign_members *m, const char *name, bool zip,
	const struct foreign_options *options);
void foreign_members_finish(struct foreign_members *m);

/* Puts the member into the tree. place: where its content will begin. 1: it has content,
 * for inode *ret; 0: it has none, or was left out; -EBADMSG past a limit; -ENOMEM. */
int foreign_members_add(struct foreign_members *m, struct archive_entry *entry,
	uint64_t place, uint32_t *ret, struct error *e);

/* True when content is to be expected: a regular file that is no hard link. */
bool foreign_member_has_content(struct archive_entry *entry);

/* Says how many more were left out than were warned of. */
void foreign_members_conclude(const struct foreign_members *m);

#endif
