/* The http:// store against a scripted server. */
#include "tests/unit/test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/probe.h"
#include "fetch/publication.h"
#include "fetch/store_impl.h"
#include "tests/unit/play.h"

#define STORED   ANSWER("201 Created", "ETag: \"e\"\r\n", "")
#define EXISTS   ANSWER("412 Precondition Failed", "", "")
#define CONFLICT ANSWER("409 Conflict", "", "")
#define GONE     ANSWER("404 Not Found", "", "")
#define THERE    ANSWER("200 OK", "ETag: \"e\"\r\n", "x")
#define MADE     ANSWER("201 Created", "", "")
#define NOT_MADE ANSWER("405 Method Not Allowed", "", "")
#define DENIED   ANSWER("403 Forbidden", "", "")
#define PROBED   STORED, EXISTS, THERE

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

static void open_store(struct fixture *f, const char *path)
{
	struct error e = {0};
	char url[128];
	snprintf(url, sizeof(url), "%s%s", play_origin(f->play), path);
	settings_init(&f->settings);
	f->settings.retries = 0;
	f->settings.cache_dir = strdup("");
	if (store_new(url, &f->settings, &f->store, &e) < 0)
		fail_msg("%s", e.text);
}

#define WITH_STORE(f, path, ...)                                                         \
	CLEANUP(fixture_end)                                                             \
	struct fixture f = {.play = play_begin(0, ANSWERS(__VA_ARGS__))};                \
	open_store(&f, path)

static int publish_bytes(struct fixture *f, const char *key,
	enum publish_condition condition, size_t len, struct error *e)
{
	CLEANUP(cleanup_free) char *data = calloc(1, len);
	CLEANUP(cleanup_publication) struct publication *p = NULL;
	const struct publish_options o = {.condition = condition};
	struct publish_result result;
	struct digest identity = {{1}};
	int r = publication_begin(f->store, CALL_PATIENT, key, &o, &p, e);
	if (r == 0)
		r = publication_write(p, CALL_PATIENT, data, len, e);
	if (r == 0)
		r = publication_finish(p, CALL_PATIENT, &identity, &result, e);
	if (r == 0)
		assert_int_equal(result.outcome, PUBLISHED);
	return r;
}

static int publish(struct fixture *f, const char *key, enum publish_condition condition,
	struct error *e)
{
	return publish_bytes(f, key, condition, 5, e);
}

static void assert_published(struct fixture *f, const char *key)
{
	struct error e = {0};
	if (publish(f, key, PUBLISH_OVERWRITE, &e) < 0)
		fail_msg("%s", e.text);
}

static void assert_asked(struct fixture *f, unsigned number, const char *line)
{
	if (!play_asked(f->play, number, line))
		fail_msg("request %u was not '%s'", number, line);
}

static void keys_lie_below_the_path(void **state)
{
	static const char *const urls[] = {"/a/b", "/a/b/"};
	for (size_t i = 0; i < 2; i++) {
		WITH_STORE(f, urls[i], GONE);
		struct object *o = NULL;
		assert_int_equal(store_open_object(f.store, CALL_PATIENT, "d/k k", 9, &o,
					 NULL, NULL),
			-ENOENT);
		assert_asked(&f, 1, "GET /a/b/d/k%20k HTTP");
		assert_false(play_asked(f.play, 1, "authorization"));
	}
	WITH_STORE(f, "", GONE);
	struct pin pin;
	assert_int_equal(
		store_stat_object(f.store, CALL_PATIENT, "k", &pin, NULL, NULL), -ENOENT);
	assert_asked(&f, 1, "HEAD /k HTTP");
}

static void a_directory_is_a_miss(void **state)
{
	WITH_STORE(f, "", ANSWER("301 Moved Permanently", "Location: /k/\r\n", ""));
	struct object *o = NULL;
	assert_int_equal(store_open_object(f.store, CALL_PATIENT, "k", 9, &o, NULL, NULL),
		-ENOENT);
}

static int nothing(void *arg, const struct list_entry *entry)
{
	return 0;
}

static void nothing_can_be_listed(void **state)
{
	WITH_STORE(f, "", GONE);
	assert_int_equal(store_list(f.store, CALL_PATIENT, "", true, nothing, NULL, NULL),
		-EOPNOTSUPP);
}

static void the_first_publication_probes(void **state)
{
	WITH_STORE(f, "/c", GONE, PROBED, STORED);
	struct error e = {0};
	if (publish(&f, "k", PUBLISH_IF_ABSENT, &e) < 0)
		fail_msg("%s", e.text);
	assert_asked(&f, 2, "PUT /c/.larder/probe HTTP");
	assert_asked(&f, 5, "PUT /c/k HTTP");
	assert_asked(&f, 5, "if-none-match: *");
}

