/*
 * An object read over HTTP by ranges, for the s3:// and http(s):// stores.
 *
 * Opened with one suffix range; only where a server does not understand that (or says
 * 416, as some do for an empty object) a HEAD and a plain range follow. Every later range
 * is bound to the pin by If-Match, and its answer proved (fetch/http_answer.h).
 *
 * A weak ETag, or none, binds nothing (RFC 9110 section 13.1.1): such an object is opened
 * only when it came whole, and is then read from memory. So is one that came whole by a
 * 200 in place of a range (section 14.2), for that server may answer every range so; but
 * when its ETag is strong that memory may be dropped, and each range is then taken from
 * the whole, asked for with If-Match.
 *
 * On a versioned bucket the version that was opened stays readable after an overwrite or
 * a delete: a range that finds another version is asked for again by version id, and so
 * are the ones after it. (Not from the start: reading by version id takes a permission of
 * its own, s3:GetObjectVersion.)
 */
#ifndef LARDER_FETCH_HTTP_OBJECT_H
#define LARDER_FETCH_HTTP_OBJECT_H

#include "fetch/http_answer.h"
#include "fetch/store.h"

/* As store_open_object(); path and key of the target are copied, exchanger and store name
 * are borrowed for the object's life. */
int http_open_object(const struct http_target *t, const struct call *call,
	size_t tail_len, struct object **ret, bool *ret_denied, struct error *e);

/* As store_stat_object(): HEAD, or where that does not tell, the object's last byte. */
int http_stat_object(const struct http_target *t, const struct call *call,
	struct pin *ret, bool *ret_denied, struct error *e);

#endif
