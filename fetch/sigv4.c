#include "fetch/sigv4.h"

#include <ctype.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "fetch/base/cleanup.h"
#include "fetch/base/digest.h"
#include "fetch/percent.h"

#define STAMP_SIZE 17 /* "20130524T000000Z" */
#define DATE_LEN   8  /* "20130524" */
#define MADE_HERE  4  /* fields beside the caller's */
#define SCOPE_MAX  256

DEFINE_CLEANUP(cleanup_hasher, struct hasher, hasher_free);

/* One signed field. Borrowed; the name as the caller wrote it, the value trimmed. */
struct field {
	const char *name, *value;
	size_t name_len, value_len;
	size_t order; /* equal names keep the order they are sent in */
};

struct signing {
	const struct sigv4_request *request;
	struct field fields[SIGV4_HEADERS_MAX + MADE_HERE]; /* sorted by name */
	size_t count;
	char stamp[STAMP_SIZE];
	struct buf query; /* canonical */
	struct buf names; /* "host;range;x-amz-date" */
	struct buf scope; /* "20130524/us-east-1/s3/aws4_request" */
};

/* --- encoding ---------------------------------------------------------------------- */

static bool is_unreserved(unsigned char c)
{
	return c < 0x80 && (isalnum(c) || c == '-' || c == '.' || c == '_' || c == '~');
}

int uri_encode(struct buf *ret, const char *text, size_t len, bool keep_slash)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];
		bool plain = is_unreserved(c) || (keep_slash && c == '/');
		int r = plain ? buf_append(ret, &c, 1) : buf_printf(ret, "%%%02X", c);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Decodes what is escaped and encodes by S3's rule, as the server does with what it got.
 */
static int recode(struct buf *ret, const char *text, size_t len, bool keep_slash)
{
	for (size_t i = 0; i < len; i++) {
		int byte = i + 2 < len ? percent_byte(text + i) : -1;
		char c = byte >= 0 ? (char)byte : text[i];
		int r = uri_encode(ret, &c, 1, keep_slash);
		if (r < 0)
			return r;
		i += byte >= 0 ? 2 : 0;
	}
	return 0;
}

/* --- the query --------------------------------------------------------------------- */

/* One "name=value" of the canonical query; both are borrowed from a buffer. */
struct parameter {
	const char *name, *value;
};

static int compare_parameters(const void *a, const void *b)
{
	const struct parameter *x = a, *y = b;
	int order = strcmp(x->name, y->name);
	return order ? order : strcmp(x->value, y->value);
}

/* Appends "name\0value\0". */
static int recode_parameter(struct buf *b, const char *text, size_t len)
{
	const char *equals = memchr(text, '=', len);
	size_t name_len = equals ? (size_t)(equals - text) : len;
	int r = recode(b, text, name_len, false);
	if (r == 0)
		r = buf_append(b, "", 1);
	if (r == 0 && equals)
		r = recode(b, equals + 1, len - name_len - 1, false);
	return r < 0 ? r : buf_append(b, "", 1);
}

static int recode_parameters(struct buf *b, const char *query, size_t *ret_count)
{
	size_t count = 0;
	while (*query) {
		size_t len = strcspn(query, "&");
		if (len && ++count > SIGV4_PARAMETERS_MAX)
			return -EINVAL;
		int r = len ? recode_parameter(b, query, len) : 0;
		if (r < 0)
			return r;
		query += len + (query[len] == '&');
	}
	*ret_count = count;
	return 0;
}

static int append_canonical_query(struct buf *ret, const char *query)
{
	CLEANUP(buf_finish) struct buf b = BUF_INIT(SIGV4_QUERY_MAX);
	struct parameter sorted[SIGV4_PARAMETERS_MAX];
	size_t count;
	int r = recode_parameters(&b, query, &count);
	if (r < 0)
		return r;
	const char *p = buf_str(&b);
	for (size_t i = 0; i < count; i++) {
		sorted[i].name = p;
		sorted[i].value = p + strlen(p) + 1;
		p = sorted[i].value + strlen(sorted[i].value) + 1;
	}
	qsort(sorted, count, sizeof(sorted[0]), compare_parameters);
	for (size_t i = 0; r == 0 && i < count; i++)
		r = buf_printf(
			ret, "%s%s=%s", i ? "&" : "", sorted[i].name, sorted[i].value);
	return r;
}

/* --- the fields -------------------------------------------------------------------- */

/* By name alone: a comparison that ran into the ':' would put x-amz-meta-a-b before
 * x-amz-meta-a. */
static int compare_names(const struct field *a, const struct field *b)
{
	size_t len = a->name_len < b->name_len ? a->name_len : b->name_len;
	int order = strncasecmp(a->name, b->name, len);
	if (order)
		return order;
	return (a->name_len > b->name_len) - (a->name_len < b->name_len);
}

static int compare_fields(const void *a, const void *b)
{
	const struct field *x = a, *y = b;
	int order = compare_names(x, y);
	return order ? order : (x->order > y->order) - (x->order < y->order);
}

