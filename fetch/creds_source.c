#include "fetch/creds_source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/base/cleanup.h"
#include "fetch/secret.h"

void creds_context_finish(struct creds_context *x)
{
	creds_net_finish(&x->net);
	profile_files_finish(&x->files);
	x->has_files = false;
	free(x->ca_bundle);
	x->ca_bundle = NULL;
}

int creds_context_files(
	struct creds_context *x, const struct profile_files **ret, struct error *e)
{
	int r = x->has_files ? 0 : profile_files_load(x->paths, &x->files, e);
	if (r < 0)
		return r;
	x->has_files = true;
	*ret = &x->files;
	return 0;
}

int creds_context_token(struct creds_context *x, const char *file, const char *what,
	size_t max, char **ret, struct error *e)
{
	CLEANUP(cleanup_free) char *place = NULL;
	size_t len;
	int r = profile_paths_place(x->paths, file, &place);
	if (r == 0)
		r = secret_read_file(place, max, ret, &len);
	if (r < 0)
		return error_set(e, r == -ENOMEM ? r : -EKEYREJECTED,
			"cannot read the %s in '%s': %s", what, place ? place : file,
			strerror(-r));
	(*ret)[strcspn(*ret, "\r\n")] = '\0';
	return 0;
}

/* A wrong setting is found only now, when it is needed: for the user, no credentials. */
static int as_refused(int r)
{
	return r == -EINVAL || r == -EBADMSG ? -EKEYREJECTED : r;
}

static int assume(struct creds_context *x, const char *profile,
	const struct sts_role *role, const char *token, const struct credentials *base,
	struct credentials *ret, struct error *e)
{
	CLEANUP(sts_endpoint_finish) struct sts_endpoint endpoint = {0};
	const struct profile_files *files;
	int r = creds_context_files(x, &files, e);
	if (r == 0 && !x->net.ca_bundle)
		r = profile_get_path(files, profile, "ca_bundle", &x->ca_bundle);
	if (r == 0 && !x->net.ca_bundle)
		x->net.ca_bundle = x->ca_bundle;
	if (r == 0)
		r = sts_endpoint_find(x->settings, files, profile, &endpoint, e);
	if (r == 0)
		r = sts_assume(&x->net, x->call, &endpoint, role, token, base, ret, e);
	return as_refused(r);
}

int creds_from_token_file(struct creds_context *x, const char *profile, const char *file,
	const struct sts_role *role, struct credentials *ret, struct error *e)
{
	CLEANUP(cleanup_secret) char *token = NULL;
	int r = creds_context_token(
		x, file, "web identity token", STS_TOKEN_MAX, &token, e);
	if (r < 0)
		return r;
	if (!*token)
		return error_set(e, -EKEYREJECTED,
			"the web identity token in '%s' is empty", file);
	return assume(x, profile, role, token, NULL, ret, e);
}

int creds_from_role(struct creds_context *x, const char *profile,
	const struct sts_role *role, const struct credentials *base,
	struct credentials *ret, struct error *e)
{
	return assume(x, profile, role, NULL, base, ret, e);
}
