/*
 * Exclude patterns, in the manner of .gitignore lines.
 *
 *     node_modules   without a slash: that name at any depth
 *     /build  src/x  with a slash: that path from the top (a first "/" or "./" is
 *                    dropped)
 *     out/           with a trailing slash: directories only
 *     *  ?  [a-z]    any run of characters, one, one of a set ([!a-z]: one not of it);
 *                    none of them matches '/'
 *     **             any run, '/' included; "a/" + "**" + "/b" matches "a/b" too
 *     \              takes the next character as it is
 *
 * A character is a UTF-8 sequence, or a byte where there is none. Pure; time is bounded
 * by the product of the lengths, squared at worst by "**".
 */
#ifndef LARDER_ARCHIVE_GLOB_H
#define LARDER_ARCHIVE_GLOB_H

#include <stdbool.h>

#include "fetch/base/cleanup.h"

struct glob_set;

/* Does the whole text match the whole pattern (no meaning of slashes at its ends)? */
bool glob_match(const char *pattern, const char *text);

/* lines: NULL-ended, or NULL for none; copied. 0 or -ENOMEM. */
int glob_set_new(const char *const *lines, struct glob_set **ret);
void glob_set_free(struct glob_set *set);
DEFINE_CLEANUP(cleanup_glob_set, struct glob_set, glob_set_free);

/* Does a pattern match the entry at path, which has no leading slash? What lies in a
 * directory that matched is not asked for. */
bool glob_set_matches(const struct glob_set *set, const char *path, bool is_directory);

#endif