static void add_field(
	struct signing *s, const char *name, size_t name_len, const char *value)
{
	while (*value == ' ' || *value == '\t')
		value++;
	size_t len = strlen(value);
	while (len && (value[len - 1] == ' ' || value[len - 1] == '\t'))
		len--;
	s->fields[s->count] = (struct field){.name = name,
		.name_len = name_len,
		.value = value,
		.value_len = len,
		.order = s->count};
	s->count++;
}

static void add_made(struct signing *s, const char *name, const char *value)
{
	add_field(s, name, strlen(name), value);
}

static bool is_made_here(const char *name, size_t len)
{
	static const char *const made[] = {"authorization", "host", "x-amz-date",
		"x-amz-content-sha256", "x-amz-security-token"};
	for (size_t i = 0; i < sizeof(made) / sizeof(made[0]); i++)
		if (strlen(made[i]) == len && !strncasecmp(name, made[i], len))
			return true;
	return false;
}

static int add_callers_field(struct signing *s, const char *line)
{
	size_t len = strcspn(line, ": \t\r\n");
	if (!len || line[len] != ':' || line[strcspn(line, "\r\n")])
		return -EINVAL;
	if (is_made_here(line, len))
		return -EINVAL;
	add_field(s, line, len, line + len + 1);
	return 0;
}

static int collect_fields(struct signing *s, const struct credentials *c)
{
	add_made(s, "host", s->request->host);
	add_made(s, "x-amz-content-sha256", s->request->payload_sha256);
	add_made(s, "x-amz-date", s->stamp);
	if (c->session_token[0])
		add_made(s, "x-amz-security-token", c->session_token);
	size_t most = s->count + SIGV4_HEADERS_MAX;
	const char *const *h = s->request->headers;
	for (; h && *h; h++) {
		int r = s->count < most ? add_callers_field(s, *h) : -EINVAL;
		if (r < 0)
			return r;
	}
	qsort(s->fields, s->count, sizeof(s->fields[0]), compare_fields);
	return 0;
}

static bool repeats_name(const struct signing *s, size_t i)
{
	return i > 0 && compare_names(&s->fields[i - 1], &s->fields[i]) == 0;
}

static int append_lower(struct buf *b, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		char c = (char)tolower((unsigned char)text[i]);
		int r = buf_append(b, &c, 1);
		if (r < 0)
			return r;
	}
	return 0;
}

static int append_names(struct signing *s)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < s->count; i++) {
		if (repeats_name(s, i))
			continue;
		r = i ? buf_append_str(&s->names, ";") : 0;
		if (r == 0)
			r = append_lower(
				&s->names, s->fields[i].name, s->fields[i].name_len);
	}
	return r;
}

/* --- the canonical request --------------------------------------------------------- */

static int hash_text(struct hasher *h, const char *text)
{
	return hasher_update(h, text, strlen(text));
}

/* A run of spaces counts as one. */
static int hash_value(struct hasher *h, const struct field *f)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < f->value_len; i++)
		if (f->value[i] != ' ' || f->value[i - 1] != ' ')
			r = hasher_update(h, f->value + i, 1);
	return r;
}

static int hash_fields(struct hasher *h, const struct signing *s)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < s->count; i++) {
		const struct field *f = &s->fields[i];
		CLEANUP(buf_finish) struct buf name = BUF_INIT(f->name_len + 1);
		if (repeats_name(s, i)) {
			r = hash_text(h, ",");
		} else {
			r = i ? hash_text(h, "\n") : 0;
			r = r < 0 ? r : append_lower(&name, f->name, f->name_len);
			r = r < 0 ? r : buf_append_str(&name, ":");
			r = r < 0 ? r : hash_text(h, buf_str(&name));
		}
		if (r == 0)
			r = hash_value(h, f);
	}
	return r < 0 ? r : hash_text(h, "\n");
}

/* Hashed piece by piece, so that the session token is not copied about. */
static int hash_request(const struct signing *s, struct digest *ret)
{
	const struct sigv4_request *q = s->request;
	CLEANUP(cleanup_hasher) struct hasher *h = hasher_new();
	CLEANUP(buf_finish) struct buf head = BUF_INIT(SIGV4_QUERY_MAX + 4 * 4096);
	if (!h)
		return -ENOMEM;
	int r = buf_printf(&head, "%s\n", q->method);
	if (r == 0)
		r = recode(&head, q->path, strlen(q->path), true);
	if (r == 0)
		r = buf_printf(&head, "\n%s\n", buf_str(&s->query));
	if (r == 0)
		r = hasher_update(h, head.data, head.len);
	if (r == 0)
		r = hash_fields(h, s);
	const char *const tail[] = {"\n", buf_str(&s->names), "\n", q->payload_sha256};
	for (size_t i = 0; r == 0 && i < sizeof(tail) / sizeof(tail[0]); i++)
		r = hash_text(h, tail[i]);
	return r < 0 ? r : hasher_finish(h, ret);
}

