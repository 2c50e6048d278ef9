/*
 * The names of members of foreign archives, and the one rule for them.
 *
 * A name is cut at '/'. Components that are empty or "." vanish. Components ".." before
 * the first ordinary one vanish too, so that "../../cache/x" and "/cache/x" are both
 * "cache/x". A ".." behind an ordinary component, a component of more than 255 bytes, or
 * more than DEPTH_LIMIT of them make the member be left out. What comes out empty is the
 * root. Targets of hard links go by the same rule; targets of symlinks are nobody's names,
 * and stay as they are.
 *
 * Pure. docs/foreign.md says it for people.
 */
#ifndef LARDER_ARCHIVE_FOREIGN_NAME_H
#define LARDER_ARCHIVE_FOREIGN_NAME_H

#include "fetch/base/buf.h"

#define FOREIGN_NAME_LIMIT 32768 /* bytes of a whole name */

enum foreign_name_fault {
	FOREIGN_NAME_FINE,
	FOREIGN_NAME_ASCENDS, /* ".." behind an ordinary component */
	FOREIGN_NAME_LONG,    /* a component or the whole is too long */
	FOREIGN_NAME_DEEP,    /* more than DEPTH_LIMIT components are left */
	FOREIGN_NAME_NUL,     /* holds a NUL */
};

/* Writes the name of len bytes as "a/b/c" into out (cleared first), "" for the root.
 * 0; -EINVAL, and *ret_fault says why; -ENOMEM. */
int foreign_name(const char *name, size_t len, struct buf *out,
	enum foreign_name_fault *ret_fault);

/* Ends "'x' was left out: ...". */
const char *foreign_name_reason(enum foreign_name_fault fault);

#endif
