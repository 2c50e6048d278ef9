#include "fetch/creds_container.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/base/cleanup.h"
#include "fetch/creds_source.h"
#include "fetch/origin.h"
#include "fetch/secret.h"

#define RELATIVE_ORIGIN "http://169.254.170.2"
#define ATTEMPTS        3
#define TIMEOUT_NS      (2 * NS_PER_SECOND) /* of one attempt */

/* --- the address ------------------------------------------------------------------- */

/* A loopback address, or one of the services': ECS, EKS, EKS over IPv6. */
static bool is_near(const char *origin)
{
	static const char *const hosts[] = {"localhost", "[::1]", "169.254.170.2",
		"169.254.170.23", "[fd00:ec2::23]"};
	char host[ORIGIN_HOST_MAX + 1];
	struct in_addr address;
	const char *authority = origin_authority(origin);
	const char *end = authority[0] == '[' ? strchr(authority, ']') + 1
					      : strchrnul(authority, ':');
	snprintf(host, sizeof(host), "%.*s", (int)(end - authority), authority);
	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++)
		if (!strcmp(host, hosts[i]))
			return true;
	return inet_pton(AF_INET, host, &address) == 1 &&
	       ntohl(address.s_addr) >> 24 == IN_LOOPBACKNET;
}

static bool is_path(const char *text)
{
	for (const char *p = text; *p; p++)
		if (*p <= ' ' || *p > '~' || *p == '#')
			return false;
	return text[0] == '/' || text[0] == '?' || !text[0];
}

static int join(const char *origin, const char *path, char **ret, struct error *e)
{
	if (!is_path(path) || strlen(origin) + strlen(path) > CONTAINER_URL_MAX)
		return error_set(e, -EKEYREJECTED,
			"the address of the container credential service at '%s' is not "
			"a URL",
			origin);
	char *url;
	if (asprintf(&url, "%s%s", origin, path) < 0)
		return error_set_errno(e, -ENOMEM, "cannot keep a URL");
	*ret = url;
	return 0;
}

static int from_full(const char *full, char **ret, struct error *e)
{
	CLEANUP(cleanup_free) char *origin = NULL;
	const char *rest;
	int r = origin_split(full, &origin, &rest, e);
	if (r < 0) {
		error_prefix(e, "AWS_CONTAINER_CREDENTIALS_FULL_URI: ");
		return r == -EINVAL ? -EKEYREJECTED : r;
	}
	if (strncmp(origin, "https:", 6) != 0 && !is_near(origin))
		return error_set(e, -EKEYREJECTED,
			"AWS_CONTAINER_CREDENTIALS_FULL_URI names '%s': over plain HTTP "
			"only "
			"this machine is asked for credentials",
			origin);
	return join(origin, rest, ret, e);
}

int container_url(const char *relative, const char *full, char **ret, struct error *e)
{
	if (relative && *relative && *relative != '/')
		return error_set(e, -EKEYREJECTED,
			"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI does not begin with '/'");
	if (relative && *relative)
		return join(RELATIVE_ORIGIN, relative, ret, e);
	if (full && *full)
		return from_full(full, ret, e);
	return error_set(e, -ENOENT, "no container service is named");
}

/* --- the authorisation ------------------------------------------------------------- */

/* What stands behind "Authorization: ". *ret stays NULL when there is none. */
static int read_token(struct creds_context *x, char **ret, struct error *e)
{
	const char *file = getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
	const char *token = getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN");
	if (file && *file)
		return creds_context_token(x, file, "container authorization token",
			CREDS_TOKEN_MAX, ret, e);
	if (!token || !*token)
		return 0;
	if (strlen(token) > CREDS_TOKEN_MAX || token[strcspn(token, "\r\n")])
		return error_set(e, -EKEYREJECTED,
			"'AWS_CONTAINER_AUTHORIZATION_TOKEN' is too long or has a line "
			"break");
	*ret = secret_new(strlen(token) + 1);
	if (!*ret)
		return error_set_errno(e, -ENOMEM, "cannot keep a token");
	strcpy(*ret, token);
	return 0;
}

/* --- the exchange ------------------------------------------------------------------ */

static int ask(struct creds_context *x, const char *url, const char *token,
	struct http_response *ret, struct error *e)
{
	CLEANUP(cleanup_secret) char *line = secret_new(CREDS_TOKEN_MAX + 64);
	if (!line)
		return error_set_errno(e, -ENOMEM, "cannot ask for credentials");
	snprintf(line, CREDS_TOKEN_MAX + 64, "Authorization: %s", token ? token : "");
	const char *headers[] = {"Accept: application/json", token ? line : NULL, NULL};
	struct creds_request q = {.method = "GET",
		.url = url,
		.headers = headers,
		.near = true,
		.timeout_ns = TIMEOUT_NS,
		.attempts = ATTEMPTS};
	int r = creds_net_ask(&x->net, x->call, &q, ret, e);
	return r == -ETIME ? -EIO : r;
}

static int read_answer(const struct http_response *answer, const char *shown,
	struct credentials *ret, struct error *e)
{
	if (answer->status != 200)
		return error_set(e,
			creds_status_is_busy(answer->status) ? -EIO : -EKEYREJECTED,
			"the container credential service at '%s' answered with status "
			"%d",
			shown, answer->status);
	if (credentials_from_json(
		    buf_str(&answer->body), answer->body.len, "Token", ret) < 0)
		return error_set(e, -EKEYREJECTED,
			"the container credential service at '%s' answered with "
			"something "
			"else than credentials",
			shown);
	return 0;
}

static int get(struct creds_context *x, struct credentials *ret, struct error *e)
{
	CLEANUP(cleanup_free) char *url = NULL;
	CLEANUP(cleanup_secret) char *token = NULL;
	CLEANUP(creds_answer_finish) struct http_response answer = {0};
	char shown[URL_DISPLAY_SIZE];
	int r = container_url(getenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
		getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI"), &url, e);
	if (r == 0)
		r = read_token(x, &token, e);
	if (r == 0)
		r = ask(x, url, token, &answer, e);
	if (r < 0)
		return r;
	url_display(url, shown);
	r = read_answer(&answer, shown, ret, e);
	if (r == 0)
		snprintf(x->origin, sizeof(x->origin),
			"the container service at '%.200s'", shown);
	return r;
}

const struct creds_source creds_source_container = {.get = get};