/* --- the signature ----------------------------------------------------------------- */

/* key becomes HMAC-SHA256(key, text). */
static int hmac_step(uint8_t key[static DIGEST_SIZE], const char *text, size_t len)
{
	uint8_t out[DIGEST_SIZE];
	if (!HMAC(EVP_sha256(), key, DIGEST_SIZE, (const unsigned char *)text, len, out,
		    NULL))
		return -ENOMEM;
	memcpy(key, out, DIGEST_SIZE);
	OPENSSL_cleanse(out, sizeof(out));
	return 0;
}

/* HMAC("AWS4" + secret, date), the first link of the chain of keys. */
static int first_key(
	const struct credentials *c, const char *stamp, uint8_t ret[static DIGEST_SIZE])
{
	char seed[4 + CREDS_KEY_MAX];
	int len = snprintf(seed, sizeof(seed), "AWS4%s", c->secret_key);
	bool ok = HMAC(EVP_sha256(), seed, len, (const unsigned char *)stamp, DATE_LEN,
		ret, NULL);
	OPENSSL_cleanse(seed, sizeof(seed));
	return ok ? 0 : -ENOMEM;
}

static int sign_text(const struct signing *s, const struct credentials *c,
	const char *text, size_t len, struct digest *ret)
{
	static const char end[] = "aws4_request";
	const struct sigv4_request *q = s->request;
	int r = first_key(c, s->stamp, ret->bytes);
	if (r == 0)
		r = hmac_step(ret->bytes, q->region, strlen(q->region));
	if (r == 0)
		r = hmac_step(ret->bytes, q->service, strlen(q->service));
	if (r == 0)
		r = hmac_step(ret->bytes, end, sizeof(end) - 1);
	return r < 0 ? r : hmac_step(ret->bytes, text, len);
}

static int make_signature(const struct signing *s, const struct credentials *c,
	char ret[static DIGEST_HEX_SIZE])
{
	CLEANUP(buf_finish) struct buf text = BUF_INIT(SCOPE_MAX + 256);
	char hex[DIGEST_HEX_SIZE];
	struct digest d;
	int r = hash_request(s, &d);
	if (r < 0)
		return r;
	digest_hex(&d, hex);
	r = buf_printf(
		&text, "AWS4-HMAC-SHA256\n%s\n%s\n%s", s->stamp, buf_str(&s->scope), hex);
	if (r == 0)
		r = sign_text(s, c, text.data, text.len, &d);
	if (r == 0)
		digest_hex(&d, ret);
	return r;
}

/* --- all --------------------------------------------------------------------------- */

static int set_stamp(struct signing *s)
{
	time_t t = (time_t)s->request->time_s;
	struct tm utc;
	if (!gmtime_r(&t, &utc) || utc.tm_year < 70 || utc.tm_year > 8099)
		return -EINVAL;
	strftime(s->stamp, sizeof(s->stamp), "%Y%m%dT%H%M%SZ", &utc);
	return 0;
}

static int append_lines(const struct signing *s, const struct credentials *c,
	const char *signature, struct buf *ret)
{
	bool token = c->session_token[0];
	int r = buf_printf(ret,
		"Authorization: AWS4-HMAC-SHA256 Credential=%s/%s,SignedHeaders=%s,"
		"Signature=%s%cx-amz-date: %s%cx-amz-content-sha256: %s%c",
		c->access_key, buf_str(&s->scope), buf_str(&s->names), signature, 0,
		s->stamp, 0, s->request->payload_sha256, 0);
	if (r == 0 && token)
		r = buf_printf(ret, "x-amz-security-token: %s%c", c->session_token, 0);
	return r;
}

static int sign(struct signing *s, const struct credentials *c, struct buf *ret)
{
	const struct sigv4_request *q = s->request;
	char signature[DIGEST_HEX_SIZE];
	int r = set_stamp(s);
	if (r == 0)
		r = collect_fields(s, c);
	if (r == 0)
		r = append_names(s);
	if (r == 0)
		r = append_canonical_query(&s->query, q->query ? q->query : "");
	if (r == 0)
		r = buf_printf(&s->scope, "%.*s/%s/%s/aws4_request", DATE_LEN, s->stamp,
			q->region, q->service);
	if (r == 0)
		r = make_signature(s, c, signature);
	return r < 0 ? r : append_lines(s, c, signature, ret);
}

int sigv4_sign(
	const struct sigv4_request *request, const struct credentials *c, struct buf *ret)
{
	struct signing s = {.request = request,
		.query = BUF_INIT(SIGV4_QUERY_MAX),
		.names = BUF_INIT(SIGV4_HEADERS_MAX * 128),
		.scope = BUF_INIT(SCOPE_MAX)};
	size_t before = ret->len;
	int r = sign(&s, c, ret);
	if (r < 0 && ret->data)
		ret->data[ret->len = before] = '\0';
	buf_finish(&s.query);
	buf_finish(&s.names);
	buf_finish(&s.scope);
	return r;
}
