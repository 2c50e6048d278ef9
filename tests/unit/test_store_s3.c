/* The s3:// store against a scripted server, unsigned: where it sends what, listing,
 * and probing. */
#include "tests/unit/test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/probe.h"
#include "fetch/store_s3.h"
#include "tests/unit/play.h"

#define PAGE(content)                                                                    \
	ANSWER("200 OK", "", "<ListBucketResult>" content "</ListBucketResult>")
#define KEY(name)    "<Contents><Key>" name "</Key><Size>3</Size></Contents>"
#define FOLDED(name) "<CommonPrefixes><Prefix>" name "</Prefix></CommonPrefixes>"
#define MORE(token)                                                                      \
	"<IsTruncated>true</IsTruncated><NextContinuationToken>" token                   \
	"</NextContinuationToken>"
#define TAIL                                                                             \
	ANSWER("206 Partial Content", "ETag: \"e\"\r\nContent-Range: bytes 0-2/3\r\n",   \
		"abc")

struct fixture {
	struct play *play;
	struct settings settings;
	struct store *store;
};

static void fixture_end(struct fixture *f)
{
	store_free(f->store);
	settings_finish(&f->settings);
	play_end(f->play);
}

static void open_store(struct fixture *f, const char *url)
{
	struct error e = {0};
	settings_init(&f->settings);
	f->settings.no_sign_request = true;
	f->settings.retries = 0;
	f->settings.cache_dir = strdup("");
	f->settings.endpoint_url = strdup(play_origin(f->play));
	if (store_new(url, &f->settings, &f->store, &e) < 0)
		fail_msg("%s", e.text);
}

#define WITH_STORE(f, url, ...)                                                          \
	CLEANUP(fixture_end)                                                             \
	struct fixture f = {.play = play_begin(0, ANSWERS(__VA_ARGS__))};                \
	open_store(&f, url)

/* --- where requests go -----------------------------------------------------------------
 */

static void asked_path(const char *url, const char *key, const char *line)
{
	WITH_STORE(f, url, TAIL);
	struct object *o = NULL;
	assert_int_equal(
		store_open_object(f.store, CALL_PATIENT, key, 10, &o, NULL, NULL), 0);
	object_free(o);
	if (!play_asked(f.play, 1, line))
		fail_msg("'%s' and '%s' did not ask for '%s'", url, key, line);
}

static void keys_lie_below_bucket_and_prefix(void **state)
{
	asked_path("s3://bkt", "k", "GET /bkt/k HTTP");
	asked_path("s3://bkt/a/b", "c/k", "GET /bkt/a/b/c/k HTTP");
	asked_path("s3://bkt", "a b+c=d%é", "GET /bkt/a%20b%2Bc%3Dd%25%C3%A9 HTTP");
}

static void prefix_and_key_together_are_bounded(void **state)
{
	char key[1025], url[64];
	memset(key, 'k', 1024);
	key[1024] = '\0';
	for (size_t i = 200; i < 1024; i += 200)
		key[i] = '/';
	snprintf(url, sizeof(url), "s3://bkt/p");
	WITH_STORE(f, url, TAIL);
	struct object *o = NULL;
	assert_int_equal(
		store_open_object(f.store, CALL_PATIENT, key, 10, &o, NULL, NULL),
		-EINVAL);
	assert_int_equal(play_requests(f.play), 0);
	key[1022] = '\0';
	assert_int_equal(
		store_open_object(f.store, CALL_PATIENT, key, 10, &o, NULL, NULL), 0);
	object_free(o);
}

static void the_scope_is_endpoint_and_bucket(void **state)
{
	WITH_STORE(f, "s3://bkt/prefix", TAIL);
	CLEANUP(buf_finish) struct buf scope = BUF_INIT(1000);
	char expected[128];
	assert_int_equal(f.store->ops->probe_scope(f.store, &scope), 0);
	snprintf(expected, sizeof(expected), "s3 %s bkt", play_origin(f.play));
	assert_string_equal(buf_str(&scope), expected);
}

