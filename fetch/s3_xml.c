#include "fetch/s3_xml.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fetch/base/cleanup.h"
#include "fetch/percent.h"
#include "fetch/xml_walk.h"

#define S3_NAMESPACE "http://s3.amazonaws.com/doc/2006-03-01/"

int64_t s3_parse_time(const char *text)
{
	struct tm tm = {0};
	const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	if (!rest)
		return 0;
	if (*rest == '.')
		rest += 1 + strspn(rest + 1, "0123456789");
	return strcmp(rest, "Z") ? 0 : (int64_t)timegm(&tm);
}

/* A decimal number without sign, blanks or overflow. */
static int parse_u64(const char *text, uint64_t *ret)
{
	uint64_t value = 0;
	if (!*text)
		return -EBADMSG;
	for (; *text; text++) {
		if (*text < '0' || *text > '9' ||
			__builtin_mul_overflow(value, 10, &value) ||
			__builtin_add_overflow(value, (uint64_t)(*text - '0'), &value))
			return -EBADMSG;
	}
	*ret = value;
	return 0;
}

static int copy_text(char *dst, size_t size, const char *text, size_t len)
{
	if (len >= size)
		return -EBADMSG;
	memcpy(dst, text, len + 1);
	return 0;
}

/* --- ListObjectsV2 ---------------------------------------------------------------- */

struct page_reader {
	struct s3_page *page;
	struct s3_entry entry; /* the one whose elements are being met */
	bool url_encoded;
	bool is_page; /* the root was what it should be */
};

static int set_key(struct page_reader *reader, const char *text, size_t len)
{
	char *key = strndup(text, len);
	if (!key)
		return -ENOMEM;
	free(reader->entry.key);
	reader->entry.key = key;
	return 0;
}

static int end_entry(struct page_reader *reader, bool is_directory)
{
	if (!reader->entry.key)
		return -EBADMSG;
	reader->entry.is_directory = is_directory;
	int r = s3_entry_vec_push(&reader->page->entries, reader->entry);
	if (r < 0)
		return r == -E2BIG ? -EBADMSG : r;
	reader->entry = (struct s3_entry){0};
	return 0;
}

static int read_content(
	struct page_reader *reader, const char *field, const char *text, size_t len)
{
	if (!strcmp(field, "Key"))
		return set_key(reader, text, len);
	if (!strcmp(field, "Size"))
		return parse_u64(text, &reader->entry.size);
	if (!strcmp(field, "LastModified"))
		reader->entry.mtime_s = s3_parse_time(text);
	return 0;
}

static int read_header(
	struct page_reader *reader, const char *field, const char *text, size_t len)
{
	struct s3_page *page = reader->page;
	if (!strcmp(field, "IsTruncated"))
		page->truncated = !strcmp(text, "true");
	else if (!strcmp(field, "EncodingType"))
		reader->url_encoded = !strcmp(text, "url");
	else if (!strcmp(field, "NextContinuationToken"))
		return copy_text(page->next_token, sizeof(page->next_token), text, len);
	return 0;
}

static const char *after(const char *path, const char *prefix)
{
	size_t len = strlen(prefix);
	return strncmp(path, prefix, len) ? NULL : path + len;
}

static int visit_page(void *arg, const char *path, const char *text, size_t len)
{
	struct page_reader *reader = arg;
	const char *rest = after(path, "ListBucketResult");
	if (!rest)
		return -EBADMSG;
	if (!*rest) {
		reader->is_page = true;
		return 0;
	}
	const char *field = after(rest, "/Contents/");
	if (field)
		return read_content(reader, field, text, len);
	if (!strcmp(rest, "/Contents"))
		return end_entry(reader, false);
	if (!strcmp(rest, "/CommonPrefixes/Prefix"))
		return set_key(reader, text, len);
	if (!strcmp(rest, "/CommonPrefixes"))
		return end_entry(reader, true);
	return *rest == '/' ? read_header(reader, rest + 1, text, len) : -EBADMSG;
}

/* In place; '+' is a blank in S3's encoding. False when a NUL comes out, which no key
 * has. A '%' that begins no escape stands for itself. */
static bool url_decode(char *s)
{
	char *out = s;
	for (; *s; s++) {
		int byte = percent_byte(s);
		if (byte == 0)
			return false;
		if (byte > 0) {
			*out++ = (char)byte;
			s += 2;
		} else {
			*out++ = *s == '+' ? ' ' : *s;
		}
	}
	*out = '\0';
	return true;
}

