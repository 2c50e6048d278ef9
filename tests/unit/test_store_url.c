#include "tests/unit/test.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "fetch/store_url.h"

struct expected {
	const char *text;
	const char *bucket, *origin, *path, *region, *endpoint;
	int path_style;
};

static void assert_same_text(const char *a, const char *b)
{
	if (!a || !b)
		assert_ptr_equal(a, b);
	else
		assert_string_equal(a, b);
}

static void check(const struct expected *x, enum store_kind kind)
{
	CLEANUP(store_url_finish) struct store_url u = {0};
	struct error e = {0};
	int r = store_url_parse(x->text, &u, &e);
	if (r < 0)
		print_error("%s\n", e.text);
	assert_int_equal(r, 0);
	assert_int_equal(u.kind, kind);
	assert_same_text(u.bucket, x->bucket);
	assert_same_text(u.origin, x->origin);
	assert_same_text(u.path, x->path);
	assert_same_text(u.region, x->region);
	assert_same_text(u.endpoint, x->endpoint);
	assert_int_equal(u.path_style, x->path_style);
}

#define S3(text_, bucket_, prefix_)                                                      \
	{                                                                                \
		.text = (text_), .bucket = (bucket_), .path = (prefix_),                 \
		.path_style = -1                                                         \
	}