static void a_url_may_say_region_and_style(void **state)
{
	struct settings settings;
	settings_init(&settings);
	settings.no_sign_request = true;
	settings.cache_dir = strdup("");
	CLEANUP(cleanup_store) struct store *s = NULL;
	assert_int_equal(store_new("s3://bkt?region=eu-north-1", &settings, &s, NULL), 0);
	CLEANUP(buf_finish) struct buf scope = BUF_INIT(1000);
	assert_int_equal(s->ops->probe_scope(s, &scope), 0);
	assert_string_equal(
		buf_str(&scope), "s3 https://s3.eu-north-1.amazonaws.com bkt");
	struct store *none = NULL;
	settings.region = strdup("not/a/region");
	assert_int_equal(store_new("s3://bkt", &settings, &none, NULL), -EINVAL);
	settings_finish(&settings);
}

/* --- listing
 * ---------------------------------------------------------------------------- */

static int collect(void *arg, const struct list_entry *entry)
{
	assert_true(entry->is_directory || entry->size == 3);
	return buf_printf(arg, "%s%s ", entry->is_directory ? "D:" : "", entry->key);
}

static int list(struct fixture *f, const char *prefix, bool deep, struct buf *ret)
{
	return store_list(f->store, CALL_PATIENT, prefix, deep, collect, ret, NULL);
}

static void pages_are_followed_in_order(void **state)
{
	WITH_STORE(f, "s3://bkt", PAGE(KEY("c") FOLDED("b/") MORE("t/1=")),
		PAGE(MORE("t2")), PAGE(KEY("d")));
	CLEANUP(buf_finish) struct buf seen = BUF_INIT(1000);
	assert_int_equal(list(&f, "", false, &seen), 0);
	assert_string_equal(buf_str(&seen), "D:b/ c d ");
	assert_true(play_asked(f.play, 1,
		"GET /bkt?delimiter=%2F&encoding-type=url&list-type=2&prefix= HTTP"));
	assert_true(
		play_asked(f.play, 2, "GET /bkt?continuation-token=t%2F1%3D&delimiter"));
	assert_true(play_asked(f.play, 3, "continuation-token=t2&"));
	assert_int_equal(play_requests(f.play), 3);
}

static void the_stores_prefix_is_put_on_and_taken_off(void **state)
{
	WITH_STORE(f, "s3://bkt/pre", PAGE(KEY("pre/") KEY("pre/a/b") KEY("other/x")));
	CLEANUP(buf_finish) struct buf seen = BUF_INIT(1000);
	assert_int_equal(list(&f, "a/", true, &seen), 0);
	assert_string_equal(buf_str(&seen), "a/b ");
	assert_true(play_asked(
		f.play, 1, "?encoding-type=url&list-type=2&prefix=pre%2Fa%2F HTTP"));
}

static int end_at_once(void *arg, const struct list_entry *entry)
{
	return 42;
}

static void a_listing_can_be_ended(void **state)
{
	WITH_STORE(f, "s3://bkt", PAGE(KEY("a") MORE("t")), PAGE(KEY("b")));
	assert_int_equal(
		store_list(f.store, CALL_PATIENT, "", true, end_at_once, NULL, NULL), 42);
	assert_int_equal(play_requests(f.play), 1);
}

static int list_answered(const char *answer)
{
	WITH_STORE(f, "s3://bkt", answer);
	CLEANUP(buf_finish) struct buf seen = BUF_INIT(1000);
	struct error e = {0};
	int r = store_list(f.store, CALL_PATIENT, "", true, collect, &seen, &e);
	assert_int_equal(e.code, r);
	return r;
}

static void listings_that_cannot_be_had_have_their_codes(void **state)
{
	assert_int_equal(list_answered(ANSWER("404 Not Found", "", "")), -EIO);
	assert_int_equal(list_answered(ANSWER("403 Forbidden", "", "")), -EACCES);
	assert_int_equal(list_answered(ANSWER("500 Oops", "", "")), -EIO);
	assert_int_equal(list_answered(ANSWER("200 OK", "", "<html/>")), -EIO);
	/* the same page again and again */
	assert_int_equal(list_answered(PAGE(MORE("t"))), -EIO);
}