static void a_server_that_ignores_the_condition_is_found_out(void **state)
{
	WITH_STORE(f, "", GONE, STORED, STORED);
	struct error e = {0};
	assert_int_equal(publish(&f, "k", PUBLISH_IF_ABSENT, &e), -EOPNOTSUPP);
	assert_int_equal(play_requests(f.play), 3);
}

static void a_server_without_put_too(void **state)
{
	WITH_STORE(f, "", GONE, NOT_MADE, NOT_MADE);
	struct error e = {0};
	assert_int_equal(publish(&f, "k", PUBLISH_IF_ABSENT, &e), -EIO);
	assert_non_null(strstr(e.text, "does not take writes"));
	WITH_STORE(g, "", GONE, NOT_MADE, STORED); /* it is the condition */
	assert_int_equal(publish(&g, "k", PUBLISH_IF_ABSENT, &e), -EOPNOTSUPP);
}

static void missing_folders_are_made_from_the_top(void **state)
{
	WITH_STORE(f, "/s", CONFLICT, CONFLICT, CONFLICT, MADE, MADE, MADE, STORED);
	assert_published(&f, "a/b/k");
	assert_asked(&f, 1, "PUT /s/a/b/k ");
	assert_asked(&f, 2, "MKCOL /s/a/b/ ");
	assert_asked(&f, 3, "MKCOL /s/a/ ");
	assert_asked(&f, 4, "MKCOL /s/ ");
	assert_asked(&f, 5, "MKCOL /s/a/ ");
	assert_asked(&f, 6, "MKCOL /s/a/b/ ");
	assert_asked(&f, 7, "PUT /s/a/b/k ");
	assert_int_equal(play_requests(f.play), 7);
}

static void a_large_body_does_not_meet_a_missing_folder(void **state)
{
	WITH_STORE(f, "", MADE, STORED);
	struct error e = {0};
	assert_int_equal(publish_bytes(&f, "a/k", PUBLISH_OVERWRITE, 9 << 20, &e), 0);
	assert_asked(&f, 1, "MKCOL /a/ ");
	assert_asked(&f, 2, "PUT /a/k ");
	WITH_STORE(g, "", DENIED, STORED); /* it may be there all the same */
	assert_int_equal(publish_bytes(&g, "a/k", PUBLISH_OVERWRITE, 9 << 20, &e), 0);
}

static void a_folder_that_another_made_meanwhile_is_as_good(void **state)
{
	WITH_STORE(f, "", CONFLICT, CONFLICT, NOT_MADE, NOT_MADE, STORED);
	assert_published(&f, "a/b/k");
	assert_asked(&f, 3, "MKCOL /a/ ");
	assert_asked(&f, 4, "MKCOL /a/b/ ");
}

static void a_conflict_that_is_not_about_folders_is_waited_out(void **state)
{
	WITH_STORE(f, "", CONFLICT, ANSWER("501 Not Implemented", "", ""), CONFLICT,
		NOT_MADE, STORED);
	assert_published(&f, "a/k");
	assert_int_equal(play_requests(f.play), 5);
}

static void a_folder_that_may_not_be_made_is_an_error(void **state)
{
	WITH_STORE(f, "", CONFLICT, DENIED);
	struct error e = {0};
	assert_int_equal(publish(&f, "a/k", PUBLISH_OVERWRITE, &e), -EACCES);
}

static void a_server_where_no_folder_has_a_parent_ends(void **state)
{
	WITH_STORE(f, "", CONFLICT);
	struct error e = {0};
	assert_int_equal(publish(&f, "a/b/k", PUBLISH_OVERWRITE, &e), -EIO);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_lie_below_the_path),
		cmocka_unit_test(a_directory_is_a_miss),
		cmocka_unit_test(nothing_can_be_listed),
		cmocka_unit_test(the_first_publication_probes),
		cmocka_unit_test(a_server_that_ignores_the_condition_is_found_out),
		cmocka_unit_test(a_server_without_put_too),
		cmocka_unit_test(missing_folders_are_made_from_the_top),
		cmocka_unit_test(a_large_body_does_not_meet_a_missing_folder),
		cmocka_unit_test(a_folder_that_another_made_meanwhile_is_as_good),
		cmocka_unit_test(a_conflict_that_is_not_about_folders_is_waited_out),
		cmocka_unit_test(a_folder_that_may_not_be_made_is_an_error),
		cmocka_unit_test(a_server_where_no_folder_has_a_parent_ends),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
