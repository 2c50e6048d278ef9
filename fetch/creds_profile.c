/*
 * A profile: keys of its own, a role that another profile or source assumes, or a command
 * that prints credentials.
 *
 * Within a profile the order is: role_arn, keys, credential_process. source_profile leads
 * from profile to profile; one that names itself means its own keys.
 */
#include "fetch/creds_source.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fetch/base/cleanup.h"
#include "fetch/command.h"
#include "fetch/json.h"
#include "fetch/secret.h"

#define CHAIN_MAX  8           /* profiles from role to role */
#define OUTPUT_MAX (64u << 10) /* bytes that a credential_process may print */

/* One profile on the way, and the depth it was met at. */
struct step {
	struct creds_context *x;
	const struct profile_files *files;
	const char *name;
	unsigned depth;
};

static int resolve(const struct step *s, struct credentials *ret, struct error *e);

/* NULL also for an empty value. */
static const char *get_property(const struct step *s, const char *key)
{
	const char *value = profile_get(s->files, s->name, key, NULL);
	return value && *value ? value : NULL;
}

__attribute__((format(printf, 3, 4))) static int refuse(
	const struct step *s, struct error *e, const char *format, ...)
{
	char why[512];
	va_list ap;
	va_start(ap, format);
	vsnprintf(why, sizeof(why), format, ap);
	va_end(ap);
	return error_set(e, -EKEYREJECTED, "profile '%.128s' %s", s->name, why);
}

/* --- keys -------------------------------------------------------------------------- */

static int get_keys(const struct step *s, struct credentials *ret, struct error *e)
{
	const char *access_key = get_property(s, "aws_access_key_id");
	const char *secret_key = get_property(s, "aws_secret_access_key");
	const char *token = get_property(s, "aws_session_token");
	if (!access_key && !secret_key)
		return error_set(
			e, -ENOENT, "profile '%.128s' has no aws_access_key_id", s->name);
	if (!access_key || !secret_key)
		return refuse(s, e, "has '%s' without '%s'",
			access_key ? "aws_access_key_id" : "aws_secret_access_key",
			access_key ? "aws_secret_access_key" : "aws_access_key_id");
	if (credentials_set(ret, access_key, secret_key, token, CREDS_NO_EXPIRY) < 0)
		return refuse(s, e, "has keys that are too long or hold a blank");
	snprintf(s->x->origin, sizeof(s->x->origin), "profile '%.64s' in '%.160s'",
		s->name, profile_file_of(s->files, s->name, "aws_access_key_id"));
	return 0;
}

/* --- credential_process ------------------------------------------------------------ */

static int run_process(const struct step *s, const char *line, char **ret_text,
	size_t *ret_len, struct error *e)
{
	int status;
	int r = command_output(s->x->call, line, s->x->paths->directory, OUTPUT_MAX,
		ret_text, ret_len, &status);
	if (r == -ETIMEDOUT || r == -ECANCELED || r == -ENOMEM)
		return error_set_errno(
			e, r, "credential_process of profile '%.128s'", s->name);
	if (r < 0)
		return refuse(
			s, e, "has a credential_process that failed: %s", strerror(-r));
	if (status != 0) {
		secret_free(steal_pointer(*ret_text));
		return refuse(s, e, "has a credential_process that failed");
	}
	return 0;
}

/* The SDKs' reference, "Process credential provider". */
static int get_from_process(
	const struct step *s, const char *line, struct credentials *ret, struct error *e)
{
	CLEANUP(cleanup_secret) char *text = NULL;
	size_t len;
	int64_t version;
	int r = run_process(s, line, &text, &len, e);
	if (r < 0)
		return r;
	if (json_get_integer(text, len, "Version", &version) < 0 || version != 1 ||
		credentials_from_json(text, len, "SessionToken", ret) < 0)
		return refuse(s, e,
			"has a credential_process that prints no credentials of version "
			"1");
	snprintf(s->x->origin, sizeof(s->x->origin),
		"credential_process of profile '%.128s'", s->name);
	return 0;
}

/* --- roles ------------------------------------------------------------------------- */

