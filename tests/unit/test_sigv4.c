/*
 * The published examples are those of the S3 API Reference, "Signature Calculations for
 * the Authorization Header"; the other signatures were made with botocore.
 */
#include "tests/unit/test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/base/cleanup.h"
#include "fetch/sigv4.h"

#define HOST  "examplebucket.s3.amazonaws.com"
#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define HELLO "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"
#define WHEN  1369353600 /* 2013-05-24T00:00:00Z */

static const struct credentials nobody = {
	.access_key = "AKIAIOSFODNN7EXAMPLE",
	.secret_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
	.expires_s = CREDS_NO_EXPIRY,
};

static const struct sigv4_request get = {
	.method = "GET",
	.host = HOST,
	.path = "/",
	.payload_sha256 = EMPTY,
	.region = "us-east-1",
	.service = "s3",
	.time_s = WHEN,
};

/* The nth of the lines, "" when there are fewer. */
static const char *line_at(const struct buf *b, unsigned n)
{
	const char *p = buf_str(b), *end = p + b->len;
	for (; n && p < end; n--)
		p += strlen(p) + 1;
	return p < end ? p : "";
}

static void assert_signature(const struct sigv4_request *q, const struct credentials *c,
	const char *names, const char *signature)
{
	CLEANUP(buf_finish) struct buf b = BUF_INIT(1 << 20);
	CLEANUP(cleanup_free) char *expected = NULL;
	assert_int_equal(sigv4_sign(q, c, &b), 0);
	assert_true(
		asprintf(&expected,
			"Authorization: AWS4-HMAC-SHA256 Credential=%s/20130524/%s/%s/"
			"aws4_request,SignedHeaders=%s,Signature=%s",
			c->access_key, q->region, q->service, names, signature) > 0);
	assert_string_equal(line_at(&b, 0), expected);
	assert_string_equal(line_at(&b, 1), "x-amz-date: 20130524T000000Z");
}

#define USUAL "host;x-amz-content-sha256;x-amz-date"

