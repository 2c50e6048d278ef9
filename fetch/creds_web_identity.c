/*
 * AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN, as Kubernetes service accounts (IRSA) and
 * CI systems with OpenID Connect set them.
 */
#include "fetch/creds_source.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static const char *get_variable(const char *name)
{
	const char *value = getenv(name);
	return value && *value ? value : NULL;
}

static int get(struct creds_context *x, struct credentials *ret, struct error *e)
{
	const char *file = get_variable("AWS_WEB_IDENTITY_TOKEN_FILE");
	struct sts_role role = {.arn = get_variable("AWS_ROLE_ARN"),
		.session_name = get_variable("AWS_ROLE_SESSION_NAME")};
	if (!file)
		return error_set(e, -ENOENT, "AWS_WEB_IDENTITY_TOKEN_FILE is not set");
	if (!role.arn)
		return error_set(e, -EKEYREJECTED,
			"'AWS_WEB_IDENTITY_TOKEN_FILE' is set, but 'AWS_ROLE_ARN' is "
			"not");
	int r = creds_from_token_file(x, profile_name(x->settings), file, &role, ret, e);
	if (r == 0)
		snprintf(x->origin, sizeof(x->origin), "role '%.160s' by web identity",
			role.arn);
	return r;
}

const struct creds_source creds_source_web_identity = {.get = get};