static void decode_keys(struct s3_entry_vec *entries)
{
	size_t kept = 0;
	for (size_t i = 0; i < entries->len; i++) {
		if (url_decode(entries->data[i].key))
			entries->data[kept++] = entries->data[i];
		else
			free(entries->data[i].key);
	}
	entries->len = kept;
}

static int compare_entries(const void *a, const void *b)
{
	return strcmp(
		((const struct s3_entry *)a)->key, ((const struct s3_entry *)b)->key);
}

void s3_page_finish(struct s3_page *page)
{
	for (size_t i = 0; i < page->entries.len; i++)
		free(page->entries.data[i].key);
	s3_entry_vec_finish(&page->entries);
}

int s3_xml_page(const void *data, size_t len, struct s3_page *ret)
{
	CLEANUP(s3_page_finish)
	struct s3_page page = {.entries.max = S3_PAGE_ENTRIES_MAX};
	struct page_reader reader = {.page = &page};
	int r = len > S3_PAGE_BYTES_MAX ? -EBADMSG
					: xml_walk(data, len, visit_page, &reader);
	free(reader.entry.key);
	if (r < 0)
		return r;
	if (!reader.is_page || (page.truncated && !page.next_token[0]))
		return -EBADMSG;
	if (reader.url_encoded)
		decode_keys(&page.entries);
	if (page.entries.len)
		qsort(page.entries.data, page.entries.len, sizeof(page.entries.data[0]),
			compare_entries);
	*ret = page;
	page = (struct s3_page){0};
	return 0;
}

/* --- multipart uploads ------------------------------------------------------------- */

static int visit_upload(void *arg, const char *path, const char *text, size_t len)
{
	if (strcmp(path, "InitiateMultipartUploadResult/UploadId"))
		return 0;
	return copy_text(arg, UPLOAD_ID_SIZE, text, len);
}

int s3_xml_upload_id(const void *data, size_t len, char ret[static UPLOAD_ID_SIZE])
{
	char id[UPLOAD_ID_SIZE] = "";
	int r = xml_walk(data, len, visit_upload, id);
	if (r < 0)
		return r;
	if (!id[0])
		return -EBADMSG;
	memcpy(ret, id, sizeof(id));
	return 0;
}

struct completion_reader {
	struct s3_completion *completion;
	bool is_result;
};

static int visit_completion(void *arg, const char *path, const char *text, size_t len)
{
	struct completion_reader *reader = arg;
	struct s3_completion *c = reader->completion;
	if (!strcmp(path, "CompleteMultipartUploadResult"))
		reader->is_result = true;
	else if (!strcmp(path, "CompleteMultipartUploadResult/ETag"))
		return copy_text(c->etag, sizeof(c->etag), text, len);
	else if (!strcmp(path, "Error"))
		c->failed = true;
	else if (!strcmp(path, "Error/Code"))
		return copy_text(c->code, sizeof(c->code), text, len);
	return 0;
}

int s3_xml_completion(const void *data, size_t len, struct s3_completion *ret)
{
	struct s3_completion c = {0};
	struct completion_reader reader = {.completion = &c};
	int r = xml_walk(data, len, visit_completion, &reader);
	if (r < 0)
		return r;
	if (!reader.is_result && !c.failed)
		return -EBADMSG;
	*ret = c;
	return 0;
}

static int append_escaped(struct buf *ret, const char *text)
{
	int r = 0;
	for (; *text && r == 0; text++) {
		switch (*text) {
		case '&':
			r = buf_append_str(ret, "&amp;");
			break;
		case '<':
			r = buf_append_str(ret, "&lt;");
			break;
		case '>':
			r = buf_append_str(ret, "&gt;");
			break;
		default:
			r = buf_append(ret, text, 1);
		}
	}
	return r;
}

static int append_part(struct buf *ret, size_t number, const char *etag)
{
	int r = buf_printf(ret, "<Part><PartNumber>%zu</PartNumber><ETag>", number);
	if (r == 0)
		r = append_escaped(ret, etag);
	return r < 0 ? r : buf_append_str(ret, "</ETag></Part>");
}

int s3_xml_write_parts(struct buf *ret, const char *const *etags, size_t count)
{
	int r = buf_append_str(
		ret, "<CompleteMultipartUpload xmlns=\"" S3_NAMESPACE "\">");
	for (size_t i = 0; i < count && r == 0; i++)
		r = append_part(ret, i + 1, etags[i]);
	return r < 0 ? r : buf_append_str(ret, "</CompleteMultipartUpload>");
}
