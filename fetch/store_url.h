/*
 * The words STORE: which kind of store, and where.
 *
 *   s3://bucket[/prefix][?region=R&endpoint=URL&path-style=true|false]
 *   http://host[:port][/path]   https://...      (no user information, query, fragment)
 *   file:///dir   or a path with a slash in it   (relative ones become absolute)
 *
 * A prefix is taken letter by letter, as S3 tools do; the values of an s3 query and the
 * path of a file URL may be percent-encoded; an HTTP path must be, where RFC 3986 asks for
 * it. Pure but for file paths, which are made absolute against the working directory.
 */
#ifndef LARDER_FETCH_STORE_URL_H
#define LARDER_FETCH_STORE_URL_H

#include <stdbool.h>

#include "fetch/base/buf.h"
#include "fetch/base/cleanup.h"
#include "fetch/base/error.h"

#define STORE_URL_MAX 4096 /* bytes; of a file's path once it is absolute, too */

enum store_kind { STORE_FILE, STORE_S3, STORE_HTTP };

struct store_url {
	enum store_kind kind;
	char *origin;   /* owned; HTTP: "https://host[:port]"; others NULL */
	char *bucket;   /* owned; S3 only: 3 to 63 characters as S3 names allow, dots too */
	char *path;     /* owned; file: absolute directory; HTTP: "" or "/a/b", as given but
	                   for slashes at its end; S3: prefix without slashes at its ends, ""
	                   when none, otherwise a valid key */
	char *region;   /* owned; from the query; NULL: not said */
	char *endpoint; /* owned; from the query: "http(s)://host[:port]"; NULL: not said */
	int path_style; /* -1: not said */
};

/* -EINVAL with a sentence that names the URL (with user information blotted out) and what
 * is wrong with it; -ENOMEM; -errno when a relative path has no working directory. */
int store_url_parse(const char *text, struct store_url *ret, struct error *e);

/* The words to take when nobody named a store: $LARDER_STORE, else the folder larder below
 * $XDG_DATA_HOME or ~/.local/share. Appended to ret. 0; -EINVAL when none of them says;
 * -ENOMEM, -EMSGSIZE. */
int store_url_default(struct buf *ret, struct error *e);

/* Accepts NULL and what is zeroed. */
void store_url_finish(struct store_url *u);

#endif
