#include "tests/unit/test.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fetch/base/cleanup.h"
#include "fetch/s3_xml.h"
#include "fetch/xml_walk.h"

#define HEAD "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
#define LIST HEAD "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"

/* --- walking ---------------------------------------------------------------------- */

static int collect(void *arg, const char *path, const char *text, size_t len)
{
	assert_int_equal(strlen(text), len);
	return buf_printf(arg, "%s=%s;", path, text);
}

static int walk_text(const char *xml, struct buf *ret)
{
	return xml_walk(xml, strlen(xml), collect, ret);
}

static void each_element_is_told_with_its_path_and_text(void **state)
{
	CLEANUP(buf_finish) struct buf b = BUF_INIT(4096);
	assert_int_equal(
		walk_text("\r\n \t" HEAD "<n:a xmlns:n='u'> x <b>1 &amp; 2</b> y "
			  "<n:c/></n:a>",
			&b),
		0);
	assert_string_equal(buf_str(&b), "a/b=1 & 2;a/c=;a=x  y;");
}

static void what_is_not_well_formed_is_refused(void **state)
{
	static const char *const bad[] = {"", "   ", "<a>", "<a></b>", "<a/><b/>",
		"<a>&nope;</a>", "plain", "<a>\x01</a>", "<a>\xff</a>"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		CLEANUP(buf_finish) struct buf b = BUF_INIT(4096);
		assert_int_equal(walk_text(bad[i], &b), -EBADMSG);
	}
}

static void a_document_type_is_refused(void **state)
{
	CLEANUP(buf_finish) struct buf b = BUF_INIT(4096);
	assert_int_equal(walk_text("<!DOCTYPE a [<!ENTITY x \"xxxxxxxxxxxxxxxx\">"
				   "<!ENTITY y \"&x;&x;&x;&x;\">]><a>&y;</a>",
				 &b),
		-EBADMSG);
	assert_int_equal(walk_text("<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a/>", &b),
		-EBADMSG);
	assert_int_equal(b.len, 0);
}

static int walk_nested(size_t depth)
{
	CLEANUP(buf_finish) struct buf xml = BUF_INIT(4096);
	CLEANUP(buf_finish) struct buf seen = BUF_INIT(4096);
	for (size_t i = 0; i < depth; i++)
		assert_int_equal(buf_append_str(&xml, "<a>"), 0);
	for (size_t i = 0; i < depth; i++)
		assert_int_equal(buf_append_str(&xml, "</a>"), 0);
	return walk_text(buf_str(&xml), &seen);
}

static void depth_is_capped(void **state)
{
	assert_int_equal(walk_nested(XML_DEPTH_MAX), 0);
	assert_int_equal(walk_nested(XML_DEPTH_MAX + 1), -EBADMSG);
}

static int walk_lengths(int name, int text)
{
	CLEANUP(buf_finish) struct buf xml = BUF_INIT(1 << 20);
	CLEANUP(buf_finish) struct buf seen = BUF_INIT(1 << 20);
	assert_int_equal(
		buf_printf(&xml, "<%0*d>%0*d</%0*d>", name, 0, text, 0, name, 0), 0);
	for (char *p = xml.data; (p = strpbrk(p, "0")); p++)
		*p = 'n';
	return walk_text(buf_str(&xml), &seen);
}

static void names_and_texts_are_capped(void **state)
{
	assert_int_equal(walk_lengths(XML_PATH_MAX - 1, XML_TEXT_MAX), 0);
	assert_int_equal(walk_lengths(XML_PATH_MAX, 1), -EBADMSG);
	assert_int_equal(walk_lengths(1, XML_TEXT_MAX + 1), -EBADMSG);
}

static int stop_at_b(void *arg, const char *path, const char *text, size_t len)
{
	*(int *)arg += 1;
	return strcmp(path, "a/b") ? 0 : 42;
}

static void a_visitor_can_end_the_walk(void **state)
{
	static const char xml[] = "<a><b/><c/><b/></a>";
	int visits = 0;
	assert_int_equal(xml_walk(xml, sizeof(xml) - 1, stop_at_b, &visits), 42);
	assert_int_equal(visits, 1);
}

/* --- listing ---------------------------------------------------------------------- */

static int parse_page(const char *xml, struct s3_page *ret)
{
	return s3_xml_page(xml, strlen(xml), ret);
}

