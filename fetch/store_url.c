#include "fetch/store_url.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "fetch/base/buf.h"
#include "fetch/key.h"
#include "fetch/origin.h"
#include "fetch/percent.h"
#include "fetch/settings.h"

#define BUCKET_MIN 3
#define BUCKET_MAX 63

void store_url_finish(struct store_url *u)
{
	if (!u)
		return;
	free(u->origin);
	free(u->bucket);
	free(u->path);
	free(u->region);
	free(u->endpoint);
	*u = (struct store_url){.path_style = -1};
}

__attribute__((format(printf, 3, 4))) static int refuse(
	struct error *e, const char *url, const char *format, ...)
{
	char why[ERROR_TEXT_SIZE - URL_DISPLAY_SIZE], shown[URL_DISPLAY_SIZE];
	va_list ap;
	va_start(ap, format);
	vsnprintf(why, sizeof(why), format, ap);
	va_end(ap);
	url_display(url, shown);
	return error_set(e, -EINVAL, "store '%s' %s", shown, why);
}

static int out_of_memory(struct error *e)
{
	return error_set_errno(e, -ENOMEM, "cannot keep a store's name");
}

static int copy_bytes(const char *text, size_t len, char **ret, struct error *e)
{
	char *copy = strndup(text, len);
	if (!copy)
		return out_of_memory(e);
	*ret = copy;
	return 0;
}

/* Percent-decoding (RFC 3986 section 2.1). -EINVAL: a bad escape, or an escaped NUL. */
static int decode(const char *text, size_t len, char **ret)
{
	char *out = malloc(len + 1);
	if (!out)
		return -ENOMEM;
	size_t n = 0;
	for (size_t i = 0; i < len; i++) {
		int byte = (unsigned char)text[i];
		if (byte == '%') {
			byte = i + 2 < len ? percent_byte(text + i) : -1;
			i += 2;
		}
		if (byte <= 0) {
			free(out);
			return -EINVAL;
		}
		out[n++] = (char)byte;
	}
	out[n] = '\0';
	*ret = out;
	return 0;
}

/* --- s3 ---------------------------------------------------------------------------- */

static bool is_bucket_character(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
}

/* The S3 User Guide's "Bucket naming rules", without the reserved prefixes: those are the
 * server's to refuse. */
static const char *bucket_fault(const char *bucket)
{
	size_t len = strlen(bucket);
	struct in_addr address;
	if (len < BUCKET_MIN || len > BUCKET_MAX)
		return "has 3 to 63 characters";
	for (size_t i = 0; i < len; i++)
		if (!is_bucket_character(bucket[i]))
			return "has only lower-case letters, digits, '-' and '.'";
	if (!isalnum((unsigned char)bucket[0]) ||
		!isalnum((unsigned char)bucket[len - 1]))
		return "begins and ends with a letter or a digit";
	if (strstr(bucket, ".."))
		return "has no two dots in a row";
	if (inet_pton(AF_INET, bucket, &address) == 1)
		return "is not an address";
	return NULL;
}

static int take_bucket(const char *url, const char *text, size_t len, struct store_url *u,
	struct error *e)
{
	if (!len)
		return refuse(e, url, "names no bucket");
	int r = copy_bytes(text, len, &u->bucket, e);
	if (r < 0)
		return r;
	const char *rule = bucket_fault(u->bucket);
	return rule ? refuse(e, url, "has no valid bucket: a bucket's name %s", rule) : 0;
}

static int take_prefix(const char *url, const char *text, size_t len, struct store_url *u,
	struct error *e)
{
	while (len && text[0] == '/')
		text++, len--;
	while (len && text[len - 1] == '/')
		len--;
	int r = copy_bytes(text, len, &u->path, e);
	if (r < 0 || !len)
		return r;
	struct error why = {0};
	if (key_check(u->path, &why) < 0)
		return refuse(
			e, url, "has a prefix that no key could have: %s", why.text);
	return 0;
}

static int take_region(struct store_url *u, char *value, struct error *e)
{
	if (!region_is_valid(value))
		return error_set(e, -EINVAL, "'%.64s' is not a region", value);
	u->region = strdup(value);
	return u->region ? 0 : -ENOMEM;
}

