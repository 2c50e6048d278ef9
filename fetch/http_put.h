/*
 * One object put under a key by one request, by the first writer only if so asked.
 *
 * The condition is If-None-Match: * (RFC 9110 section 13.1.2). An answer may get lost and
 * the request be sent again, which then meets its own success as a 412: so the object
 * carries a nonce in its metadata, and whoever is refused looks whose object is there.
 * A server of files keeps no metadata: what was refused is somebody else's then, and what
 * was never answered is there when the object has the same size and the same last bytes.
 */
#ifndef LARDER_FETCH_HTTP_PUT_H
#define LARDER_FETCH_HTTP_PUT_H

#include "fetch/http_answer.h"
#include "fetch/publication.h"

struct http_put {
	const struct http_target *target; /* borrowed, as everything here */
	bool if_absent;
	const char *nonce;
	const struct digest *identity; /* NULL: not said */

	const void *data; /* the body, or NULL: in fd, from its beginning */
	int fd;
	uint64_t len;                /* bytes */
	const struct digest *sha256; /* of the body */
};

enum put_verdict {
	PUT_STORED,
	PUT_EXISTS,      /* 412; and 304, which some stores answer for it */
	PUT_CONFLICT,    /* 409: another write is under way, or (WebDAV) no such folder */
	PUT_UNSUPPORTED, /* 405, 501: the store has no PUT, or none with the condition */
};

/* Sends it, once but for what exchange_perform() repeats. 0 and *ret, or -EACCES, -EIO
 * and others of exchange_perform(). *ret_pin is written for PUT_STORED. */
int http_put_once(const struct http_put *put, const struct call *call,
	enum put_verdict *ret, struct pin *ret_pin, struct error *e);

/* Sends it until it is known what became of it. Also -EOPNOTSUPP: the condition is refused
 * as unknown. */
int http_put_object(const struct http_put *put, const struct call *call,
	struct publish_result *ret, struct error *e);

/* Whose object is under the key? 0: *ret tells, by the nonce; -ENOENT: nobody's; -EACCES:
 * that may not be looked at, which is no sign of an object: without the right to list, S3
 * answers 403 for a key that is not there. */
int http_who_won(const struct http_target *t, const struct call *call, const char *nonce,
	struct publish_result *ret, struct error *e);

/* The same after a 412 or a 304, which prove that there was an object: one that may not
 * be looked at is somebody else's. */
int http_who_was_first(const struct http_target *t, const struct call *call,
	const char *nonce, struct publish_result *ret, struct error *e);

/* Waits a random while that grows with `tries`, from 0: at most 3 s. As call_pause(). */
int http_pause(const struct call *call, unsigned tries);

/* -EIO: it says of an unconditional PUT that it knows none. */
int http_refuse_writes(const struct http_target *t, struct error *e);

#define HTTP_CONFLICTS_MAX 8 /* tries that may end in a conflict */

#endif
