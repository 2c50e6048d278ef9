#include "fetch/sts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "fetch/base/cleanup.h"
#include "fetch/base/digest.h"
#include "fetch/origin.h"
#include "fetch/secret.h"
#include "fetch/sigv4.h"
#include "fetch/xml_walk.h"

#define ATTEMPTS   3
#define FORM_MAX   (3u * STS_TOKEN_MAX + (16u << 10)) /* bytes */
#define LINES_MAX  (CREDS_TOKEN_MAX + 4096)           /* bytes of signed field lines */
#define SKEW_MAX_S 60 /* STS lets a signature be five minutes old */
#define FORM_TYPE  "Content-Type: application/x-www-form-urlencoded"

/* --- the endpoint ------------------------------------------------------------------ */

void sts_endpoint_finish(struct sts_endpoint *s)
{
	free(s->origin);
	free(s->region);
	*s = (struct sts_endpoint){0};
}

/* *ret stays NULL when no variable names one. */
static int origin_from_environment(char **ret, struct error *e)
{
	static const char *const variables[] = {
		"AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL"};
	const char *hide = getenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");
	if (hide && !strcasecmp(hide, "true"))
		return 0;
	for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++) {
		const char *value = getenv(variables[i]);
		if (!value || !*value)
			continue;
		int r = origin_parse(value, ret, e);
		if (r < 0)
			error_prefix(e, "%s: ", variables[i]);
		return r;
	}
	return 0;
}

/* AWS General Reference, "AWS STS endpoints". */
static int usual_origin(const char *region, char **ret, struct error *e)
{
	bool global = !region || !strcmp(region, "aws-global");
	const char *suffix = !global && !strncmp(region, "cn-", 3) ? ".cn" : "";
	char *origin;
	if (asprintf(&origin, "https://sts%s%s.amazonaws.com%s", global ? "" : ".",
		    global ? "" : region, suffix) < 0)
		return error_set_errno(e, -ENOMEM, "cannot keep an endpoint");
	*ret = origin;
	return 0;
}

int sts_endpoint_find(const struct settings *settings, const struct profile_files *files,
	const char *profile, struct sts_endpoint *ret, struct error *e)
{
	CLEANUP(sts_endpoint_finish) struct sts_endpoint s = {0};
	const char *region = settings->region;
	if (!region)
		region = profile_get(files, profile, "region", NULL);
	if (region && !region_is_valid(region))
		return error_set(e, -EINVAL, "profile '%s' has '%.64s' for a region",
			profile, region);
	int r = origin_from_environment(&s.origin, e);
	if (r == 0 && !s.origin)
		r = profile_endpoint(files, profile, "sts", &s.origin, e);
	if (r == 0 && !s.origin)
		r = usual_origin(region, &s.origin, e);
	if (r < 0)
		return r;
	s.region = strdup(region ? region : "us-east-1");
	if (!s.region)
		return error_set_errno(e, -ENOMEM, "cannot keep a region");
	*ret = s;
	s = (struct sts_endpoint){0};
	return 0;
}

/* --- the form ---------------------------------------------------------------------- */

static int append_field(struct buf *form, const char *name, const char *value)
{
	if (!value)
		return 0;
	int r = buf_printf(form, "&%s=", name);
	return r < 0 ? r : uri_encode(form, value, strlen(value), false);
}

/* The name shows up in the account's audit log. */
static int append_session_name(struct buf *form, const char *name)
{
	char made_up[64];
	snprintf(made_up, sizeof(made_up), "larder-%lld", (long long)clock_realtime_s());
	return append_field(form, "RoleSessionName", name ? name : made_up);
}

static int build_form(struct buf *form, const struct sts_role *role, const char *token)
{
	int r = buf_reserve(form, form->max); /* a form that grew would leave copies */
	if (r == 0)
		r = buf_printf(form, "Action=%s&Version=2011-06-15",
			token ? "AssumeRoleWithWebIdentity" : "AssumeRole");
	if (r == 0)
		r = append_field(form, "RoleArn", role->arn);
	if (r == 0)
		r = append_session_name(form, role->session_name);
	if (r == 0)
		r = append_field(form, "ExternalId", role->external_id);
	if (r == 0)
		r = append_field(form, "DurationSeconds", role->duration_s);
	return r < 0 ? r : append_field(form, "WebIdentityToken", token);
}

