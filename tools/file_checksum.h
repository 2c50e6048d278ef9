/*
 * One SHA-256 over the files that some patterns name.
 *
 * Patterns are archive/glob.h's, matched against paths from a directory: "*" and "?" stay
 * within a name, "**" does not; names that begin with a dot are no exception. Symlinked
 * files are read, symlinked directories are not entered. A pattern's part before its
 * first wildcard says where the search begins ("../shared/" works), and how deep it goes
 * is bounded by its slashes unless it has "**".
 *
 * Of one file the result is what sha256sum prints for it; of several, that of the lines
 * that sha256sum prints for them ("digest", two spaces, path), sorted by path.
 */
#ifndef LARDER_TOOLS_FILE_CHECKSUM_H
#define LARDER_TOOLS_FILE_CHECKSUM_H

#include <stddef.h>

#include "fetch/base/digest.h"
#include "fetch/base/error.h"

#define FILE_CHECKSUM_FILES 100000 /* most files */

/* dirfd (borrowed): what relative patterns start from; AT_FDCWD will do. 0; -ENOENT: a
 * pattern without a file; -E2BIG: too many files; -errno of open(2), read(2). */
int file_checksum(int dirfd, const char *const *patterns, size_t count,
	struct digest *ret, struct error *e);

#endif
