/*
 * Where credentials can come from: one vtable, and what a source may use while it is
 * asked.
 *
 * fetch/creds.c asks the sources in order and stays with the first that has any. A source
 * that is not configured answers -ENOENT and says in *e what it missed, as a clause that
 * can stand in a list ("no AWS_ACCESS_KEY_ID is set"). Any other error is final: somebody
 * who configured a source does not want to act as another one's role by accident.
 */
#ifndef LARDER_FETCH_CREDS_SOURCE_H
#define LARDER_FETCH_CREDS_SOURCE_H

#include "fetch/base/call.h"
#include "fetch/base/error.h"
#include "fetch/credentials.h"
#include "fetch/creds_net.h"
#include "fetch/profile.h"
#include "fetch/settings.h"
#include "fetch/sts.h"

#define CREDS_ORIGIN_SIZE 256

/* One round of asking. Borrowed fields; creds_context_finish() ends what was started. */
struct creds_context {
	const struct settings *settings;
	const struct profile_paths *paths;
	const struct call *call;
	bool renewal; /* the source has answered before: it is there, whoever is silent */
	struct creds_net net;
	struct profile_files files; /* see creds_context_files() */
	bool has_files;
	char *ca_bundle; /* owned; of the first profile with one that asked STS */
	char origin[CREDS_ORIGIN_SIZE]; /* set by the source that answered, for people */
};

void creds_context_finish(struct creds_context *x);

/* The profile files, read when they are first asked for. 0, -EINVAL, -ENOMEM. */
int creds_context_files(
	struct creds_context *x, const struct profile_files **ret, struct error *e);

/* The first line of a file, relative to where we were started, in memory of
 * fetch/secret.h; what: the name it has in an error. 0; -EKEYREJECTED: it cannot be read
 * or is longer than max bytes; -ENOMEM. */
int creds_context_token(struct creds_context *x, const char *file, const char *what,
	size_t max, char **ret, struct error *e);

struct creds_source {
	/* 0 and x->origin; -ENOENT as above; -EKEYREJECTED: refused, or configured
	 * wrongly; -EIO, -ETIMEDOUT, -ECANCELED, -ENOMEM. */
	int (*get)(struct creds_context *x, struct credentials *ret, struct error *e);
};

extern const struct creds_source creds_source_environment;
extern const struct creds_source creds_source_web_identity;
extern const struct creds_source creds_source_profile;
extern const struct creds_source creds_source_container;
extern const struct creds_source creds_source_instance;

/* AssumeRoleWithWebIdentity with the token in that file, for the profile's endpoint.
 * Errors as of a source, but for -ENOENT. */
int creds_from_token_file(struct creds_context *x, const char *profile, const char *file,
	const struct sts_role *role, struct credentials *ret, struct error *e);

/* AssumeRole signed with base. The same errors. */
int creds_from_role(struct creds_context *x, const char *profile,
	const struct sts_role *role, const struct credentials *base,
	struct credentials *ret, struct error *e);

#endif