/* --- probing
 * ----------------------------------------------------------------------------- */

#define STORED  ANSWER("200 OK", "ETag: \"e\"\r\n", "")
#define EXISTS  ANSWER("412 Precondition Failed", "", "")
#define THERE   ANSWER("200 OK", "ETag: \"e\"\r\n", "larder probe\n")
#define GONE    ANSWER("404 Not Found", "", "")
#define DELETED ANSWER("204 No Content", "", "")
#define CREATED                                                                          \
	ANSWER("200 OK", "",                                                             \
		"<InitiateMultipartUploadResult><UploadId>u</UploadId>"                  \
		"</InitiateMultipartUploadResult>")
#define COMPLETED ANSWER("200 OK", "", "<CompleteMultipartUploadResult/>")

#define CLEANED      THERE, DELETED, GONE
#define PUT_HONOURED STORED, EXISTS, THERE, CLEANED
#define PUT_RACED    STORED, EXISTS, CLEANED
#define UPLOAD(end)  CREATED, STORED, end, DELETED
#define TWO_PREPARED CREATED, STORED, CREATED, STORED
#define TWO_ABORTED  DELETED, DELETED

static struct probe_answer probe(const char *const *answers, unsigned expected_requests)
{
	CLEANUP(fixture_end) struct fixture f = {.play = play_begin(0, answers)};
	open_store(&f, "s3://bkt");
	struct probe_answer answer;
	struct error e = {0};
	if (probe_ask(f.store, CALL_PATIENT, 2, 1, &answer, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(play_requests(f.play), expected_requests);
	return answer;
}

static void complete_is_probed_and_raced(void **state)
{
	struct probe_answer a = probe(
		ANSWERS(PUT_HONOURED, PUT_RACED, UPLOAD(COMPLETED), UPLOAD(EXISTS),
			CLEANED, TWO_PREPARED, COMPLETED, EXISTS, TWO_ABORTED, CLEANED),
		33);
	assert_int_equal(a.put, HONOUR_ATOMIC);
	assert_int_equal(a.complete, HONOUR_ATOMIC);
}

static void complete_that_overwrites_is_found_out(void **state)
{
	struct probe_answer a = probe(ANSWERS(PUT_HONOURED, PUT_RACED, UPLOAD(COMPLETED),
					      UPLOAD(COMPLETED), CLEANED),
		22);
	assert_int_equal(a.put, HONOUR_ATOMIC);
	assert_int_equal(a.complete, HONOUR_NO);
}

static void complete_with_two_winners_is_not_atomic(void **state)
{
	struct probe_answer a = probe(ANSWERS(PUT_HONOURED, PUT_RACED, UPLOAD(COMPLETED),
					      UPLOAD(EXISTS), CLEANED, TWO_PREPARED,
					      COMPLETED, COMPLETED, TWO_ABORTED, CLEANED),
		33);
	assert_int_equal(a.complete, HONOUR_SEQUENTIAL);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_lie_below_bucket_and_prefix),
		cmocka_unit_test(prefix_and_key_together_are_bounded),
		cmocka_unit_test(the_scope_is_endpoint_and_bucket),
		cmocka_unit_test(a_url_may_say_region_and_style),
		cmocka_unit_test(pages_are_followed_in_order),
		cmocka_unit_test(the_stores_prefix_is_put_on_and_taken_off),
		cmocka_unit_test(a_listing_can_be_ended),
		cmocka_unit_test(listings_that_cannot_be_had_have_their_codes),
		cmocka_unit_test(complete_is_probed_and_raced),
		cmocka_unit_test(complete_that_overwrites_is_found_out),
		cmocka_unit_test(complete_with_two_winners_is_not_atomic),
	};
	setenv("AWS_CONFIG_FILE", "/dev/null", 1);
	setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
