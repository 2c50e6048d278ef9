/*
 * The header fields of an answer that Larder reads, parsed (RFC 9110).
 *
 * Pure: http_fields_add() is fed one raw field line at a time. Unknown fields are ignored.
 *
 * Fields that say which bytes these are (ETag, x-amz-version-id, x-amz-meta-larder-*,
 * Content-Range, Content-Length) set `malformed` when they are malformed, over their cap,
 * folded over lines, or repeated with another value; the answer must then not be trusted
 * for a pin. The others (Date, Last-Modified, Retry-After, x-amz-bucket-region, Location)
 * count as absent when malformed; of repeated ones the first holds. A Date that no clock
 * shows, before 1970 or from the year 3000 on, is malformed: requests are signed for what
 * is learned from it, which knows no such times.
 */
#ifndef LARDER_FETCH_HTTP_FIELDS_H
#define LARDER_FETCH_HTTP_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fetch/pin.h"

#define REGION_SIZE    64
#define LOCATION_SIZE  2048
#define UPLOAD_ID_SIZE 1025

#define RETRY_AFTER_MAX INT32_MAX /* seconds; a longer delay is cut to this */

struct content_range {
	bool present;
	bool unsatisfied; /* "bytes * / size": only total is set */
	bool has_total;   /* false for "bytes 0-9 / *" */
	uint64_t first;   /* first and last byte, both inclusive as on the wire */
	uint64_t last;
	uint64_t total;
};

struct http_fields {
	char etag[PIN_ETAG_SIZE]; /* with quotes, and W/ when weak; "" when absent */
	char version_id[PIN_VERSION_SIZE];
	char nonce[NONCE_SIZE];
	bool has_identity;
	struct digest identity;
	struct content_range content_range;
	bool has_content_length;
	uint64_t content_length;
	bool has_date;
	int64_t date_s;          /* seconds since the epoch */
	int64_t last_modified_s; /* 0: absent */
	bool has_retry_after;
	int64_t retry_after_s; /* seconds from now when given as delay, else absolute: */
	bool retry_after_is_date;
	char bucket_region[REGION_SIZE]; /* x-amz-bucket-region: letters, digits, '-' */
	char location[LOCATION_SIZE];
	bool malformed;
	bool last_was_pinning; /* so that a folded line can be blamed on its field */
};

void http_fields_init(struct http_fields *f);

/* One field line without its line end, not NUL-terminated. A line that is no field (a
 * status line, the empty line) is ignored. */
void http_fields_add(struct http_fields *f, const char *line, size_t len);

/* RFC 9110 section 14.4. 0 or -EBADMSG; *ret set on success only. */
int parse_content_range(const char *value, size_t len, struct content_range *ret);

/* RFC 9110 section 5.6.7: IMF-fixdate and the two obsolete forms; the two-digit years of
 * RFC 850 are 1970 to 2069. 0 or -EBADMSG. */
int parse_http_date(const char *value, size_t len, int64_t *ret_s);

/* True for a strong entity tag: only those bind ranges (RFC 9110 section 8.8.3.2). */
bool etag_is_strong(const char *etag);

#endif
