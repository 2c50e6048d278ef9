/*
 * A multipart upload that is fed a stream of bytes: they are cut into parts
 * (fetch/part_plan.h), and several parts are sent at once by threads of its own.
 *
 *   new -> write* -> complete      the object is there, or somebody else's
 *   new -> write* -> free          the upload is aborted: nothing is left
 *
 * The part being filled and those on their way are spools (fetch/spool.h): in memory up
 * to 64 MiB each, their number bounded by part_plan_in_flight(). write() blocks while
 * that many are on their way. The first failure of a part is what write() and complete()
 * return.
 *
 * One thread at a time calls these functions. The one mutex guards the queue of parts,
 * the ETags and the failure; it is a leaf (docs/threads.md).
 */
#ifndef LARDER_FETCH_S3_UPLOAD_H
#define LARDER_FETCH_S3_UPLOAD_H

#include "fetch/http_answer.h"
#include "fetch/part_plan.h"
#include "fetch/publication.h"

struct s3_upload;

struct s3_upload_options {
	const struct http_target *target; /* borrowed for the upload's life */
	const char *nonce;                /* the same */
	const char *spool_folder;         /* the same */
	struct part_plan plan;
	unsigned concurrency; /* most parts on their way */
	uint64_t *sent; /* borrowed; grows, atomically, by the bytes of sent parts */
};

/* Begins the upload. 0, -EACCES, -EIO, -EAGAIN no thread, others of exchange_perform().
 */
int s3_upload_new(const struct s3_upload_options *o, const struct call *call,
	struct s3_upload **ret, struct error *e);

/* Aborts what was not completed, within a few seconds; twice when parts were cut off,
 * which may be stored behind the first abort. Accepts NULL. */
void s3_upload_free(struct s3_upload *u);
DEFINE_CLEANUP(cleanup_s3_upload, struct s3_upload, s3_upload_free);

/* Appends. Errors as above, of spool_write(), and -EFBIG past what fits. */
int s3_upload_write(struct s3_upload *u, const struct call *call, const void *data,
	size_t len, struct error *e);

/* Waits for the parts and makes the object; with if_absent only where there is none.
 * -EAGAIN: another write was under way and used the upload up; the key is free, and the
 * whole publication can be tried again. -EOPNOTSUPP. */
int s3_upload_complete(struct s3_upload *u, const struct call *call, bool if_absent,
	struct publish_result *ret, struct error *e);

#endif