static void published_get_object(void **state)
{
	struct sigv4_request q = get;
	q.path = "/test.txt";
	q.headers = (const char *const[]){"Range: bytes=0-9", NULL};
	assert_signature(&q, &nobody, "host;range;x-amz-content-sha256;x-amz-date",
		"f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

static void published_put_object(void **state)
{
	struct sigv4_request q = get;
	q.method = "PUT";
	q.path = "/test$file.text";
	q.headers = (const char *const[]){"Date: Fri, 24 May 2013 00:00:00 GMT",
		"x-amz-storage-class: REDUCED_REDUNDANCY", NULL};
	q.payload_sha256 = HELLO;
	assert_signature(&q, &nobody,
		"date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
		"98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
}

static void published_bucket_lifecycle(void **state)
{
	struct sigv4_request q = get;
	q.query = "lifecycle";
	assert_signature(&q, &nobody, USUAL,
		"fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
}

static void published_list_objects(void **state)
{
	struct sigv4_request q = get;
	q.query = "max-keys=2&prefix=J";
	assert_signature(&q, &nobody, USUAL,
		"34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
	q.query = "prefix=J&max-keys=2";
	assert_signature(&q, &nobody, USUAL,
		"34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

static void a_path_is_signed_encoded_however_it_is_sent(void **state)
{
	static const char *const paths[] = {"/a%3Db%2Bc%3Ad%40e%20f/%C3%A4~%25",
		"/a=b+c:d@e%20f/%c3%a4%7E%25", "/a=b+c:d@e f/\xc3\xa4~%"};
	struct sigv4_request q = get;
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		q.path = paths[i];
		assert_signature(&q, &nobody, USUAL,
			"c717634da91190e3706acb3f4bdf3612ea2bd979fbb0bb3c669519850fd4940"
			"c");
	}
}

static void a_query_is_encoded_and_sorted(void **state)
{
	static const char *const queries[] = {
		"list-type=2&prefix=a%2Fb%20c%2B&delimiter=%2F&continuation-token=x%3D%"
		"3D",
		"continuation-token=x==&delimiter=/&&list-type=2&prefix=a/b%20c+&",
	};
	struct sigv4_request q = get;
	for (size_t i = 0; i < sizeof(queries) / sizeof(queries[0]); i++) {
		q.query = queries[i];
		assert_signature(&q, &nobody, USUAL,
			"b38e83f977643d6727cdf3fe616e1d2d4337598f7bdd354cbed3c875fb8b0f0"
			"9");
	}
	q.path = "/k";
	q.query = "versionId=b&uploads&versionId=a";
	assert_signature(&q, &nobody, USUAL,
		"f6e5433feb2faecc3c09e2ad26d95d23c43dda912fc5966bc37906cf1eecf354");
}

static void names_are_sorted_without_their_colon(void **state)
{
	struct sigv4_request q = get;
	q.method = "PUT";
	q.path = "/k";
	q.payload_sha256 = HELLO;
	q.headers = (const char *const[]){"x-amz-meta-a-b: 2", "x-amz-meta-a: 1",
		"X-Amz-Meta-A-: 3", "If-None-Match: *", NULL};
	assert_signature(&q, &nobody,
		"host;if-none-match;x-amz-content-sha256;x-amz-date;x-amz-meta-a;"
		"x-amz-meta-a-;x-amz-meta-a-b",
		"75752d303f5a06b36bb32a259aaf265ae57c3a1deda0f30800377acf06e3c1fb");
}

static void spaces_in_a_value_collapse(void **state)
{
	struct sigv4_request q = get;
	q.path = "/test.txt";
	q.headers = (const char *const[]){"x-amz-meta-s:  a   b  ", NULL};
	assert_signature(&q, &nobody, USUAL ";x-amz-meta-s",
		"04047d6d733ace0476c978cb026c8da9d0c449468ade1ed3a0082621c3d57fa6");
}

static void equal_names_become_one_list(void **state)
{
	CLEANUP(buf_finish) struct buf one = BUF_INIT(4096), two = BUF_INIT(4096);
	struct sigv4_request q = get;
	q.headers = (const char *const[]){"x-b: 1,2", "x-a:", NULL};
	assert_int_equal(sigv4_sign(&q, &nobody, &one), 0);
	q.headers = (const char *const[]){"x-b: 1", "x-a:  ", "X-B: 2", NULL};
	assert_int_equal(sigv4_sign(&q, &nobody, &two), 0);
	assert_string_equal(line_at(&one, 0), line_at(&two, 0));
	assert_non_null(strstr(line_at(&one, 0), ";x-amz-date;x-b,"));
}

static void a_session_token_is_signed_and_sent(void **state)
{
	CLEANUP(buf_finish) struct buf b = BUF_INIT(4096);
	struct credentials c = nobody;
	strcpy(c.session_token,
		"AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4"
		"FZTwdQW==");
	struct sigv4_request q = get;
	q.path = "/test.txt";
	assert_signature(&q, &c, USUAL ";x-amz-security-token",
		"2f34122e5ba0c5e1639cedb38a7936180060008b61ed1fd8c44cac6e78975b0a");
	assert_int_equal(sigv4_sign(&q, &c, &b), 0);
	assert_string_equal(line_at(&b, 2), "x-amz-content-sha256: " EMPTY);
	assert_int_equal(strncmp(line_at(&b, 3), "x-amz-security-token: AQoD", 26), 0);
	assert_string_equal(line_at(&b, 3) + 22, c.session_token);
	assert_string_equal(line_at(&b, 4), "");
}

static void other_services_and_regions_sign_too(void **state)
{
	struct sigv4_request q = get;
	q.method = "POST";
	q.host = "sts.eu-west-1.amazonaws.com";
	q.region = "eu-west-1";
	q.service = "sts";
	q.payload_sha256 =
		"80f6421ec9448a0b058e65fbcf0dfe6691d336e735056c375108a5444e43ed41";
	q.headers = (const char *const[]){
		"Content-Type: application/x-www-form-urlencoded", NULL};
	assert_signature(&q, &nobody, "content-type;" USUAL,
		"d06e3e18a393d195d33edca82e6a3685bed6920d61a8292c4356a9536ff348c9");
}

static void lines_are_appended(void **state)
{
	CLEANUP(buf_finish) struct buf b = BUF_INIT(4096);
	buf_append(&b, "first", 6);
	struct sigv4_request q = get;
	assert_int_equal(sigv4_sign(&q, &nobody, &b), 0);
	assert_string_equal(line_at(&b, 0), "first");
	assert_string_equal(line_at(&b, 3), "x-amz-content-sha256: " EMPTY);
	assert_string_equal(line_at(&b, 4), "");
}

static void refused(const struct sigv4_request *q, size_t max, int expected)
{
	CLEANUP(buf_finish) struct buf b = BUF_INIT(max);
	buf_append(&b, "x", 1);
	assert_int_equal(sigv4_sign(q, &nobody, &b), expected);
	assert_int_equal(b.len, 1);
	assert_string_equal(b.data, "x");
}

static void nonsense_is_refused(void **state)
{
	static const char *const headers[] = {"no colon", ": no name", "a b: space",
		"a: line\r\nb: injected", "a\n: b", "Host: other", "x-amz-date: now",
		"X-Amz-Content-Sha256: x", "authorization: x", "x-amz-security-token: x"};
	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
		struct sigv4_request q = get;
		q.headers = (const char *const[]){headers[i], NULL};
		refused(&q, 4096, -EINVAL);
	}
	struct sigv4_request q = get;
	q.time_s = -1;
	refused(&q, 4096, -EINVAL);
	q.time_s = INT64_MAX;
	refused(&q, 4096, -EINVAL);
}

static void caps_are_kept(void **state)
{
	struct sigv4_request q = get;
	const char *headers[SIGV4_HEADERS_MAX + 2] = {NULL};
	for (size_t i = 0; i <= SIGV4_HEADERS_MAX; i++)
		headers[i] = "x: y";
	q.headers = headers;
	refused(&q, 8192, -EINVAL);
	headers[SIGV4_HEADERS_MAX] = NULL;
	CLEANUP(buf_finish) struct buf b = BUF_INIT(8192);
	assert_int_equal(sigv4_sign(&q, &nobody, &b), 0);
	refused(&get, 100, -EMSGSIZE);

	CLEANUP(cleanup_free) char *query = calloc(1, SIGV4_QUERY_MAX + 2);
	memset(query, 'q', SIGV4_QUERY_MAX + 1);
	q = get;
	q.query = query;
	refused(&q, 8192, -EMSGSIZE);
	for (size_t i = 1; i < 2 * (SIGV4_PARAMETERS_MAX + 1); i += 2)
		query[i] = '&';
	query[2 * (SIGV4_PARAMETERS_MAX + 1)] = '\0';
	refused(&q, 8192, -EINVAL);
}

static void uris_are_encoded(void **state)
{
	CLEANUP(buf_finish) struct buf b = BUF_INIT(100);
	assert_int_equal(uri_encode(&b, "aZ0-._~/ +\xff\0", 12, false), 0);
	assert_string_equal(b.data, "aZ0-._~%2F%20%2B%FF%00");
	buf_clear(&b);
	assert_int_equal(uri_encode(&b, "a/b%2F", 6, true), 0);
	assert_string_equal(b.data, "a/b%252F");
	CLEANUP(buf_finish) struct buf small = BUF_INIT(4);
	assert_int_equal(uri_encode(&small, "++", 2, false), -EMSGSIZE);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(published_get_object),
		cmocka_unit_test(published_put_object),
		cmocka_unit_test(published_bucket_lifecycle),
		cmocka_unit_test(published_list_objects),
		cmocka_unit_test(a_path_is_signed_encoded_however_it_is_sent),
		cmocka_unit_test(a_query_is_encoded_and_sorted),
		cmocka_unit_test(names_are_sorted_without_their_colon),
		cmocka_unit_test(spaces_in_a_value_collapse),
		cmocka_unit_test(equal_names_become_one_list),
		cmocka_unit_test(a_session_token_is_signed_and_sent),
		cmocka_unit_test(other_services_and_regions_sign_too),
		cmocka_unit_test(lines_are_appended),
		cmocka_unit_test(nonsense_is_refused),
		cmocka_unit_test(caps_are_kept),
		cmocka_unit_test(uris_are_encoded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
