/*
 * Answers of probes, kept in the cache directory.
 *
 * One small text file a scope, CACHE_DIR/probes/<SHA-256 of the scope>, mode 0600,
 * renamed into place. One that belongs to somebody else, or that others may write, counts
 * as not there: it could have been laid to make us trust a store.
 *
 *     larder probe 1
 *     scope s3 https://host bucket
 *     put atomic
 *     complete unknown
 *     when 1700000000
 */
#ifndef LARDER_FETCH_PROBE_RECORD_H
#define LARDER_FETCH_PROBE_RECORD_H

#include "fetch/base/buf.h"
#include "fetch/probe.h"

#define PROBE_RECORD_MAX 4096                      /* bytes */
#define PROBE_KEPT_NO_S  (INT64_C(24) * 3600)      /* how long "does not honour" counts */
#define PROBE_KEPT_YES_S (INT64_C(30) * 24 * 3600) /* and "honours" */

/* 0; -ENOENT: none that counts at now_s (seconds since the epoch). */
int probe_record_read(const char *cache_dir, const char *scope, int64_t now_s,
	struct probe_answer *ret);

/* Makes the directories. 0 or -errno, also of cache_folder_open(). */
int probe_record_write(
	const char *cache_dir, const char *scope, const struct probe_answer *answer);

/* The text and back. -EBADMSG when it is none, or of another scope. */
int probe_record_format(
	const char *scope, const struct probe_answer *answer, struct buf *ret);
int probe_record_parse(const char *text, const char *scope, struct probe_answer *ret);

#endif