static void a_page_is_read_and_sorted(void **state)
{
	CLEANUP(s3_page_finish) struct s3_page page = {0};
	assert_int_equal(
		parse_page(LIST
			"<Name>b</Name><Prefix></Prefix><KeyCount>3</KeyCount>"
			"<MaxKeys>1000</MaxKeys><IsTruncated>true</IsTruncated>"
			"<NextContinuationToken>1/x==</NextContinuationToken>"
			"<Contents><Key>a.txt</Key>"
			"<LastModified>2024-05-06T07:08:09.123Z</LastModified>"
			"<ETag>&quot;e&quot;</ETag><Size>18446744073709551615</Size>"
			"<StorageClass>STANDARD</StorageClass></Contents>"
			"<Contents><Key>z</Key><Size>0</Size></Contents>"
			"<CommonPrefixes><Prefix>a/</Prefix></CommonPrefixes>"
			"</ListBucketResult>",
			&page),
		0);
	assert_int_equal(page.entries.len, 3);
	assert_true(page.truncated);
	assert_string_equal(page.next_token, "1/x==");
	assert_string_equal(page.entries.data[0].key, "a.txt");
	assert_int_equal(page.entries.data[0].mtime_s, 1714979289);
	assert_true(page.entries.data[0].size == UINT64_MAX);
	assert_false(page.entries.data[0].is_directory);
	assert_string_equal(page.entries.data[1].key, "a/");
	assert_true(page.entries.data[1].is_directory);
	assert_string_equal(page.entries.data[2].key, "z");
	assert_int_equal(page.entries.data[2].mtime_s, 0);
}

static void encoded_keys_are_decoded_only_where_announced(void **state)
{
	CLEANUP(s3_page_finish) struct s3_page page = {0};
	assert_int_equal(
		parse_page(LIST "<Contents><Key>a+b%20c%2B%25%c3%a9</Key></Contents>"
				"<Contents><Key>nul%00</Key></Contents>"
				"<Contents><Key>odd%zz%2</Key></Contents>"
				"<EncodingType>url</EncodingType></ListBucketResult>",
			&page),
		0);
	assert_int_equal(page.entries.len, 2);
	assert_string_equal(page.entries.data[0].key, "a b c+%\xc3\xa9");
	assert_string_equal(page.entries.data[1].key, "odd%zz%2");
	s3_page_finish(&page);
	assert_int_equal(parse_page(LIST "<Contents><Key>a+b%20</Key></Contents>"
					 "</ListBucketResult>",
				 &page),
		0);
	assert_string_equal(page.entries.data[0].key, "a+b%20");
}

static void an_empty_bucket_is_an_empty_page(void **state)
{
	CLEANUP(s3_page_finish) struct s3_page page = {0};
	assert_int_equal(parse_page(LIST "<IsTruncated>false</IsTruncated>"
					 "</ListBucketResult>",
				 &page),
		0);
	assert_int_equal(page.entries.len, 0);
	assert_false(page.truncated);
}

static void bad_pages_are_refused(void **state)
{
	static const char *const bad[] = {
		"<Error><Code>AccessDenied</Code></Error>",
		"<html><body>Hello</body></html>",
		"<ListBucketResultX/>",
		"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
		"<ListBucketResult><Contents><Size>1</Size></Contents></"
		"ListBucketResult>",
		"<ListBucketResult><CommonPrefixes/></ListBucketResult>",
		"<ListBucketResult><Contents><Key>a</Key><Size>-1</Size></Contents>"
		"</ListBucketResult>",
		"<ListBucketResult><Contents><Key>a</Key><Size>18446744073709551616</"
		"Size>"
		"</Contents></ListBucketResult>",
		"<ListBucketResult><Contents><Key>a</Key><Size/></Contents></"
		"ListBucketResult>",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct s3_page page;
		assert_int_equal(parse_page(bad[i], &page), -EBADMSG);
	}
}

static int parse_page_of(size_t entries)
{
	CLEANUP(buf_finish) struct buf xml = BUF_INIT(4 << 20);
	CLEANUP(s3_page_finish) struct s3_page page = {0};
	assert_int_equal(buf_append_str(&xml, "<ListBucketResult>"), 0);
	for (size_t i = 0; i < entries; i++)
		assert_int_equal(
			buf_append_str(&xml, "<Contents><Key>k</Key></Contents>"), 0);
	assert_int_equal(buf_append_str(&xml, "</ListBucketResult>"), 0);
	return s3_xml_page(xml.data, xml.len, &page);
}

static void a_page_has_a_most_of_entries(void **state)
{
	assert_int_equal(parse_page_of(S3_PAGE_ENTRIES_MAX), 0);
	assert_int_equal(parse_page_of(S3_PAGE_ENTRIES_MAX + 1), -EBADMSG);
}

static void times_are_read_or_unknown(void **state)
{
	assert_int_equal(s3_parse_time("1970-01-01T00:00:01Z"), 1);
	assert_int_equal(s3_parse_time("2024-02-29T12:00:00.000Z"), 1709208000);
	assert_int_equal(s3_parse_time("2024-02-29T12:00:00"), 0);
	assert_int_equal(s3_parse_time("2024-02-29T12:00:00.5Zx"), 0);
	assert_int_equal(s3_parse_time("yesterday"), 0);
	assert_int_equal(s3_parse_time(""), 0);
}

