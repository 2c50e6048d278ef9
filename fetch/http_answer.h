/*
 * What an answer proves about an object, and what it must say to be believed.
 *
 * Pure: an answer goes in, a verdict and a sentence come out. Servers are met that ignore
 * Range, If-Match or both, that answer a range with another range or with the whole
 * object, and whose answer is cut short; none of that gets past here (RFC 9110 sections
 * 8.8.3, 13.1.1, 14.4, 15.3.7).
 *
 * Verdicts that all four functions give:
 *   -ENOENT   404; a redirect to the same path with a '/' (a directory, not an object)
 *   -EACCES   401, 403
 *   -EBADMSG  the answer contradicts itself or the request: worth asking once more
 *   -EIO      any other status; 404 when it is the bucket that is not there
 */
#ifndef LARDER_FETCH_HTTP_ANSWER_H
#define LARDER_FETCH_HTTP_ANSWER_H

#include "fetch/http_target.h"
#include "fetch/pin.h"
#include "fetch/transfer.h"

/* The answer to "Range: bytes=-asked", its body in a sink of `asked` bytes. 0: *ret is
 * the pin, and response->received bytes are the object's last ones. -ERANGE: it cannot be
 * told from this (416, or a 200 with a body longer than asked): ask with HEAD and a plain
 * range. */
int http_answer_opening(const struct http_target *t, const struct http_response *response,
	size_t asked, struct pin *ret, struct error *e);

/* The answer to HEAD. */
int http_answer_look(const struct http_target *t, const struct http_response *response,
	struct pin *ret, struct error *e);

/* The answer to a range [offset, offset + len) bound by If-Match to the pin, its body in
 * a sink of len bytes. 0: the bytes are the pinned object's. -ESTALE: it is another one
 * now. */
int http_answer_range(const struct http_target *t, const struct http_response *response,
	const struct pin *pin, uint64_t offset, size_t len, struct error *e);

/* The answer to a plain GET bound so, its body in a sink of the pin's size. 0: it is the
 * pinned object, whole. -ESTALE: as above. */
int http_answer_whole(const struct http_target *t, const struct http_response *response,
	const struct pin *pin, struct error *e);

/* An s3:// store whose bucket is not there: -EIO, and what to do. */
int http_answer_no_bucket(const char *store, struct error *e);

/* Any answer that is not the one hoped for, in words: one of the common verdicts. */
int http_answer_refusal(const struct http_target *t, const struct http_response *response,
	struct error *e);

/* The same for a write: a 404 is no miss then, but a store that is not there: -EIO. */
int http_answer_write_refusal(const struct http_target *t,
	const struct http_response *response, struct error *e);

/* What the fields say of the whole object, whose size is known otherwise. */
void http_answer_pin(const struct http_fields *f, uint64_t size, struct pin *ret);

#endif
