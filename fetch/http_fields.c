#include "fetch/http_fields.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "fetch/base/bytes.h"

#define YEAR_3000 INT64_C(32503680000) /* seconds since the epoch */

/* A piece of a line, consumed from its front. */
struct span {
	const char *p;
	size_t len;
};

static bool take_byte(struct span *s, char c)
{
	if (!s->len || *s->p != c)
		return false;
	s->p++;
	s->len--;
	return true;
}

static bool take_text(struct span *s, const char *text)
{
	size_t len = strlen(text);
	if (s->len < len || memcmp(s->p, text, len) != 0)
		return false;
	s->p += len;
	s->len -= len;
	return true;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool take_number(struct span *s, uint64_t *ret)
{
	uint64_t n = 0;
	size_t i;
	for (i = 0; i < s->len && is_digit(s->p[i]); i++)
		if (!checked_mul(n, 10, &n) ||
			!checked_add(n, (uint64_t)(s->p[i] - '0'), &n))
			return false;
	s->p += i;
	s->len -= i;
	*ret = n;
	return i > 0;
}

static struct span trimmed(struct span s)
{
	while (s.len && (*s.p == ' ' || *s.p == '\t')) {
		s.p++;
		s.len--;
	}
	while (s.len && (s.p[s.len - 1] == ' ' || s.p[s.len - 1] == '\t'))
		s.len--;
	return s;
}

/* --- Content-Range --------------------------------------------------------------- */

static bool take_total(struct span *s, struct content_range *r)
{
	if (take_byte(s, '*'))
		return true;
	r->has_total = true;
	return take_number(s, &r->total);
}

static bool range_is_sane(const struct content_range *r)
{
	if (r->unsatisfied)
		return r->has_total;
	return r->first <= r->last && r->last < UINT64_MAX &&
	       (!r->has_total || r->last < r->total);
}

int parse_content_range(const char *value, size_t len, struct content_range *ret)
{
	struct span s = {value, len};
	struct content_range r = {.present = true};
	if (len < 6 || strncasecmp(value, "bytes ", 6) != 0)
		return -EBADMSG;
	s.p += 6;
	s.len -= 6;
	r.unsatisfied = take_byte(&s, '*');
	if (!r.unsatisfied && (!take_number(&s, &r.first) || !take_byte(&s, '-') ||
				      !take_number(&s, &r.last)))
		return -EBADMSG;
	if (!take_byte(&s, '/') || !take_total(&s, &r) || s.len || !range_is_sane(&r))
		return -EBADMSG;
	*ret = r;
	return 0;
}

/* --- dates ----------------------------------------------------------------------- */

static const char *const weekdays[] = {
	"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};
static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul",
	"Aug", "Sep", "Oct", "Nov", "Dec"};

/* Exactly `width` digits; asctime pads with a space instead of a zero. */
static bool take_digits(struct span *s, size_t width, bool space_padded, int *ret)
{
	if (s->len < width)
		return false;
	int n = 0;
	for (size_t i = 0; i < width; i++) {
		char c = s->p[i];
		if (i == 0 && space_padded && c == ' ')
			c = '0';
		if (!is_digit(c))
			return false;
		n = n * 10 + (c - '0');
	}
	s->p += width;
	s->len -= width;
	*ret = n;
	return true;
}

static bool take_weekday(struct span *s, bool *ret_long)
{
	for (size_t i = 0; i < 7; i++) {
		char brief[4] = "";
		memcpy(brief, weekdays[i], 3);
		*ret_long = take_text(s, weekdays[i]);
		if (*ret_long || take_text(s, brief))
			return true;
	}
	return false;
}

static bool take_month(struct span *s, int *ret)
{
	for (int i = 0; i < 12; i++) {
		if (!take_text(s, months[i]))
			continue;
		*ret = i;
		return true;
	}
	return false;
}

static bool take_time(struct span *s, struct tm *tm)
{
	return take_digits(s, 2, false, &tm->tm_hour) && take_byte(s, ':') &&
	       take_digits(s, 2, false, &tm->tm_min) && take_byte(s, ':') &&
	       take_digits(s, 2, false, &tm->tm_sec);
}

static bool take_year(struct span *s, size_t width, struct tm *tm)
{
	int year;
	if (!take_digits(s, width, false, &year))
		return false;
	if (width == 2)
		tm->tm_year = year < 70 ? year + 100 : year;
	else
		tm->tm_year = year - 1900;
	return true;
}

/* "06 Nov 1994 08:49:37 GMT", or with dashes and a short year as RFC 850 had it. */
static bool take_fixdate(struct span *s, bool rfc850, struct tm *tm)
{
	char joint = rfc850 ? '-' : ' ';
	return take_digits(s, 2, false, &tm->tm_mday) && take_byte(s, joint) &&
	       take_month(s, &tm->tm_mon) && take_byte(s, joint) &&
	       take_year(s, rfc850 ? 2 : 4, tm) && take_byte(s, ' ') &&
	       take_time(s, tm) && take_text(s, " GMT");
}

/* "Nov  6 08:49:37 1994" */
static bool take_asctime(struct span *s, struct tm *tm)
{
	return take_month(s, &tm->tm_mon) && take_byte(s, ' ') &&
	       take_digits(s, 2, true, &tm->tm_mday) && take_byte(s, ' ') &&
	       take_time(s, tm) && take_byte(s, ' ') && take_year(s, 4, tm);
}

/* A leap second is accepted; timegm() carries it over. */
static int date_of(const struct tm *fields, int64_t *ret_s)
{
	struct tm tm = *fields;
	if (tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
		return -EBADMSG;
	tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
	int64_t midnight = timegm(&tm);
	if (tm.tm_mday != fields->tm_mday || tm.tm_mon != fields->tm_mon)
		return -EBADMSG; /* no such day: it was normalised away */
	*ret_s = midnight + fields->tm_hour * 3600 + fields->tm_min * 60 + fields->tm_sec;
	return 0;
}

int parse_http_date(const char *value, size_t len, int64_t *ret_s)
{
	struct span s = {value, len};
	struct tm tm = {0};
	bool rfc850;
	if (!take_weekday(&s, &rfc850))
		return -EBADMSG;
	bool ok = take_text(&s, ", ")
			  ? take_fixdate(&s, rfc850, &tm)
			  : !rfc850 && take_byte(&s, ' ') && take_asctime(&s, &tm);
	return ok && !s.len ? date_of(&tm, ret_s) : -EBADMSG;
}

/* --- one field each: true when the value is well-formed and agrees with what is there */

/* Printable ASCII without spaces: goes into requests again, so nothing else may pass. */
static bool is_visible(struct span v)
{
	for (size_t i = 0; i < v.len; i++)
		if (v.p[i] < 0x21 || v.p[i] > 0x7e)
			return false;
	return v.len > 0;
}

static bool keep_text(char *field, size_t size, struct span v)
{
	if (v.len >= size)
		return false;
	if (field[0])
		return strlen(field) == v.len && !memcmp(field, v.p, v.len);
	memcpy(field, v.p, v.len);
	field[v.len] = '\0';
	return true;
}

/* RFC 9110 section 8.8.3: the opaque part is visible ASCII but '"', or obs-text. */
static bool is_etag(struct span v)
{
	take_text(&v, "W/");
	if (!take_byte(&v, '"') || !v.len || v.p[v.len - 1] != '"')
		return false;
	for (size_t i = 0; i < v.len - 1; i++) {
		unsigned char c = (unsigned char)v.p[i];
		if (c < 0x21 || c == '"' || c == 0x7f)
			return false;
	}
	return true;
}

static bool add_etag(struct http_fields *f, struct span v)
{
	return is_etag(v) && keep_text(f->etag, sizeof(f->etag), v);
}

static bool add_version(struct http_fields *f, struct span v)
{
	return is_visible(v) && keep_text(f->version_id, sizeof(f->version_id), v);
}

static bool add_nonce(struct http_fields *f, struct span v)
{
	return v.len == NONCE_SIZE - 1 && is_visible(v) &&
	       keep_text(f->nonce, sizeof(f->nonce), v);
}

static bool add_identity(struct http_fields *f, struct span v)
{
	char hex[DIGEST_HEX_SIZE] = "";
	struct digest d;
	if (v.len != sizeof(hex) - 1)
		return false;
	memcpy(hex, v.p, v.len);
	if (digest_parse(hex, &d) < 0 ||
		(f->has_identity && !digest_equal(&d, &f->identity)))
		return false;
	f->has_identity = true;
	f->identity = d;
	return true;
}

static bool same_range(const struct content_range *a, const struct content_range *b)
{
	return a->unsatisfied == b->unsatisfied && a->has_total == b->has_total &&
	       a->first == b->first && a->last == b->last && a->total == b->total;
}

static bool add_content_range(struct http_fields *f, struct span v)
{
	struct content_range r;
	if (parse_content_range(v.p, v.len, &r) < 0)
		return false;
	if (f->content_range.present && !same_range(&r, &f->content_range))
		return false;
	f->content_range = r;
	return true;
}

static bool add_content_length(struct http_fields *f, struct span v)
{
	uint64_t n;
	if (!take_number(&v, &n) || v.len ||
		(f->has_content_length && n != f->content_length))
		return false;
	f->has_content_length = true;
	f->content_length = n;
	return true;
}

static bool add_date(struct http_fields *f, struct span v)
{
	int64_t date_s;
	if (!f->has_date && parse_http_date(v.p, v.len, &date_s) == 0 && date_s >= 0 &&
		date_s < YEAR_3000) {
		f->has_date = true;
		f->date_s = date_s;
	}
	return true;
}

static bool add_last_modified(struct http_fields *f, struct span v)
{
	if (!f->last_modified_s)
		parse_http_date(v.p, v.len, &f->last_modified_s);
	return true;
}

static bool parse_delay(struct span v, int64_t *ret)
{
	for (size_t i = 0; i < v.len; i++)
		if (!is_digit(v.p[i]))
			return false;
	uint64_t n;
	bool fits = take_number(&v, &n) && n <= RETRY_AFTER_MAX;
	*ret = fits ? (int64_t)n : RETRY_AFTER_MAX;
	return true;
}

/* RFC 9110 section 10.2.3: seconds or a date. A delay too long for a number is still a
 * long delay. */
static bool add_retry_after(struct http_fields *f, struct span v)
{
	if (f->has_retry_after || !v.len)
		return true;
	if (parse_delay(v, &f->retry_after_s))
		f->has_retry_after = true;
	else if (parse_http_date(v.p, v.len, &f->retry_after_s) == 0)
		f->has_retry_after = f->retry_after_is_date = true;
	return true;
}

static bool add_region(struct http_fields *f, struct span v)
{
	for (size_t i = 0; i < v.len; i++) {
		char c = v.p[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
		if (!letter && !is_digit(c) && c != '-')
			return true;
	}
	if (v.len)
		keep_text(f->bucket_region, sizeof(f->bucket_region), v);
	return true;
}

static bool add_location(struct http_fields *f, struct span v)
{
	if (is_visible(v))
		keep_text(f->location, sizeof(f->location), v);
	return true;
}

struct field {
	const char *name;
	bool pinning; /* says which bytes these are: nonsense in it is not forgiven */
	bool (*add)(struct http_fields *f, struct span value);
};

static const struct field known[] = {
	{"ETag", true, add_etag},
	{"x-amz-version-id", true, add_version},
	{"x-amz-meta-larder-nonce", true, add_nonce},
	{"x-amz-meta-larder-identity", true, add_identity},
	{"Content-Range", true, add_content_range},
	{"Content-Length", true, add_content_length},
	{"Date", false, add_date},
	{"Last-Modified", false, add_last_modified},
	{"Retry-After", false, add_retry_after},
	{"x-amz-bucket-region", false, add_region},
	{"Location", false, add_location},
};

static const struct field *find_field(struct span name)
{
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strlen(known[i].name) == name.len &&
			!strncasecmp(known[i].name, name.p, name.len))
			return &known[i];
	return NULL;
}

void http_fields_init(struct http_fields *f)
{
	*f = (struct http_fields){0};
}

void http_fields_add(struct http_fields *f, const char *line, size_t len)
{
	if (len && (line[0] == ' ' || line[0] == '\t')) {
		f->malformed |= f->last_was_pinning; /* obs-fold, RFC 9112 section 5.2 */
		return;
	}
	const char *colon = memchr(line, ':', len);
	f->last_was_pinning = false;
	if (!colon)
		return;
	/* White space before the colon is nonsense (RFC 9112 section 5.1), yet the name
	 * is meant: it must not hide a field. */
	struct span name = trimmed((struct span){line, (size_t)(colon - line)});
	const struct field *field = find_field(name);
	if (!field)
		return;
	struct span value = {colon + 1, len - (size_t)(colon + 1 - line)};
	f->last_was_pinning = field->pinning;
	if (!field->add(f, trimmed(value)) && field->pinning)
		f->malformed = true;
}

bool etag_is_strong(const char *etag)
{
	return etag[0] == '"';
}
