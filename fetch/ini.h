/*
 * AWS's configuration files, ~/.aws/config and ~/.aws/credentials.
 *
 *     # a comment, also with ';'
 *     [profile ci]
 *     region = eu-west-1        # behind blanks a comment may follow a value
 *     s3 =
 *         addressing_style = path
 *
 * An indented line under a property without a value is a property of that property; under
 * one with a value it goes on with the value, behind a line break. Keys are
 * compared without case, and of equal ones the last counts; '=' or ':' ends a key; lines
 * may end in CR LF; a UTF-8 byte order mark is skipped. Anything else is an error that
 * names the line: a misread file would end in requests signed by the wrong person.
 *
 * Holds secrets: in memory of fetch/secret.h, and never in an error.
 */
#ifndef LARDER_FETCH_INI_H
#define LARDER_FETCH_INI_H

#include "fetch/base/error.h"
#include "fetch/base/vec.h"

#define INI_TEXT_MAX    (1u << 20) /* bytes of a file */
#define INI_ENTRIES_MAX 16384      /* properties, and properties of properties */

/* One property, borrowed from the ini. */
struct ini_entry {
	const char *section; /* what stands in the brackets, a run of blanks as one, without
	                        quotes: [profile "a  b"] is "profile a  b" */
	const char *key;
	const char *subkey; /* NULL: the property itself */
	char *value;        /* "" when empty */
};

DEFINE_VEC(ini_entries, struct ini_entry);

struct ini {
	char *text; /* owned; the file, cut up by NULs */
	struct ini_entries entries;
};

/* Parses len bytes, which it copies; `name` is what errors call the file. 0, -EINVAL,
 * -EFBIG past a cap, -ENOMEM. *ret is written on success only: ini_finish() it. */
int ini_parse(
	const char *name, const char *data, size_t len, struct ini *ret, struct error *e);

/* Reads and parses the file. Also -errno of open(2) or read(2), -ENOENT among them. */
int ini_load(const char *path, struct ini *ret, struct error *e);

/* Accepts NULL and what is zeroed. */
void ini_finish(struct ini *ini);

/* The value, "" when it is empty, NULL when there is none. subkey may be NULL. Borrowed.
 */
const char *ini_get(
	const struct ini *ini, const char *section, const char *key, const char *subkey);

/* The same for a section of two words, as in [profile ci]. */
const char *ini_get_of(const struct ini *ini, const char *kind, const char *name,
	const char *key, const char *subkey);

#endif
