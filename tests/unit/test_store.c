#include "tests/unit/scratch.h"

#include <errno.h>

#include "fetch/key.h"
#include "fetch/store_impl.h"

/* A kind of store that notes what it is asked, and lists what no store should. */
struct fake {
	struct store base;
	unsigned asked;
	unsigned freed;
	bool deny;
};

static int fake_open(struct store *s, const struct call *call, const char *key,
	size_t tail_len, struct object **ret, bool *ret_denied, struct error *e)
{
	struct fake *f = (struct fake *)s;
	f->asked++;
	*ret_denied = f->deny;
	return error_set(e, -ENOENT, "asked for '%s'", key);
}

static int fake_stat(struct store *s, const struct call *call, const char *key,
	struct pin *ret, bool *ret_denied, struct error *e)
{
	struct fake *f = (struct fake *)s;
	f->asked++;
	*ret_denied = f->deny;
	*ret = (struct pin){.size = 7};
	return 0;
}

static int fake_list(struct store *s, const struct call *call, const char *prefix,
	bool deep, list_fn *fn, void *arg, struct error *e)
{
	static char long_key[KEY_MAX + 3];
	memset(long_key, 'x', KEY_MAX + 2);
	for (size_t i = 200; i < KEY_MAX + 2; i += 200)
		long_key[i] = '/';
	static const char *const keys[] = {"a", "../etc/passwd", "/abs", "a//b", "b/..",
		".larder/probe", "tab\there", "\xff", "", "c/", long_key, "z"};
	static const char *const directories[] = {
		"d/", "d//", "../", "/", "", ".larder/"};
	int r = 0;
	for (size_t i = 0; r == 0 && i < sizeof(keys) / sizeof(keys[0]); i++)
		r = fn(arg, &(struct list_entry){.key = keys[i], .size = i});
	for (size_t i = 0; r == 0 && i < sizeof(directories) / sizeof(directories[0]);
		i++)
		r = fn(arg, &(struct list_entry){
				    .key = directories[i], .is_directory = true});
	return r;
}

static int fake_publish(struct store *s, const struct call *call, const char *key,
	const struct publish_options *options, struct publication **ret, struct error *e)
{
	((struct fake *)s)->asked++;
	return -EEXIST;
}

static void fake_stats(struct store *s, struct store_stats *ret)
{
	ret->requests = ((struct fake *)s)->asked;
}

static void fake_free(struct store *s)
{
	((struct fake *)s)->freed++;
}

static const struct store_ops fake_ops = {
	.open_object = fake_open,
	.stat_object = fake_stat,
	.list = fake_list,
	.publish = fake_publish,
	.stats = fake_stats,
	.free = fake_free,
};

static void every_key_is_checked_before_the_kind_is_asked(void **state)
{
	struct fake f = {.base.ops = &fake_ops};
	struct object *o;
	struct pin pin;
	struct publication *p;
	static const char *const wrong[] = {"", "/a", "../a", ".larder/x", "a\n"};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		const char *key = wrong[i];
		assert_int_equal(
			store_open_object(&f.base, CALL_PATIENT, key, 1, &o, NULL, NULL),
			-EINVAL);
		assert_int_equal(
			store_stat_object(&f.base, CALL_PATIENT, key, &pin, NULL, NULL),
			-EINVAL);
		assert_int_equal(publication_begin(&f.base, CALL_PATIENT, key,
					 &(struct publish_options){0}, &p, NULL),
			-EINVAL);
	}
	assert_int_equal(f.asked, 0);
	assert_int_equal(publication_begin(&f.base, CALL_PATIENT, "a",
				 &(struct publish_options){0}, &p, NULL),
		-EEXIST);
	assert_int_equal(f.asked, 1);
}

