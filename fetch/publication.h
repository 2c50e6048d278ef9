/*
 * A publication: one object on its way to one key, whole or not at all.
 *
 *   begin -> write* -> finish     published (or somebody else was first)
 *   begin -> write* -> free       nothing is left: no key, no multipart upload, no file
 *
 * The condition is If-None-Match: * (RFC 9110 section 13.1.2; S3 conditional writes) on
 * the PUT, or on CompleteMultipartUpload where the store is known to honour it there;
 * link(2) for a file: store. What the store honours is found out, not believed
 * (fetch/probe.h): the first publication to an unknown endpoint and bucket probes it.
 *
 * The way is chosen by the store: parts uploaded while bytes still arrive where Complete
 * is conditional; otherwise spooled to an unlinked temporary file and sent as one PUT (of
 * at most 5 GiB to S3). Memory is bounded either way (part size x parts under way).
 *
 * Each object carries a random nonce in its metadata, so that a 412 that answers our own
 * retried write is recognised as success.
 *
 * One publication is used by one thread at a time; several may run on one store.
 */
#ifndef LARDER_FETCH_PUBLICATION_H
#define LARDER_FETCH_PUBLICATION_H

#include "fetch/store.h"

enum publish_condition {
	PUBLISH_IF_ABSENT,        /* the first writer wins */
	PUBLISH_OVERWRITE,        /* --force: unconditional, asked for */
	PUBLISH_UNSAFE_OVERWRITE, /* --unsafe-overwrite: conditional where honoured, else
				     a look whether the key exists and then an
				     unconditional write */
};

struct publish_options {
	enum publish_condition condition;
	uint64_t expected_size; /* bytes, a guess for choosing part sizes; 0: unknown */
};

/* What finish() found. */
enum publish_outcome {
	PUBLISHED,         /* by us, now */
	ALREADY_PUBLISHED, /* somebody was first; their object is untouched */
};

struct publish_result {
	enum publish_outcome outcome;
	struct pin
		pin; /* of the object that is under the key now; etag "" when unknown */
};

struct publication;

/* May already look whether the key exists (so that packing need not start): then
 * -EEXIST. Others: -EOPNOTSUPP the store honours no condition; -EKEYREJECTED, -EACCES,
 * -ETIMEDOUT, -ECANCELED, -EIO, -ENOSPC, -ENOMEM. */
int publication_begin(struct store *s, const struct call *call, const char *key,
	const struct publish_options *options, struct publication **ret, struct error *e);

/* Appends len bytes. May block while parts are uploaded. Errors as begin; after one the
 * publication can only be freed. */
int publication_write(struct publication *p, const struct call *call, const void *data,
	size_t len, struct error *e);

/* Publishes. identity goes into x-amz-meta-larder-identity where the metadata is sent
 * after the bytes are known (single PUT, file). Errors as begin, and -EEXIST never: that
 * is the outcome ALREADY_PUBLISHED. -EAGAIN: another write to the key was under way,
 * which used up what was uploaded (S3's 409), and there is no object now: begin anew.
 *
 * The call's deadline bounds the sending, too, and a large object takes its time; what
 * does not move ends by itself (stall-timeout), so a distant deadline is safe. */
int publication_finish(struct publication *p, const struct call *call,
	const struct digest *identity, struct publish_result *ret, struct error *e);

/* Bytes accepted and bytes that have reached the store so far, for progress. */
void publication_progress(
	const struct publication *p, uint64_t *ret_written, uint64_t *ret_sent);

/* Frees; unfinished: undoes what was begun, within a few seconds of its own. */
void publication_free(struct publication *p);
DEFINE_CLEANUP(cleanup_publication, struct publication, publication_free);

#endif
