/*
 * The instance metadata service of EC2, version 2 only: a token is fetched by PUT first,
 * so that neither a proxy nor a forged request gets at the credentials (EC2 User Guide,
 * "Use the Instance Metadata Service").
 *
 * Elsewhere nothing answers at that address, and a user without credentials must not wait
 * long to be told so.
 */
#include "fetch/creds_source.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "fetch/base/cleanup.h"
#include "fetch/json.h"
#include "fetch/origin.h"
#include "fetch/secret.h"
#include "fetch/sigv4.h"

#define IPV4_ORIGIN "http://169.254.169.254"
#define IPV6_ORIGIN "http://[fd00:ec2::254]"
#define ROLES_PATH  "/latest/meta-data/iam/security-credentials/"
#define TTL_LINE    "X-aws-ec2-metadata-token-ttl-seconds: 300"

#define TOKEN_MAX        1024 /* bytes */
#define ROLE_MAX         64   /* IAM: bytes of a role's name */
#define URL_MAX          (ORIGIN_HOST_MAX + 512)
#define TIMEOUT_MAX_S    60
#define ATTEMPTS_DEFAULT 2
#define ATTEMPTS_MAX     10

/* One visit. */
struct visit {
	struct creds_context *x;
	char *origin; /* owned */
	char *line;   /* owned, fetch/secret.h: the token's field line */
	uint64_t timeout_ns;
	unsigned attempts;
};

static const char *get_variable(const char *name)
{
	const char *value = getenv(name);
	return value && *value ? value : NULL;
}

static bool is_word(const char *value, const char *word)
{
	return value && !strcasecmp(value, word);
}

/* AWS_METADATA_SERVICE_TIMEOUT in seconds, and ..._NUM_ATTEMPTS; nonsense counts as
 * unset. */
static void read_patience(struct visit *v)
{
	const char *timeout = get_variable("AWS_METADATA_SERVICE_TIMEOUT");
	const char *attempts = get_variable("AWS_METADATA_SERVICE_NUM_ATTEMPTS");
	unsigned n;
	v->timeout_ns = NS_PER_SECOND;
	v->attempts = ATTEMPTS_DEFAULT;
	if (timeout && parse_count(timeout, TIMEOUT_MAX_S, &n) == 0 && n)
		v->timeout_ns = n * NS_PER_SECOND;
	if (attempts && parse_count(attempts, ATTEMPTS_MAX, &n) == 0 && n)
		v->attempts = n;
}

static int find_origin(struct visit *v, struct error *e)
{
	const char *said = get_variable("AWS_EC2_METADATA_SERVICE_ENDPOINT");
	const char *mode = get_variable("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");
	const char *usual = is_word(mode, "IPv6") ? IPV6_ORIGIN : IPV4_ORIGIN;
	int r = origin_parse(said ? said : usual, &v->origin, e);
	if (r == -EINVAL) {
		error_prefix(e, "AWS_EC2_METADATA_SERVICE_ENDPOINT: ");
		return -EKEYREJECTED;
	}
	return r;
}

static int ask(struct visit *v, const char *method, const char *path, const char *header,
	struct http_response *ret, struct error *e)
{
	char url[URL_MAX];
	const char *headers[] = {header, NULL};
	snprintf(url, sizeof(url), "%s%s", v->origin, path);
	struct creds_request q = {.method = method,
		.url = url,
		.headers = headers,
		.near = true,
		.timeout_ns = v->timeout_ns,
		.attempts = v->attempts};
	return creds_net_ask(&v->x->net, v->x->call, &q, ret, e);
}

static int wrong_status(const struct visit *v, int status, int code, struct error *e)
{
	return error_set(e, creds_status_is_busy(status) ? -EIO : code,
		"the instance metadata service at '%s' answered with status %d",
		v->origin, status);
}

/* The length of a body's first line when it could stand in a field line, else 0. */
static size_t first_line(const struct buf *body)
{
	size_t len = strcspn(buf_str(body), "\r\n");
	for (size_t i = 0; i < len; i++)
		if (body->data[i] <= ' ' || body->data[i] > '~')
			return 0;
	return len;
}

/* No answer, or one that is no token: this is not EC2, unless it was before. */
static int nobody_there(const struct visit *v, struct error *e)
{
	return error_set(e, v->x->renewal ? -EIO : -ENOENT,
		"no instance metadata service answers at '%s'", v->origin);
}