static int get_from_source(
	const struct step *s, const char *name, struct credentials *ret, struct error *e)
{
	static const struct {
		const char *name;
		const struct creds_source *source;
	} sources[] = {
		{"Environment", &creds_source_environment},
		{"EcsContainer", &creds_source_container},
		{"Ec2InstanceMetadata", &creds_source_instance},
	};
	for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
		if (strcmp(sources[i].name, name) != 0)
			continue;
		int r = sources[i].source->get(s->x, ret, e);
		if (r < 0)
			error_prefix(
				e, "credential_source of profile '%.128s': ", s->name);
		return r == -ENOENT ? -EKEYREJECTED : r;
	}
	return refuse(s, e, "has '%.64s' for a credential_source", name);
}

static int get_from_profile(
	const struct step *s, const char *name, struct credentials *ret, struct error *e)
{
	struct step next = {s->x, s->files, name, s->depth + 1};
	if (!strcmp(name, s->name))
		return get_keys(s, ret, e);
	if (next.depth == CHAIN_MAX)
		return refuse(
			s, e, "ends a chain of more than %d source_profiles", CHAIN_MAX);
	if (!profile_exists(s->files, name))
		return refuse(s, e, "names source_profile '%.128s', which does not exist",
			name);
	return resolve(&next, ret, e);
}

static int get_base(const struct step *s, struct credentials *ret, struct error *e)
{
	const char *profile = get_property(s, "source_profile");
	const char *source = get_property(s, "credential_source");
	if (!profile && !source)
		return refuse(s, e,
			"has a role_arn without source_profile, credential_source or "
			"web_identity_token_file");
	if (profile && source)
		return refuse(s, e, "has both source_profile and credential_source");
	int r = profile ? get_from_profile(s, profile, ret, e)
			: get_from_source(s, source, ret, e);
	return r == -ENOENT ? -EKEYREJECTED : r;
}

static int assume_with_base(const struct step *s, const struct sts_role *role,
	struct credentials *ret, struct error *e)
{
	CLEANUP(credentials_wipe) struct credentials base = {0};
	int r = get_base(s, &base, e);
	return r < 0 ? r : creds_from_role(s->x, s->name, role, &base, ret, e);
}

static int get_role(
	const struct step *s, const char *arn, struct credentials *ret, struct error *e)
{
	const char *token_file = get_property(s, "web_identity_token_file");
	struct sts_role role = {.arn = arn,
		.session_name = get_property(s, "role_session_name"),
		.external_id = get_property(s, "external_id"),
		.duration_s = get_property(s, "duration_seconds")};
	if (get_property(s, "mfa_serial"))
		return refuse(
			s, e, "has an mfa_serial: a code from a person is not supported");
	int r = token_file
			? creds_from_token_file(s->x, s->name, token_file, &role, ret, e)
			: assume_with_base(s, &role, ret, e);
	if (r == 0)
		snprintf(s->x->origin, sizeof(s->x->origin),
			"role '%.128s' of profile '%.64s'", arn, s->name);
	return r;
}

/* --- all --------------------------------------------------------------------------- */

static int resolve(const struct step *s, struct credentials *ret, struct error *e)
{
	const char *arn = get_property(s, "role_arn");
	if (arn)
		return get_role(s, arn, ret, e);
	int r = get_keys(s, ret, e);
	const char *process = get_property(s, "credential_process");
	if (r == -ENOENT && process)
		return get_from_process(s, process, ret, e);
	if (r == -ENOENT &&
		(get_property(s, "sso_session") || get_property(s, "sso_start_url")))
		return refuse(s, e,
			"signs in by SSO, which is not supported; use a profile whose "
			"credential_process is 'aws configure export-credentials "
			"--profile "
			"%.64s --format process'",
			s->name);
	return r;
}

/* A profile that was asked for by name and is not there is no reason to go on as whoever
 * the machine is. */
static int get(struct creds_context *x, struct credentials *ret, struct error *e)
{
	struct step s = {.x = x, .name = profile_name(x->settings)};
	bool named = x->settings->profile != NULL;
	int r = creds_context_files(x, &s.files, e);
	if (r < 0)
		return r == -EINVAL ? -EKEYREJECTED : r;
	if (!profile_exists(s.files, s.name))
		return error_set(e, named ? -EKEYREJECTED : -ENOENT,
			"profile '%.128s' is neither in '%.128s' nor in '%.128s'", s.name,
			x->paths->credentials ? x->paths->credentials
					      : "~/.aws/credentials",
			x->paths->config ? x->paths->config : "~/.aws/config");
	return resolve(&s, ret, e);
}

const struct creds_source creds_source_profile = {.get = get};
