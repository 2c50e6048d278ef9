/* The header of an answer, line by line as the transfer hands it over. */
#include "tests/fuzz/fuzz.h"

#include <errno.h>

#include "fetch/http_fields.h"

static void check_text(const char *text, size_t size, const char *forbidden)
{
	assert(memchr(text, '\0', size));
	for (; *text; text++)
		assert((unsigned char)*text > 0x20 && *text != 0x7f &&
			!strchr(forbidden, *text));
}

static void check_range(const struct content_range *r)
{
	if (!r->present)
		return;
	if (r->unsatisfied)
		assert(r->has_total);
	else
		assert(r->first <= r->last && (!r->has_total || r->last < r->total));
}

static void check_etag(const char *etag)
{
	size_t len = strlen(etag);
	if (!len)
		return;
	assert(etag[len - 1] == '"');
	assert(etag_is_strong(etag) ? len >= 2 : !strncmp(etag, "W/\"", 3) && len >= 4);
}

static void check_fields(const struct http_fields *f)
{
	check_text(f->etag, sizeof(f->etag), "\r\n");
	check_etag(f->etag);
	check_text(f->version_id, sizeof(f->version_id), "\r\n");
	check_text(f->nonce, sizeof(f->nonce), "\r\n");
	check_text(f->location, sizeof(f->location), "\r\n");
	check_text(f->bucket_region, sizeof(f->bucket_region), "./:@?#%");
	check_range(&f->content_range);
	assert(!f->has_retry_after || f->retry_after_is_date ||
		(f->retry_after_s >= 0 && f->retry_after_s <= RETRY_AFTER_MAX));
}

static void check_parsers(const char *text, size_t size)
{
	struct content_range range;
	int64_t date;
	int r = parse_content_range(text, size, &range);
	assert(r == 0 || r == -EBADMSG);
	if (r == 0)
		check_range(&range);
	r = parse_http_date(text, size, &date);
	assert(r == 0 || r == -EBADMSG);
	if (r == 0) /* years 0 to 9999 */
		assert(date >= -INT64_C(62167219200) && date <= INT64_C(253402300800));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http_fields f;
	http_fields_init(&f);
	for (size_t at = 0; at < size;) {
		const char *line = (const char *)data + at;
		const char *end = memchr(line, '\n', size - at);
		size_t len = end ? (size_t)(end - line) : size - at;
		http_fields_add(&f, line, len);
		check_fields(&f);
		check_parsers(line, len);
		at += len + 1;
	}
	return 0;
}
