/*
 * A tree's entry as a member of the tar: what docs/format.md says of an entry's headers.
 */
#ifndef LARDER_ARCHIVE_MEMBER_H
#define LARDER_ARCHIVE_MEMBER_H

#include <stdbool.h>

#include "archive/tar_header.h"
#include "archive/tree.h"

struct member {
	struct tar_member tar; /* borrows path and target from below */
	struct buf path;       /* owned */
	struct buf target;     /* owned; of hard links */
};

void member_init(struct member *m);
void member_finish(struct member *m);

/* Makes m the entry; with owner, its uid and gid go in. Valid until the next call. 0,
 * -ENAMETOOLONG past TREE_PATH_LIMIT, -ENOMEM. */
int member_set(struct member *m, const struct tree *t, uint32_t entry, bool owner);

/* The bytes of content that follow the headers, without padding. */
uint64_t member_content(const struct tree_entry *entry);

#endif