static int sign_form(const struct sts_endpoint *endpoint, const struct buf *form,
	const struct credentials *base, int64_t time_s, struct buf *lines)
{
	static const char *const headers[] = {FORM_TYPE, NULL};
	struct digest d;
	char hex[DIGEST_HEX_SIZE];
	int r = digest_of(form->data, form->len, &d);
	if (r < 0)
		return r;
	digest_hex(&d, hex);
	struct sigv4_request q = {.method = "POST",
		.host = origin_authority(endpoint->origin),
		.path = "/",
		.headers = headers,
		.payload_sha256 = hex,
		.region = endpoint->region,
		.service = "sts",
		.time_s = time_s};
	r = buf_reserve(lines, lines->max);
	return r < 0 ? r : sigv4_sign(&q, base, lines);
}

/* --- the answer -------------------------------------------------------------------- */

/* The parts of an answer, in memory that is wiped. */
struct answer {
	char access_key[CREDS_KEY_MAX], secret_key[CREDS_KEY_MAX];
	char token[CREDS_TOKEN_MAX];
	char expiration[64];
};

static const char *after_last_slash(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

static int keep(char *ret, size_t size, const char *text, size_t len)
{
	if (len >= size)
		return -EBADMSG;
	memcpy(ret, text, len + 1);
	return 0;
}

static int visit_answer(void *arg, const char *path, const char *text, size_t len)
{
	struct answer *a = arg;
	const char *name = after_last_slash(path);
	if (!strstr(path, "Result/Credentials/"))
		return 0;
	if (!strcmp(name, "AccessKeyId"))
		return keep(a->access_key, sizeof(a->access_key), text, len);
	if (!strcmp(name, "SecretAccessKey"))
		return keep(a->secret_key, sizeof(a->secret_key), text, len);
	if (!strcmp(name, "SessionToken"))
		return keep(a->token, sizeof(a->token), text, len);
	if (!strcmp(name, "Expiration"))
		return keep(a->expiration, sizeof(a->expiration), text, len);
	return 0;
}

int sts_parse_answer(const void *data, size_t len, struct credentials *ret)
{
	CLEANUP(cleanup_secret) struct answer *a = secret_new(sizeof(*a));
	if (!a)
		return -ENOMEM;
	int64_t expires_s = CREDS_NO_EXPIRY;
	int r = xml_walk(data, len, visit_answer, a);
	if (r == 0 && a->expiration[0])
		r = parse_timestamp(a->expiration, &expires_s);
	return r < 0 ? r
		     : credentials_set(
			       ret, a->access_key, a->secret_key, a->token, expires_s);
}

static bool is_code(const char *text)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.";
	return strspn(text, allowed) == strlen(text);
}

static int visit_error(void *arg, const char *path, const char *text, size_t len)
{
	bool is_it =
		!strcmp(path, "ErrorResponse/Error/Code") || !strcmp(path, "Error/Code");
	if (is_it && len < STS_CODE_SIZE && is_code(text))
		memcpy(arg, text, len + 1);
	return 0;
}

void sts_parse_error(const void *data, size_t len, char ret[static STS_CODE_SIZE])
{
	char code[STS_CODE_SIZE] = "";
	int r = xml_walk(data, len, visit_error, code);
	memcpy(ret, r == 0 ? code : "", r == 0 ? sizeof(code) : 1);
}

/* --- the exchange ------------------------------------------------------------------ */

/* STS says 400 when too many ask, and when the token's issuer cannot be reached (API:
 * Common Errors, AssumeRoleWithWebIdentity; the names are those that AWS's own tools try
 * again after). That is no verdict on the token. */
static bool says_busy(const struct http_response *answer)
{
	static const char *const codes[] = {"IDPCommunicationError",
		"RequestLimitExceeded", "RequestThrottled", "RequestThrottledException",
		"ThrottledException", "Throttling", "ThrottlingException",
		"TooManyRequestsException"};
	char code[STS_CODE_SIZE];
	if (answer->status == 200)
		return false;
	sts_parse_error(buf_str(&answer->body), answer->body.len, code);
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (!strcmp(code, codes[i]))
			return true;
	return false;
}

