/*
 * The s3:// store: a bucket, and the keys below a prefix in it.
 *
 * Where requests go: the endpoint from the settings, else from the URL, else from the
 * profile, else AWS's for the region. With AWS the bucket is part of the host name
 * (except where it has dots, which no certificate covers); at other endpoints it is the
 * first part of the path; the settings, the URL or the profile may say otherwise.
 *
 * Nothing changes after store_s3_new(); the exchanger has its own locks.
 */
#ifndef LARDER_FETCH_STORE_S3_H
#define LARDER_FETCH_STORE_S3_H

#include "fetch/creds.h"
#include "fetch/exchange.h"
#include "fetch/http_target.h"
#include "fetch/store_impl.h"

struct store_s3 {
	struct store base;
	struct creds *creds;         /* owned; NULL: requests are not signed */
	struct exchanger *exchanger; /* owned */
	char *endpoint;              /* owned; "https://host[:port]" without the bucket */
	char *bucket;                /* owned */
	char *prefix;                /* owned; "" or "a/b/" */
	char *bucket_path;           /* owned; "/bucket", or "" where the host has it */
	char *root_path;             /* owned; the path below which all keys lie */
};

/* The root, borrowing from the store. */
struct http_root store_s3_root(const struct store_s3 *s);

/* -EINVAL when prefix and key together are longer than S3's keys. */
int store_s3_check_key(const struct store_s3 *s, const char *key, struct error *e);

/* The operations that have a file of their own. */
int store_s3_list(struct store *base, const struct call *call, const char *prefix,
	bool deep, list_fn *fn, void *arg, struct error *e);
int store_s3_probe(struct store *base, const struct call *call, unsigned racers,
	unsigned rounds, struct probe_answer *ret, struct error *e);

#endif
