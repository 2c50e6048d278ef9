/*
 * The four requests of a multipart upload (S3 API: CreateMultipartUpload, UploadPart,
 * CompleteMultipartUpload, AbortMultipartUpload). Each blocks until answered.
 */
#ifndef LARDER_FETCH_S3_MULTIPART_H
#define LARDER_FETCH_S3_MULTIPART_H

#include "fetch/http_answer.h"
#include "fetch/spool.h"

struct s3_multipart {
	const struct http_target *target; /* borrowed */
	char *upload_query;               /* owned; "uploadId=..." */
};

/* Begins an upload whose object will carry the nonce. 0, -EACCES, -EIO, others of
 * exchange_perform(). When the call is ended (not by its deadline) meanwhile, the answer is
 * waited for two seconds more: 0 then, too, and the upload is the caller's to abort.
 *
 * An answer that is lost leaves an upload without parts, which nobody knows of and which
 * costs nothing; exchange_perform() asks for another one. */
int s3_multipart_create(const struct http_target *t, const struct call *call,
	const char *nonce, struct s3_multipart *ret, struct error *e);
void s3_multipart_finish(struct s3_multipart *m);

/* Sends a sealed spool as part `number` (from 1). *ret_etag: as the store sent it; free()
 * it. Same errors. */
int s3_multipart_part(const struct s3_multipart *m, const struct call *call,
	unsigned number, const struct spool *part, char **ret_etag, struct error *e);

enum complete_verdict {
	COMPLETE_STORED,
	COMPLETE_EXISTS,   /* another object was first */
	COMPLETE_CONFLICT, /* another write was under way: this upload is lost */
	COMPLETE_GONE, /* no such upload: completed before (a lost answer), or aborted */
	COMPLETE_UNSUPPORTED, /* 501 */
	COMPLETE_AGAIN,       /* a passing failure, said behind a 200 */
};

/* Makes the object of parts 1 to count. *ret_etag (PIN_ETAG_SIZE bytes): "" where the
 * store does not say. Same errors. */
int s3_multipart_complete(const struct s3_multipart *m, const struct call *call,
	bool if_absent, const char *const *etags, size_t count,
	enum complete_verdict *ret, char *ret_etag, struct error *e);

/* Removes what has been sent. 0 also when there is no such upload. */
int s3_multipart_abort(
	const struct s3_multipart *m, const struct call *call, struct error *e);

#endif