/* --- multipart -------------------------------------------------------------------- */

static int parse_upload(const char *xml, char *ret)
{
	return s3_xml_upload_id(xml, strlen(xml), ret);
}

static void the_upload_id_is_found(void **state)
{
	char id[UPLOAD_ID_SIZE];
	assert_int_equal(
		parse_upload(HEAD "<InitiateMultipartUploadResult><Bucket>b</Bucket>"
				  "<Key>k</Key><UploadId>2~abc</UploadId>"
				  "</InitiateMultipartUploadResult>",
			id),
		0);
	assert_string_equal(id, "2~abc");
	assert_int_equal(parse_upload("<InitiateMultipartUploadResult/>", id), -EBADMSG);
	assert_int_equal(parse_upload("<X><UploadId>1</UploadId></X>", id), -EBADMSG);
}

static void an_upload_id_too_long_is_refused(void **state)
{
	char id[UPLOAD_ID_SIZE], xml[2048];
	for (int longer = 0; longer < 2; longer++) {
		snprintf(xml, sizeof(xml),
			"<InitiateMultipartUploadResult><UploadId>%0*d</UploadId>"
			"</InitiateMultipartUploadResult>",
			UPLOAD_ID_SIZE - 1 + longer, 7);
		assert_int_equal(parse_upload(xml, id), longer ? -EBADMSG : 0);
	}
}

static int parse_completion(const char *xml, struct s3_completion *ret)
{
	return s3_xml_completion(xml, strlen(xml), ret);
}

static void a_completion_tells_the_etag(void **state)
{
	struct s3_completion c;
	assert_int_equal(parse_completion("\n\n" HEAD "<CompleteMultipartUploadResult>"
					  "<ETag>&quot;abc-2&quot;</ETag>"
					  "</CompleteMultipartUploadResult>",
				 &c),
		0);
	assert_false(c.failed);
	assert_string_equal(c.etag, "\"abc-2\"");
}

static void an_error_behind_blanks_is_an_error(void **state)
{
	struct s3_completion c;
	assert_int_equal(
		parse_completion("   \n  " HEAD "<Error><Code>PreconditionFailed</Code>"
				 "<Message>m</Message></Error>",
			&c),
		0);
	assert_true(c.failed);
	assert_string_equal(c.code, "PreconditionFailed");
	assert_int_equal(parse_completion(HEAD "  \n <Error/>", &c), 0);
	assert_true(c.failed);
	assert_string_equal(c.code, "");
}

static void other_bodies_complete_nothing(void **state)
{
	struct s3_completion c;
	assert_int_equal(parse_completion("", &c), -EBADMSG);
	assert_int_equal(parse_completion("<html/>", &c), -EBADMSG);
	assert_int_equal(parse_completion("<a><Error/></a>", &c), -EBADMSG);
}

static void hostile_etags_stay_text(void **state)
{
	CLEANUP(buf_finish) struct buf b = BUF_INIT(4096);
	const char *etags[] = {"\"a\"", "</ETag><Part>&"};
	assert_int_equal(s3_xml_write_parts(&b, etags, 2), 0);
	assert_string_equal(buf_str(&b),
		"<CompleteMultipartUpload "
		"xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
		"<Part><PartNumber>1</PartNumber><ETag>\"a\"</ETag></Part>"
		"<Part><PartNumber>2</PartNumber><ETag>&lt;/ETag&gt;&lt;Part&gt;&amp;</"
		"ETag>"
		"</Part></CompleteMultipartUpload>");
	struct buf small = BUF_INIT(100);
	assert_int_equal(s3_xml_write_parts(&small, etags, 2), -EMSGSIZE);
	buf_finish(&small);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_element_is_told_with_its_path_and_text),
		cmocka_unit_test(what_is_not_well_formed_is_refused),
		cmocka_unit_test(a_document_type_is_refused),
		cmocka_unit_test(depth_is_capped),
		cmocka_unit_test(names_and_texts_are_capped),
		cmocka_unit_test(a_visitor_can_end_the_walk),
		cmocka_unit_test(a_page_is_read_and_sorted),
		cmocka_unit_test(encoded_keys_are_decoded_only_where_announced),
		cmocka_unit_test(an_empty_bucket_is_an_empty_page),
		cmocka_unit_test(bad_pages_are_refused),
		cmocka_unit_test(a_page_has_a_most_of_entries),
		cmocka_unit_test(times_are_read_or_unknown),
		cmocka_unit_test(the_upload_id_is_found),
		cmocka_unit_test(an_upload_id_too_long_is_refused),
		cmocka_unit_test(a_completion_tells_the_etag),
		cmocka_unit_test(an_error_behind_blanks_is_an_error),
		cmocka_unit_test(other_bodies_complete_nothing),
		cmocka_unit_test(hostile_etags_stay_text),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
