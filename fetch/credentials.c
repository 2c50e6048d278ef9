#include "fetch/credentials.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>
#include <time.h>

#include "fetch/base/cleanup.h"
#include "fetch/json.h"

#define TIMESTAMP_MAX 64

void credentials_wipe(struct credentials *c)
{
	explicit_bzero(c, sizeof(*c));
}

static bool is_field_text(const char *text)
{
	for (const char *p = text; *p; p++)
		if (*p <= ' ' || *p > '~')
			return false;
	return true;
}

static int set_part(char *ret, size_t size, const char *text)
{
	size_t len = strlen(text);
	if (len >= size || !is_field_text(text))
		return -EBADMSG;
	memcpy(ret, text, len + 1);
	return 0;
}

int credentials_set(struct credentials *ret, const char *access_key,
	const char *secret_key, const char *token, int64_t expires_s)
{
	CLEANUP(credentials_wipe) struct credentials c = {.expires_s = expires_s};
	if (!*access_key || !*secret_key ||
		set_part(c.access_key, sizeof(c.access_key), access_key) < 0 ||
		set_part(c.secret_key, sizeof(c.secret_key), secret_key) < 0 ||
		set_part(c.session_token, sizeof(c.session_token), token ? token : "") <
			0)
		return -EBADMSG;
	*ret = c;
	return 0;
}

/* A missing member leaves what is there. */
static int optional(int r)
{
	return r == -ENOENT ? 0 : r;
}

int credentials_from_json(
	const char *text, size_t len, const char *token_name, struct credentials *ret)
{
	CLEANUP(credentials_wipe) struct credentials c = {.expires_s = CREDS_NO_EXPIRY};
	char expiry[TIMESTAMP_MAX] = "";
	int r = json_get_string(
		text, len, "AccessKeyId", c.access_key, sizeof(c.access_key));
	if (r == 0)
		r = json_get_string(
			text, len, "SecretAccessKey", c.secret_key, sizeof(c.secret_key));
	if (r == 0)
		r = optional(json_get_string(
			text, len, token_name, c.session_token, sizeof(c.session_token)));
	if (r == 0)
		r = optional(
			json_get_string(text, len, "Expiration", expiry, sizeof(expiry)));
	if (r == 0 && expiry[0])
		r = parse_timestamp(expiry, &c.expires_s);
	if (r < 0)
		return -EBADMSG;
	return credentials_set(
		ret, c.access_key, c.secret_key, c.session_token, c.expires_s);
}

/* Both arrays hold size bytes; what lies behind the NUL is not compared. */
static bool same_text(const char *a, const char *b)
{
	size_t len = strlen(a);
	return len == strlen(b) && CRYPTO_memcmp(a, b, len) == 0;
}

bool credentials_equal(const struct credentials *a, const struct credentials *b)
{
	return same_text(a->access_key, b->access_key) &&
	       same_text(a->secret_key, b->secret_key) &&
	       same_text(a->session_token, b->session_token);
}

/* Two digits, below `limit`; -1 when they are not. */
static int two_digits(const char *p, int limit)
{
	if (p[0] < '0' || p[0] > '9' || p[1] < '0' || p[1] > '9')
		return -1;
	int n = (p[0] - '0') * 10 + (p[1] - '0');
	return n < limit ? n : -1;
}

/* "Z", "+hh:mm", "-hhmm". */
static int parse_offset(const char *text, int *ret_s)
{
	if (!strcmp(text, "Z")) {
		*ret_s = 0;
		return 0;
	}
	if (text[0] != '+' && text[0] != '-')
		return -EBADMSG;
	int hours = two_digits(text + 1, 24);
	if (hours < 0)
		return -EBADMSG;
	const char *rest = text + 3 + (text[3] == ':');
	int minutes = two_digits(rest, 60);
	if (minutes < 0 || rest[2])
		return -EBADMSG;
	*ret_s = (hours * 60 + minutes) * (text[0] == '-' ? -60 : 60);
	return 0;
}

int parse_timestamp(const char *text, int64_t *ret_s)
{
	struct tm tm = {0};
	int offset_s;
	if (strspn(text, "0123456789") != 4)
		return -EBADMSG;
	const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	if (!rest)
		return -EBADMSG;
	if (*rest == '.')
		rest += 1 + strspn(rest + 1, "0123456789");
	if (parse_offset(rest, &offset_s) < 0)
		return -EBADMSG;
	*ret_s = (int64_t)timegm(&tm) - offset_s;
	return 0;
}
