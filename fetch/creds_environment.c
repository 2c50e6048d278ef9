/*
 * AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN.
 */
#include "fetch/creds_source.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static const char *get_variable(const char *name)
{
	const char *value = getenv(name);
	return value ? value : "";
}

static int get(struct creds_context *x, struct credentials *ret, struct error *e)
{
	const char *access_key = get_variable("AWS_ACCESS_KEY_ID");
	const char *secret_key = get_variable("AWS_SECRET_ACCESS_KEY");
	const char *token = get_variable("AWS_SESSION_TOKEN");
	if (!*access_key && !*secret_key)
		return error_set(e, -ENOENT, "AWS_ACCESS_KEY_ID is not set");
	if (!*access_key || !*secret_key)
		return error_set(e, -EKEYREJECTED, "'%s' is set, but '%s' is not",
			*access_key ? "AWS_ACCESS_KEY_ID" : "AWS_SECRET_ACCESS_KEY",
			*access_key ? "AWS_SECRET_ACCESS_KEY" : "AWS_ACCESS_KEY_ID");
	if (credentials_set(ret, access_key, secret_key, token, CREDS_NO_EXPIRY) < 0)
		return error_set(e, -EKEYREJECTED,
			"'AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY' or "
			"'AWS_SESSION_TOKEN' is too long or holds a blank");
	snprintf(x->origin, sizeof(x->origin), "the environment");
	return 0;
}

const struct creds_source creds_source_environment = {.get = get};
