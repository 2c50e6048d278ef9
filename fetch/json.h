/*
 * Single members out of a small JSON object (RFC 8259), as credential services answer.
 *
 * Every look-up checks the whole text: one object, nothing behind it, nested at most
 * JSON_DEPTH_MAX deep. Nothing is allocated and nothing kept, so a secret lies only where
 * the caller put it. Bytes above 0x7f are taken as they are. Pure.
 */
#ifndef LARDER_FETCH_JSON_H
#define LARDER_FETCH_JSON_H

#include <stddef.h>
#include <stdint.h>

#define JSON_DEPTH_MAX 32

/* The string member `name`, decoded and NUL-terminated, into size bytes. 0; -ENOENT when
 * there is none, or it is null; -EBADMSG when the text is not JSON, the name stands there
 * twice, or the member is no string that C can hold; -EMSGSIZE when it does not fit. */
int json_get_string(
	const char *text, size_t len, const char *name, char *ret, size_t size);

/* The integer member `name`. 0, -ENOENT; -EBADMSG also for fractions, exponents and what
 * an int64_t cannot hold. */
int json_get_integer(const char *text, size_t len, const char *name, int64_t *ret);

#endif
