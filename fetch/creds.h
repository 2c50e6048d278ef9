/*
 * Credentials for S3: where they come from, and fresh ones when they end.
 *
 * Sources in order, the first that has any wins and stays: environment; web identity
 * (AssumeRoleWithWebIdentity); profile files; container; instance metadata (v2 only,
 * short time-outs). A profile named by an option comes before the first two. creds_get()
 * answers from memory while they are good for five more minutes, else refreshes; one
 * thread refreshes while the others use what is still valid or wait. Profile files that
 * changed are read anew.
 *
 *             refresh fails: kept, tried again in a minute
 *                 +-----+
 *                 v     |            no longer valid, or refused by the store
 *     NONE --> GOOD --> AGEING ----------------------------------------------> NONE
 *          get        5 minutes left, or files changed      (get waits for the refresh)
 *
 * Those that the store may have refused are DOUBTED: get waits for the refresh as in
 * NONE, and when it fails they are kept as in AGEING.
 *
 * Secrets live in memory that is wiped before it is freed and kept out of core dumps
 * (madvise(MADV_DONTDUMP)); no error or log line ever holds one.
 */
#ifndef LARDER_FETCH_CREDS_H
#define LARDER_FETCH_CREDS_H

#include "fetch/base/call.h"
#include "fetch/base/cleanup.h"
#include "fetch/base/error.h"
#include "fetch/credentials.h"
#include "fetch/settings.h"

struct creds;

/* settings: profile, region, ca_bundle, stall_timeout_ns; copied. 0, -ENOMEM, -EINVAL for
 * a broken file that was named explicitly. No network yet. */
int creds_new(const struct settings *settings, struct creds **ret, struct error *e);
void creds_free(struct creds *c); /* no creds_get() may be under way */
DEFINE_CLEANUP(cleanup_creds, struct creds, creds_free);

/* The credentials of now, copied out; the caller wipes them. -EKEYREJECTED: none found,
 * or their source refused, in words that say where was looked. Also -ETIMEDOUT,
 * -ECANCELED, -EIO, -ENOMEM. */
int creds_get(struct creds *c, const struct call *call, struct credentials *ret,
	struct error *e);

/* The store has refused `used`: the next creds_get() reads its source anew. */
void creds_refused(struct creds *c, const struct credentials *used);

/* The store may have refused `used`, but did not say so: the next creds_get() asks their
 * source, unless that has failed within the last minute, and goes on with them if it has
 * none. */
void creds_doubted(struct creds *c, const struct credentials *used);

/* "the environment", "profile 'ci' in '/home/me/.aws/credentials'" ...; "" before the
 * first get. Borrowed; stays as long as c. */
const char *creds_origin(struct creds *c);

#endif