static int refused(const struct http_response *answer,
	const struct sts_endpoint *endpoint, const struct sts_role *role, struct error *e)
{
	char code[STS_CODE_SIZE];
	sts_parse_error(buf_str(&answer->body), answer->body.len, code);
	bool ours = answer->status >= 400 && !creds_status_is_busy(answer->status) &&
		    !says_busy(answer);
	return error_set(e, ours ? -EKEYREJECTED : -EIO,
		"'%s' refused role '%s': status %d%s%s", endpoint->origin, role->arn,
		answer->status, code[0] ? ", " : "", code);
}

static int read_answer(const struct http_response *answer,
	const struct sts_endpoint *endpoint, const struct sts_role *role,
	struct credentials *ret, struct error *e)
{
	if (answer->status != 200)
		return refused(answer, endpoint, role, e);
	int r = sts_parse_answer(buf_str(&answer->body), answer->body.len, ret);
	return r < 0 ? error_set(e, r,
			       "'%s' answered with something else than credentials",
			       endpoint->origin)
		     : 0;
}

/* lines: NUL-separated field lines, fewer than `most`. */
static void list_headers(const struct buf *lines, const char **ret, size_t most)
{
	size_t n = 0;
	ret[n++] = FORM_TYPE;
	for (size_t at = 0; at < lines->len && n + 1 < most; n++) {
		ret[n] = lines->data + at;
		at += strlen(ret[n]) + 1;
	}
	ret[n] = NULL;
}

static int post(struct creds_net *net, const struct call *call,
	const struct sts_endpoint *endpoint, const struct buf *form,
	const struct buf *lines, struct http_response *ret, struct error *e)
{
	const char *headers[8];
	char url[ORIGIN_HOST_MAX + 64];
	list_headers(lines, headers, sizeof(headers) / sizeof(headers[0]));
	snprintf(url, sizeof(url), "%s/", endpoint->origin);
	struct creds_request q = {.method = "POST",
		.url = url,
		.headers = headers,
		.body = form->data,
		.body_len = form->len,
		.attempts = ATTEMPTS,
		.says_busy = says_busy};
	return creds_net_ask(net, call, &q, ret, e);
}

/* One exchange, signed for that time where there are keys to sign with. */
static int ask(struct creds_net *net, const struct call *call,
	const struct sts_endpoint *endpoint, const struct buf *form,
	const struct credentials *base, int64_t time_s, struct http_response *ret,
	struct error *e)
{
	CLEANUP(secret_buf_finish) struct buf lines = BUF_INIT(LINES_MAX);
	int r = base ? sign_form(endpoint, form, base, time_s, &lines) : 0;
	if (r < 0)
		return error_set_errno(e, r == -ENOMEM ? r : -EBADMSG,
			"cannot sign a request to '%s'", endpoint->origin);
	r = post(net, call, endpoint, form, &lines, ret, e);
	return r == -ETIME ? -EIO : r;
}

/* Was a signed request refused by a server whose clock is another one? */
static bool is_skewed(const struct http_response *answer, int64_t time_s)
{
	int64_t off_s = answer->fields.has_date ? answer->fields.date_s - time_s : 0;
	return answer->status == 403 && (off_s > SKEW_MAX_S || off_s < -SKEW_MAX_S);
}

int sts_assume(struct creds_net *net, const struct call *call,
	const struct sts_endpoint *endpoint, const struct sts_role *role,
	const char *token, const struct credentials *base, struct credentials *ret,
	struct error *e)
{
	CLEANUP(secret_buf_finish) struct buf form = BUF_INIT(FORM_MAX);
	CLEANUP(creds_answer_finish) struct http_response answer = {0};
	int64_t now_s = clock_realtime_s();
	int r = build_form(&form, role, token);
	if (r < 0)
		return error_set_errno(e, r == -ENOMEM ? r : -EBADMSG,
			"cannot ask for role '%.128s'", role->arn);
	r = ask(net, call, endpoint, &form, base, now_s, &answer, e);
	if (r == 0 && base && is_skewed(&answer, now_s)) {
		int64_t theirs_s = answer.fields.date_s;
		creds_answer_finish(&answer);
		r = ask(net, call, endpoint, &form, base, theirs_s, &answer, e);
	}
	return r < 0 ? r : read_answer(&answer, endpoint, role, ret, e);
}