static void s3_names_bucket_and_prefix(void **state)
{
	static const struct expected cases[] = {
		S3("s3://bucket", "bucket", ""),
		S3("S3://bucket/", "bucket", ""),
		S3("s3://bucket?", "bucket", ""),
		S3("s3://my.bucket-1/a/b", "my.bucket-1", "a/b"),
		S3("s3://bucket//a/b//", "bucket", "a/b"),
		S3("s3://bucket/%41 +#&=@:\xc3\xa4", "bucket", "%41 +#&=@:\xc3\xa4"),
		{"s3://bkt/p?region=eu-1&endpoint=http://127.0.0.1:8000/&path-style=true",
			"bkt", NULL, "p", "eu-1", "http://127.0.0.1:8000", 1},
		{"s3://bkt?path-style=false&endpoint=https%3A%2F%2FH%3a443", "bkt", NULL,
			"", NULL, "https://h", 0},
		{"s3://bkt/?region=auto&", "bkt", NULL, "", "auto", NULL, -1},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check(&cases[i], STORE_S3);
}

#define HTTP(text_, origin_, path_)                                                      \
	{                                                                                \
		.text = (text_), .origin = (origin_), .path = (path_), .path_style = -1  \
	}

static void http_names_origin_and_path(void **state)
{
	static const struct expected cases[] = {
		HTTP("http://host", "http://host", ""),
		HTTP("https://Host:443/", "https://host", ""),
		HTTP("http://[::1]:8080/a/b/", "http://[::1]:8080", "/a/b"),
		HTTP("http://host/a//b/%20+~..x/...", "http://host",
			"/a//b/%20+~..x/..."),
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check(&cases[i], STORE_HTTP);
}

#define DIRECTORY(text_, path_)                                                          \
	{                                                                                \
		.text = (text_), .path = (path_), .path_style = -1                       \
	}

static void files_are_absolute_directories(void **state)
{
	static const struct expected cases[] = {
		DIRECTORY("/", "/"),
		DIRECTORY("/a/b/", "/a/b"),
		DIRECTORY("//a/./b//c/../.", "/a/b/c/.."),
		DIRECTORY("file:///a%20b", "/a b"),
		DIRECTORY("FILE:/a", "/a"),
		DIRECTORY("file://localhost/a?b#c", "/a?b#c"),
		DIRECTORY("/a%20b", "/a%20b"),
		DIRECTORY("/x://y", "/x:/y"),
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check(&cases[i], STORE_FILE);
}

static void relative_paths_lie_here(void **state)
{
	assert_int_equal(chdir("/usr"), 0);
	static const struct expected cases[] = {
		DIRECTORY("./here", "/usr/here"),
		DIRECTORY("a/b", "/usr/a/b"),
		DIRECTORY("../x", "/usr/../x"),
		DIRECTORY("./", "/usr"),
		DIRECTORY("C:/x", "/usr/C:/x"),
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check(&cases[i], STORE_FILE);
}

static void refused(const char *text)
{
	struct store_url u = {.path_style = 7};
	struct error e = {0};
	int r = store_url_parse(text, &u, &e);
	if (r != -EINVAL)
		print_error("'%s' gave %d\n", text, r);
	assert_int_equal(r, -EINVAL);
	assert_int_equal(e.code, -EINVAL);
	assert_int_equal(u.path_style, 7); /* outputs are written only on success */
	assert_null(strstr(e.text, "sesame"));
	if (*text)
		assert_non_null(strchr(e.text, '\''));
}

static void wrong_buckets_are_refused(void **state)
{
	static const char *const cases[] = {"s3://", "s3:///a", "s3://?region=x",
		"s3://ab", "s3://Bucket", "s3://buc_ket", "s3://-bucket", "s3://bucket-",
		"s3://.bucket", "s3://bu..cket", "s3://192.168.5.4", "s3://buc ket",
		"s3://b%41cket",
		"s3://0123456789012345678901234567890123456789012345678901234567890123",
		"s3://AKIA:ses/ame@bucket/p", "s3://AKIA:sesame@bucket"};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		refused(cases[i]);
}

static void wrong_prefixes_are_refused(void **state)
{
	static const char *const cases[] = {"s3://bucket/a//b", "s3://bucket/a/../b",
		"s3://bucket/./a", "s3://bucket/..", "s3://bucket/a\nb",
		"s3://bucket/\xff", "s3://bucket/.larder"};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		refused(cases[i]);
}

static void wrong_queries_are_refused(void **state)
{
	static const char *const cases[] = {"s3://bucket?regio=x", "s3://bucket?region",
		"s3://bucket?=x", "s3://bucket?region=", "s3://bucket?region=a%2Fb",
		"s3://bucket?region=a%00b", "s3://bucket?region=a%0",
		"s3://bucket?region=%", "s3://bucket?region=%zz",
		"s3://bucket?region=a&region=b", "s3://bucket?endpoint=host",
		"s3://bucket?endpoint=http://h/p",
		"s3://bucket?endpoint=http://h&endpoint=http://h",
		"s3://bucket?path-style=yes",
		"s3://bucket?path-style=true&path-style=true", "s3://bucket?&region=a",
		"s3://bucket?endpoint=http://me:sesame@h",
		"s3://bucket?endpoint=http%3A%2F%2Fme%3Asesame%40h",
		"s3://bucket?secret=sesame"};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		refused(cases[i]);
}

static void wrong_http_is_refused(void **state)
{
	static const char *const cases[] = {"http://", "http:///a", "http:/host",
		"http:host", "https:", "http://host/a?b", "http://host/a#b",
		"http://host?b", "http://host/a b", "http://host/\xc3\xa4",
		"http://host/%", "http://host/%4", "http://host/%00", "http://host/%4g",
		"http://host/a/../b", "http://host/.", "http://host/..",
		"http://host/./a", "http://host/a\rb", "http://host/\"",
		"http://me:sesame@host/", "http://me:ses/ame@host", "http://host:0/",
		"https://host/?X-Amz-Signature=sesame"};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		refused(cases[i]);
}

static void other_words_are_refused(void **state)
{
	static const char *const cases[] = {"", "bucket", ".", "..", "gs://bucket",
		"s3a://bucket/x", "ftp://host/x", "file:", "file://", "file://host/dir",
		"file:dir", "file://./dir", "file:///a%00b", "file:///a%4", "s3:bucket",
		"s3:/bucket"};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		refused(cases[i]);
}

static void long_words_are_refused(void **state)
{
	char text[STORE_URL_MAX + 2];
	memset(text, 'a', sizeof(text));
	text[0] = '/';
	text[sizeof(text) - 1] = '\0';
	refused(text);
	text[STORE_URL_MAX] = '\0';
	struct store_url u;
	assert_int_equal(store_url_parse(text, &u, NULL), 0);
	store_url_finish(&u);
	assert_int_equal(chdir("/usr"), 0);
	memcpy(text, "./", 2);
	refused(text);
	memcpy(text, "s3://", 5);
	refused(text);
}

static void the_sentence_says_what_is_wrong(void **state)
{
	struct store_url u;
	struct error e = {0};
	assert_int_equal(store_url_parse("cache", &u, &e), -EINVAL);
	assert_non_null(strstr(e.text, "'./cache'"));
	assert_int_equal(store_url_parse("s3://My_Bucket/x", &u, &e), -EINVAL);
	assert_non_null(strstr(e.text, "'s3://My_Bucket/x'"));
	assert_non_null(strstr(e.text, "lower-case"));
	assert_int_equal(store_url_parse("s3://bucket?bucket=x", &u, &e), -EINVAL);
	assert_non_null(strstr(e.text, "'bucket'"));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(s3_names_bucket_and_prefix),
		cmocka_unit_test(http_names_origin_and_path),
		cmocka_unit_test(files_are_absolute_directories),
		cmocka_unit_test(relative_paths_lie_here),
		cmocka_unit_test(wrong_buckets_are_refused),
		cmocka_unit_test(wrong_prefixes_are_refused),
		cmocka_unit_test(wrong_queries_are_refused),
		cmocka_unit_test(wrong_http_is_refused),
		cmocka_unit_test(other_words_are_refused),
		cmocka_unit_test(long_words_are_refused),
		cmocka_unit_test(the_sentence_says_what_is_wrong),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
