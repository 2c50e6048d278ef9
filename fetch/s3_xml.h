/*
 * The XML bodies of the S3 API that Larder reads and writes.
 *
 * Pure. What comes in is hostile: see fetch/xml_walk.h for the caps of the syntax, the
 * constants here for those of the content. Unknown elements are skipped, an element that
 * S3 promises once and comes twice is taken from its last place.
 */
#ifndef LARDER_FETCH_S3_XML_H
#define LARDER_FETCH_S3_XML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fetch/base/buf.h"
#include "fetch/base/vec.h"
#include "fetch/http_fields.h"
#include "fetch/pin.h"

#define S3_PAGE_ENTRIES_MAX 10000       /* S3 gives at most 1,000 a page */
#define S3_PAGE_BYTES_MAX   (16u << 20) /* of XML: 1,000 percent-encoded keys are 4 MiB */
#define S3_TOKEN_SIZE       4096        /* bytes of a continuation token, with the NUL */
#define S3_CODE_SIZE        64

struct s3_entry {
	char *key; /* owned; whole, as in the bucket; a folded one ends with '/' */
	bool is_directory; /* from CommonPrefixes */
	uint64_t size;
	int64_t mtime_s; /* seconds since the epoch; 0: absent or not understood */
};
DEFINE_VEC(s3_entry_vec, struct s3_entry);

/* One answer of ListObjectsV2, its entries in bytewise order of their keys. */
struct s3_page {
	struct s3_entry_vec entries;
	bool truncated; /* there is another page, behind next_token */
	char next_token[S3_TOKEN_SIZE];
};

/* Keys percent-encoded (EncodingType url) are decoded; one that then holds a NUL is left
 * out. 0; -EBADMSG: not such an answer, or a page that is truncated without a token;
 * -ENOMEM. */
int s3_xml_page(const void *data, size_t len, struct s3_page *ret);
void s3_page_finish(struct s3_page *page);

/* The upload id of an InitiateMultipartUploadResult. 0, -EBADMSG, -ENOMEM. */
int s3_xml_upload_id(const void *data, size_t len, char ret[static UPLOAD_ID_SIZE]);

/* What a 200 to CompleteMultipartUpload really says: S3 may send the status before it
 * knows, and an <Error> after it. */
struct s3_completion {
	bool failed;              /* the root is <Error> */
	char code[S3_CODE_SIZE];  /* of the error, "" when it has none */
	char etag[PIN_ETAG_SIZE]; /* of the object; "" when not said (radosgw) */
};

/* 0, -EBADMSG when it is neither, -ENOMEM. */
int s3_xml_completion(const void *data, size_t len, struct s3_completion *ret);

/* Appends the body of CompleteMultipartUpload: parts 1 to count with these ETags, as the
 * store sent them. 0, -EMSGSIZE, -ENOMEM. */
int s3_xml_write_parts(struct buf *ret, const char *const *etags, size_t count);

/* "2024-05-06T07:08:09.000Z" to seconds since the epoch; 0 when it is not of that form.
 */
int64_t s3_parse_time(const char *text);

#endif
