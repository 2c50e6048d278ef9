#include "fetch/origin.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "fetch/base/buf.h"
#include "fetch/base/cleanup.h"

/* The last '@', written plainly or percent-encoded: where user information ends at the
 * latest. A pasted secret may hold '/' and '?', so the authority's end tells nothing. */
static const char *last_at(const char *text)
{
	const char *found = NULL;
	for (const char *p = text; *p; p++)
		if (*p == '@' || !strncmp(p, "%40", 3))
			found = p;
	return found;
}

/* Behind "scheme://" or "//", where user information may begin. */
static const char *find_authority(const char *url)
{
	const char *colon = url + strcspn(url, ":/?#@");
	if (!strncmp(colon, "://", 3))
		return colon + 3;
	return strncmp(url, "//", 2) ? url : url + 2;
}

void url_display(const char *url, char ret[static URL_DISPLAY_SIZE])
{
	const char *authority = find_authority(url);
	const char *at = strstr(url, "//") ? last_at(authority) : NULL;
	int scheme = (int)(authority - url);
	if (scheme > 32)
		scheme = 32;
	const char *shown = at ? at : url + scheme;
	size_t len = strcspn(shown, "?");
	bool cut = len > URL_DISPLAY_SIZE - 64;
	snprintf(ret, URL_DISPLAY_SIZE, "%.*s%s%.*s%s", scheme, url, at ? "***" : "",
		cut ? URL_DISPLAY_SIZE - 64 : (int)len, shown,
		cut || shown[len] ? "..." : "");
}

__attribute__((format(printf, 3, 4))) static int refuse(
	struct error *e, const char *url, const char *format, ...)
{
	char why[256], shown[URL_DISPLAY_SIZE];
	va_list ap;
	va_start(ap, format);
	vsnprintf(why, sizeof(why), format, ap);
	va_end(ap);
	url_display(url, shown);
	return error_set(e, -EINVAL, "'%s' %s", shown, why);
}

/* "[...]": RFC 3986's IP-literal, without zones and future versions. */
static bool is_ipv6_literal(const char *host, size_t len)
{
	char address[INET6_ADDRSTRLEN];
	struct in6_addr parsed;
	if (len < 4 || host[0] != '[' || host[len - 1] != ']' ||
		len - 2 >= sizeof(address))
		return false;
	memcpy(address, host + 1, len - 2);
	address[len - 2] = '\0';
	return inet_pton(AF_INET6, address, &parsed) == 1;
}

static bool is_host(const char *host, size_t len)
{
	if (!len || len > ORIGIN_HOST_MAX)
		return false;
	if (host[0] == '[')
		return is_ipv6_literal(host, len);
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)host[i];
		bool empty_label = c == '.' && (i == 0 || host[i - 1] == '.');
		if (empty_label || c > 0x7f || (!isalnum(c) && !strchr("-._", c)))
			return false;
	}
	return true;
}

/* Decimal, 1 to 65535; 0: no port. */
static unsigned parse_port(const char *text, size_t len)
{
	unsigned port = 0;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9' || port > 6553)
			return 0;
		port = port * 10 + (unsigned)(text[i] - '0');
	}
	return port <= 65535 ? port : 0;
}

static int append_canonical(
	struct buf *b, bool tls, const char *host, size_t len, unsigned port)
{
	int r = buf_append_str(b, tls ? "https://" : "http://");
	for (size_t i = 0; r == 0 && i < len; i++) {
		char c = (char)tolower((unsigned char)host[i]);
		r = buf_append(b, &c, 1);
	}
	if (r == 0 && port != (tls ? 443u : 80u))
		r = buf_printf(b, ":%u", port);
	return r;
}

/* The authority's host part ends at the ':' before a port; a bracketed one at ']'. */
static size_t host_length(const char *authority, size_t len)
{
	const char *bracket = authority[0] == '[' ? memchr(authority, ']', len) : NULL;
	if (bracket)
		return (size_t)(bracket + 1 - authority);
	const char *colon = memchr(authority, ':', len);
	return colon ? (size_t)(colon - authority) : len;
}

int origin_split(const char *text, char **ret, const char **ret_rest, struct error *e)
{
	bool tls = !strncasecmp(text, "https://", 8);
	if (!tls && strncasecmp(text, "http://", 7))
		return refuse(e, text, "does not begin with http:// or https://");
	const char *authority = text + (tls ? 8 : 7);
	size_t len = strcspn(authority, "/?#");
	if (memchr(authority, '@', len))
		return refuse(
			e, text, "has user information, which is not taken from a URL");
	size_t host_len = host_length(authority, len);
	if (!is_host(authority, host_len))
		return refuse(e, text, "has no valid host name or address");
	unsigned port = tls ? 443 : 80;
	if (host_len < len)
		port = authority[host_len] == ':'
			       ? parse_port(authority + host_len + 1, len - host_len - 1)
			       : 0;
	if (!port)
		return refuse(e, text, "has a port that is not a number from 1 to 65535");

	CLEANUP(buf_finish) struct buf b = BUF_INIT(ORIGIN_HOST_MAX + 32);
	int r = append_canonical(&b, tls, authority, host_len, port);
	if (r < 0)
		return error_set_errno(e, r, "cannot keep a URL");
	*ret = buf_steal(&b);
	*ret_rest = authority + len;
	return 0;
}

int origin_parse(const char *text, char **ret, struct error *e)
{
	CLEANUP(cleanup_free) char *origin = NULL;
	const char *rest;
	int r = origin_split(text, &origin, &rest, e);
	if (r < 0)
		return r;
	if (*rest && strcmp(rest, "/") != 0)
		return refuse(e, text, "has more than a scheme, a host and a port");
	*ret = steal_pointer(origin);
	return 0;
}

const char *origin_authority(const char *origin)
{
	return strstr(origin, "://") + 3;
}