static void denial_is_told_to_who_wants_to_know(void **state)
{
	struct fake f = {.base.ops = &fake_ops, .deny = true};
	struct object *o;
	struct pin pin;
	bool denied = false;
	assert_int_equal(
		store_open_object(&f.base, CALL_PATIENT, "a", 1, &o, &denied, NULL),
		-ENOENT);
	assert_true(denied);
	f.deny = false;
	assert_int_equal(
		store_stat_object(&f.base, CALL_PATIENT, "a", &pin, &denied, NULL), 0);
	assert_false(denied);
	assert_int_equal(pin.size, 7);
	denied = true;
	assert_int_equal(
		store_stat_object(&f.base, CALL_PATIENT, "", &pin, &denied, NULL),
		-EINVAL);
	assert_false(denied);
}

static int join(void *arg, const struct list_entry *entry)
{
	strcat(strcat(arg, entry->key), " ");
	return 0;
}

static void what_cannot_be_a_key_is_not_listed(void **state)
{
	struct fake f = {.base.ops = &fake_ops};
	char text[256] = "";
	assert_int_equal(
		store_list(&f.base, CALL_PATIENT, "", true, join, text, NULL), 0);
	assert_string_equal(text, "a z d/ ");
}

static void a_kind_that_cannot_list_says_so(void **state)
{
	struct store_ops ops = fake_ops;
	ops.list = NULL;
	struct fake f = {.base = {.ops = &ops, .name = (char *)"https://host/x"}};
	struct error e = {0};
	char text[8] = "";
	assert_int_equal(
		store_list(&f.base, CALL_PATIENT, "", true, join, text, &e), -EOPNOTSUPP);
	assert_non_null(strstr(e.text, "'https://host/x'"));
}

static void freeing_frees_what_the_kind_does_not_know(void **state)
{
	struct fake f = {.base = {.ops = &fake_ops, .name = strdup("x")}};
	f.base.settings.region = strdup("eu-central-1");
	struct store_stats stats = {.retries = 9};
	store_stats(&f.base, &stats);
	assert_int_equal(stats.retries, 0);
	store_free(&f.base); /* leaks would be seen by a sanitizer */
	assert_int_equal(f.freed, 1);
	store_free(NULL);
}

static void a_url_names_its_kind(void **state)
{
	static const char *const stores[][2] = {
		{"file:///some/folder", "/some/folder"},
		{"/some/folder/", "/some/folder"},
		{"s3://bucket?region=eu-central-1&path-style=true", "s3://bucket"},
		{"s3://bucket/a/b", "s3://bucket/a/b"},
		{"https://host:8443/cache", "https://host:8443/cache"},
		{"http://host", "http://host"},
	};
	struct settings settings;
	settings_init(&settings);
	settings.no_sign_request = true;
	for (size_t i = 0; i < sizeof(stores) / sizeof(stores[0]); i++) {
		CLEANUP(cleanup_store) struct store *s = NULL;
		struct error e = {0};
		if (store_new(stores[i][0], &settings, &s, &e) < 0)
			fail_msg("%s", e.text);
		assert_string_equal(store_name(s), stores[i][1]);
		assert_true(s->settings.no_sign_request);
	}
	settings_finish(&settings);
}

static void a_wrong_url_is_refused(void **state)
{
	struct settings settings;
	settings_init(&settings);
	struct store *s = NULL;
	struct error e = {0};
	assert_int_equal(store_new("bucket", &settings, &s, &e), -EINVAL);
	assert_non_null(strstr(e.text, "'bucket'"));
	assert_null(s);
	settings_finish(&settings);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_key_is_checked_before_the_kind_is_asked),
		cmocka_unit_test(denial_is_told_to_who_wants_to_know),
		cmocka_unit_test(what_cannot_be_a_key_is_not_listed),
		cmocka_unit_test(a_kind_that_cannot_list_says_so),
		cmocka_unit_test(freeing_frees_what_the_kind_does_not_know),
		cmocka_unit_test(a_url_names_its_kind),
		cmocka_unit_test(a_wrong_url_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
