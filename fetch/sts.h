/*
 * AWS Security Token Service: credentials for a role (API version 2011-06-15).
 *
 * AssumeRoleWithWebIdentity proves who asks by a token; AssumeRole by a signature. Both
 * are a POST of a form, answered in XML. Messages of the service are not repeated in
 * errors, only its codes: a message might quote the token.
 */
#ifndef LARDER_FETCH_STS_H
#define LARDER_FETCH_STS_H

#include "fetch/base/call.h"
#include "fetch/base/error.h"
#include "fetch/credentials.h"
#include "fetch/creds_net.h"
#include "fetch/profile.h"
#include "fetch/settings.h"

#define STS_TOKEN_MAX 20000 /* bytes of a web identity token, as STS has it */
#define STS_CODE_SIZE 64

/* Where to ask. */
struct sts_endpoint {
	char *origin; /* owned */
	char *region; /* owned; to sign for */
};

/* From AWS_ENDPOINT_URL_STS, AWS_ENDPOINT_URL, the profile, else the region's own: of the
 * settings, else of the profile; with neither, the global one. 0; -EINVAL: a URL or a
 * region that is none; -ENOMEM. */
int sts_endpoint_find(const struct settings *settings, const struct profile_files *files,
	const char *profile, struct sts_endpoint *ret, struct error *e);
void sts_endpoint_finish(struct sts_endpoint *s);

/* Whom to become. Borrowed. */
struct sts_role {
	const char *arn;
	const char *session_name; /* NULL: made up */
	const char *external_id;  /* NULL: none */
	const char *duration_s;   /* decimal; NULL: the service's own */
};

/* One of token and base is NULL. 0; -EKEYREJECTED: the service says no; -EBADMSG: its
 * answer makes no sense; -ETIMEDOUT, -ECANCELED, -ENOMEM; -EIO other failures. */
int sts_assume(struct creds_net *net, const struct call *call,
	const struct sts_endpoint *endpoint, const struct sts_role *role,
	const char *token, const struct credentials *base, struct credentials *ret,
	struct error *e);

/* The credentials in an answer's XML. 0, -EBADMSG, -ENOMEM. Pure. */
int sts_parse_answer(const void *data, size_t len, struct credentials *ret);

/* The code of an error's XML, "" when it has none that could be shown. Pure. */
void sts_parse_error(const void *data, size_t len, char ret[static STS_CODE_SIZE]);

#endif