static int fetch_token(struct visit *v, struct error *e)
{
	CLEANUP(creds_answer_finish) struct http_response answer = {0};
	int r = ask(v, "PUT", "/latest/api/token", TTL_LINE, &answer, e);
	if (r == -ETIME || r == -EIO)
		return nobody_there(v, e);
	if (r < 0)
		return r;
	/* Other clouds have another service at this address, which wants other fields. */
	if (answer.status != 200)
		return wrong_status(v, answer.status, -ENOENT, e);
	size_t len = first_line(&answer.body);
	if (len == 0 || len > TOKEN_MAX)
		return nobody_there(v, e);
	v->line = secret_new(TOKEN_MAX + 64);
	if (!v->line)
		return error_set_errno(e, -ENOMEM, "cannot keep a token");
	snprintf(v->line, TOKEN_MAX + 64, "X-aws-ec2-metadata-token: %.*s", (int)len,
		answer.body.data);
	return 0;
}

/* From here on somebody is there: no answer is a failure. */
static int fetch(
	struct visit *v, const char *path, struct http_response *ret, struct error *e)
{
	int r = ask(v, "GET", path, v->line, ret, e);
	return r == -ETIME ? -EIO : r;
}

/* The first line of the list: an instance has one role at most. */
static int fetch_role(struct visit *v, char ret[static ROLE_MAX + 1], struct error *e)
{
	CLEANUP(creds_answer_finish) struct http_response answer = {0};
	int r = fetch(v, ROLES_PATH, &answer, e);
	if (r < 0)
		return r;
	if (answer.status == 404)
		return error_set(
			e, -ENOENT, "the instance at '%s' has no role", v->origin);
	if (answer.status != 200)
		return wrong_status(v, answer.status, -EKEYREJECTED, e);
	size_t len = first_line(&answer.body);
	if (len == 0 || len > ROLE_MAX)
		return error_set(e, -EKEYREJECTED,
			"the instance metadata service at '%s' names no role", v->origin);
	memcpy(ret, answer.body.data, len);
	ret[len] = '\0';
	return 0;
}

static int read_answer(const struct visit *v, const struct buf *body,
	struct credentials *ret, struct error *e)
{
	char code[64] = "";
	json_get_string(buf_str(body), body->len, "Code", code, sizeof(code));
	if (strcmp(code, "Success") != 0 ||
		credentials_from_json(buf_str(body), body->len, "Token", ret) < 0)
		return error_set(e, -EKEYREJECTED,
			"the instance metadata service at '%s' has no credentials for "
			"the "
			"instance's role",
			v->origin);
	return 0;
}

static int fetch_credentials(
	struct visit *v, const char *role, struct credentials *ret, struct error *e)
{
	CLEANUP(creds_answer_finish) struct http_response answer = {0};
	CLEANUP(buf_finish) struct buf path = BUF_INIT(512);
	int r = buf_append_str(&path, ROLES_PATH);
	if (r == 0)
		r = uri_encode(&path, role, strlen(role), false);
	if (r < 0)
		return error_set_errno(e, r, "cannot ask for a role");
	r = fetch(v, path.data, &answer, e);
	if (r < 0)
		return r;
	if (answer.status != 200)
		return wrong_status(v, answer.status, -EKEYREJECTED, e);
	return read_answer(v, &answer.body, ret, e);
}

static void visit_finish(struct visit *v)
{
	free(v->origin);
	secret_free(v->line);
}

static int get(struct creds_context *x, struct credentials *ret, struct error *e)
{
	CLEANUP(visit_finish) struct visit v = {.x = x};
	char role[ROLE_MAX + 1];
	if (is_word(get_variable("AWS_EC2_METADATA_DISABLED"), "true"))
		return error_set(e, -ENOENT, "AWS_EC2_METADATA_DISABLED is true");
	read_patience(&v);
	int r = find_origin(&v, e);
	if (r == 0)
		r = fetch_token(&v, e);
	if (r == 0)
		r = fetch_role(&v, role, e);
	if (r == 0)
		r = fetch_credentials(&v, role, ret, e);
	if (r == 0)
		snprintf(x->origin, sizeof(x->origin),
			"role '%s' of the instance at '%.160s'", role, v.origin);
	return r;
}

const struct creds_source creds_source_instance = {.get = get};