static int take_path_style(struct store_url *u, const char *value, struct error *e)
{
	if (strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
		return error_set(e, -EINVAL, "path-style is true or false");
	u->path_style = value[0] == 't';
	return 0;
}

static bool is_word(const char *text, size_t len, const char *word)
{
	return strlen(word) == len && !memcmp(text, word, len);
}

/* One value, decoded, by its name. -EINVAL fills e with a sentence about the value. */
static int take_value(struct store_url *u, const char *name, size_t name_len, char *value,
	struct error *e)
{
	bool region = is_word(name, name_len, "region");
	bool endpoint = is_word(name, name_len, "endpoint");
	if (!region && !endpoint && !is_word(name, name_len, "path-style"))
		return error_set(e, -EINVAL,
			"'%.*s' is not one of region, endpoint and path-style",
			name_len > 32 ? 32 : (int)name_len, name);
	if (region         ? u->region != NULL
		: endpoint ? u->endpoint != NULL
			   : u->path_style >= 0)
		return error_set(e, -EINVAL, "%.*s is said twice", (int)name_len, name);
	if (region)
		return take_region(u, value, e);
	return endpoint ? origin_parse(value, &u->endpoint, e)
			: take_path_style(u, value, e);
}

static int take_parameter(const char *url, const char *text, size_t len,
	struct store_url *u, struct error *e)
{
	const char *equals = memchr(text, '=', len);
	if (!equals)
		return refuse(e, url, "has a query that is not name=value&...");
	size_t name_len = (size_t)(equals - text);
	CLEANUP(cleanup_free) char *value = NULL;
	int r = decode(equals + 1, len - name_len - 1, &value);
	if (r == -EINVAL)
		return refuse(e, url, "has a bad %%-escape in its query");
	struct error why = {0};
	if (r == 0)
		r = take_value(u, text, name_len, value, &why);
	if (r == -EINVAL)
		return refuse(e, url, "has a wrong query: %s", why.text);
	return r < 0 ? out_of_memory(e) : 0;
}

static int take_query(
	const char *url, const char *query, struct store_url *u, struct error *e)
{
	int r = 0;
	while (r == 0 && *query) {
		size_t len = strcspn(query, "&");
		r = take_parameter(url, query, len, u, e);
		query += len + (query[len] == '&');
	}
	return r;
}

static int parse_s3(
	const char *url, const char *rest, struct store_url *u, struct error *e)
{
	size_t len = strcspn(rest, "?");
	size_t bucket_len = strcspn(rest, "/?");
	u->kind = STORE_S3;
	int r = take_bucket(url, rest, bucket_len, u, e);
	if (r == 0)
		r = take_prefix(url, rest + bucket_len, len - bucket_len, u, e);
	if (r == 0 && rest[len] == '?')
		r = take_query(url, rest + len + 1, u, e);
	return r;
}

/* --- http -------------------------------------------------------------------------- */

/* RFC 3986's pchar, and the slash. */
static bool is_path_character(char c)
{
	return c && (unsigned char)c < 0x80 &&
	       (isalnum((unsigned char)c) || strchr("-._~!$&'()*+,;=:@/", c));
}

static bool is_dot_segment(const char *segment)
{
	size_t len = strcspn(segment, "/");
	return is_word(segment, len, ".") || is_word(segment, len, "..");
}

static const char *http_path_fault(const char *path)
{
	for (const char *p = path; *p; p++) {
		if (*p == '?' || *p == '#')
			return "has a query or a fragment, which a folder does not have";
		if (*p == '%' && percent_byte(p) <= 0)
			return "has a bad %-escape";
		if (*p != '%' && !is_path_character(*p))
			return "has a character that must be percent-encoded";
		if (*p == '/' && is_dot_segment(p + 1))
			return "has '.' or '..' as a part of its path";
	}
	return NULL;
}

static int parse_http(const char *url, struct store_url *u, struct error *e)
{
	const char *path;
	u->kind = STORE_HTTP;
	int r = origin_split(url, &u->origin, &path, e);
	if (r < 0) {
		error_prefix(e, "store ");
		return r;
	}
	const char *fault = http_path_fault(path);
	if (fault)
		return refuse(e, url, "%s", fault);
	size_t len = strlen(path);
	while (len && path[len - 1] == '/')
		len--;
	return copy_bytes(path, len, &u->path, e);
}

/* --- file -------------------------------------------------------------------------- */

/* Drops empty parts and "."; ".." stays, for a symlink may stand before it. */
static int append_parts(struct buf *b, const char *path)
{
	int r = 0;
	while (r == 0 && *path) {
		size_t len = strcspn(path, "/");
		if (len && !is_word(path, len, ".")) {
			r = buf_append_str(b, "/");
			r = r < 0 ? r : buf_append(b, path, len);
		}
		path += len + (path[len] == '/');
	}
	return r;
}

static int take_directory(
	const char *url, const char *path, struct store_url *u, struct error *e)
{
	CLEANUP(cleanup_free) char *here = NULL;
	CLEANUP(buf_finish) struct buf b = BUF_INIT(STORE_URL_MAX);
	u->kind = STORE_FILE;
	if (path[0] != '/') {
		here = getcwd(NULL, 0);
		if (!here)
			return error_set_errno(e, -errno,
				"cannot tell where '%s' lies: working directory", path);
	}
	int r = here ? append_parts(&b, here) : 0;
	if (r == 0)
		r = append_parts(&b, path);
	if (r == 0 && !b.len)
		r = buf_append_str(&b, "/");
	if (r == -EMSGSIZE)
		return refuse(e, url, "has a path of more than %d bytes", STORE_URL_MAX);
	if (r < 0)
		return out_of_memory(e);
	u->path = buf_steal(&b);
	return 0;
}

/* RFC 8089: file:///dir, file://localhost/dir, file:/dir. */
static int parse_file(
	const char *url, const char *rest, struct store_url *u, struct error *e)
{
	if (!strncasecmp(rest, "//localhost/", 12))
		rest += 11;
	else if (!strncmp(rest, "//", 2))
		rest += 2;
	if (rest[0] != '/')
		return refuse(e, url, "does not have an absolute path: file:///dir");
	CLEANUP(cleanup_free) char *path = NULL;
	int r = decode(rest, strlen(rest), &path);
	if (r == -EINVAL)
		return refuse(e, url, "has a bad %%-escape");
	return r < 0 ? out_of_memory(e) : take_directory(url, path, u, e);
}

/* --- all --------------------------------------------------------------------------- */

/* The length of a URL's scheme (RFC 3986 section 3.1) when "://" follows it, else 0. */
static size_t scheme_length(const char *text)
{
	size_t len = 0;
	while (isalnum((unsigned char)text[len]) ||
		(text[len] && strchr("+-.", text[len])))
		len++;
	return isalpha((unsigned char)text[0]) && !strncmp(text + len, "://", 3) ? len
										 : 0;
}

/* "s3//bucket" would else be a folder, and its keys be found by nobody. */
static bool lacks_colon(const char *text)
{
	static const char *const wrong[] = {"s3//", "http//", "https//", "file//"};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (!strncasecmp(text, wrong[i], strlen(wrong[i])))
			return true;
	return false;
}

static int parse_kind(const char *text, struct store_url *u, struct error *e)
{
	size_t scheme = scheme_length(text);
	if (!strncasecmp(text, "s3://", 5))
		return parse_s3(text, text + 5, u, e);
	if (!strncasecmp(text, "http://", 7) || !strncasecmp(text, "https://", 8))
		return parse_http(text, u, e);
	if (!strncasecmp(text, "file:/", 6))
		return parse_file(text, text + 5, u, e);
	if (scheme)
		return refuse(e, text,
			"is of an unknown kind: s3://, http://, https://, file:// or a "
			"path");
	if (!strncasecmp(text, "s3:", 3) || !strncasecmp(text, "http:", 5) ||
		!strncasecmp(text, "https:", 6))
		return refuse(e, text, "lacks the '//' after its ':'");
	if (lacks_colon(text))
		return refuse(e, text,
			"lacks the ':' before its '//'; a folder here is './%.64s'",
			text);
	if (!strchr(text, '/'))
		return refuse(e, text,
			"is neither a URL nor a path with a slash; a folder here is "
			"'./%.64s'",
			text);
	return take_directory(text, text, u, e);
}

int store_url_parse(const char *text, struct store_url *ret, struct error *e)
{
	if (!*text)
		return error_set(e, -EINVAL, "the store's name is empty");
	if (strlen(text) > STORE_URL_MAX)
		return refuse(e, text, "has more than %d bytes", STORE_URL_MAX);
	CLEANUP(store_url_finish) struct store_url u = {.path_style = -1};
	int r = parse_kind(text, &u, e);
	if (r < 0)
		return r;
	*ret = u;
	u = (struct store_url){.path_style = -1};
	return 0;
}

int store_url_default(struct buf *ret, struct error *e)
{
	const char *given = getenv("LARDER_STORE");
	if (given && *given)
		return buf_append_str(ret, given);
	const char *data = getenv("XDG_DATA_HOME");
	if (data && *data == '/')
		return buf_printf(ret, "%s/larder", data);
	const char *home = getenv("HOME");
	if (home && *home == '/')
		return buf_printf(ret, "%s/.local/share/larder", home);
	return error_set(e, -EINVAL,
		"no store was named: give STORE, or set LARDER_STORE or HOME");
}
