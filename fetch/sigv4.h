/*
 * AWS Signature Version 4 for S3, as a pure function (the S3 API's "Authenticating
 * Requests: Using the Authorization Header").
 *
 * S3's rules: the path is encoded once and not normalised; the query is encoded and sorted
 * by name then value; x-amz-content-sha256 is always signed. What is sent may be encoded
 * more or less than the canonical form asks: both sides decode and encode again.
 */
#ifndef LARDER_FETCH_SIGV4_H
#define LARDER_FETCH_SIGV4_H

#include <stdbool.h>
#include <stdint.h>

#include "fetch/base/buf.h"
#include "fetch/credentials.h"

#define SIGV4_HEADERS_MAX    64
#define SIGV4_PARAMETERS_MAX 64
#define SIGV4_QUERY_MAX      (32u << 10) /* bytes of the canonical query */

struct sigv4_request {
	const char *method;
	const char *host;  /* as in the Host field, with a port that is not the default */
	const char *path;  /* as sent */
	const char *query; /* as sent, without '?'; any order; "" or NULL: none. A '+' in it
	                      means itself, not a space */
	const char *const *headers; /* "Name: value" to be signed, NULL-ended; NULL: none. Not
	                               Host and none of those that are made here */
	const char *payload_sha256; /* 64 hex digits or "UNSIGNED-PAYLOAD" */
	const char *region;
	const char *service; /* "s3", "sts" */
	int64_t time_s;      /* when, seconds since the epoch */
};

/* Appends to ret the field lines to send beside request->headers, each followed by a NUL:
 * Authorization, x-amz-date, x-amz-content-sha256 and, with a token,
 * x-amz-security-token. 0, -EINVAL (too many headers or parameters, a header that is no
 * field line, a time that no calendar has), -EMSGSIZE, -ENOMEM. The buffer holds the
 * token: its owner wipes it. */
int sigv4_sign(const struct sigv4_request *request, const struct credentials *c,
	struct buf *ret);

/* Percent-encodes all but A-Z a-z 0-9 - . _ ~ (and '/', with keep_slash). 0, -EMSGSIZE,
 * -ENOMEM. */
int uri_encode(struct buf *ret, const char *text, size_t len, bool keep_slash);

#endif
