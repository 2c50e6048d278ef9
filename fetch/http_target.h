/*
 * Where an object lies on a server: what s3:// and http(s):// stores hand to the modules
 * that read and write over HTTP.
 *
 * A root is a store's: exchanger, the path below which all keys lie, and the names for
 * sentences. A target is one key below it. Both are plain data that borrow everything.
 */
#ifndef LARDER_FETCH_HTTP_TARGET_H
#define LARDER_FETCH_HTTP_TARGET_H

#include "fetch/base/buf.h"
#include "fetch/base/error.h"

#define HTTP_PATH_MAX (16u << 10) /* bytes of a path, percent-encoded */

struct call;
struct exchanger;
struct http_target;

/* Makes the folders above a key that are not there. 1: there are some now that were not;
 * 0: nothing was missing; or an error. */
typedef int http_make_way_fn(
	const struct http_target *t, const struct call *call, struct error *e);

struct http_root {
	struct exchanger *exchanger;
	const char *path;           /* "" or "/a/b", percent-encoded */
	const char *store;          /* store_name() */
	http_make_way_fn *make_way; /* NULL: the store has no folders */
};

struct http_target {
	struct exchanger *exchanger;
	const char *path;  /* absolute, percent-encoded, as sent */
	const char *key;   /* below the store */
	const char *store; /* store_name() */
	http_make_way_fn *make_way;
};

/* The target of a key; path (empty, with a cap of HTTP_PATH_MAX) holds its path and must
 * outlive it, as root and key must. 0, -EINVAL when the path is too long, -ENOMEM. */
int http_target_of(const struct http_root *root, const char *key, struct buf *path,
	struct http_target *ret, struct error *e);

#endif
