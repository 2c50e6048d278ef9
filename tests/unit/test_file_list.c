#include "tests/unit/scratch.h"

#include <dirent.h>
#include <errno.h>

#include "fetch/base/vec.h"
#include "fetch/store_file.h"

DEFINE_VEC(string_vec, char *);

static void strings_finish(struct string_vec *v)
{
	for (size_t i = 0; i < v->len; i++)
		free(v->data[i]);
	string_vec_finish(v);
}

static int compare_strings(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static struct store *store_at(const char *path)
{
	struct store_url url = {.kind = STORE_FILE, .path = (char *)path};
	struct store *s = NULL;
	assert_int_equal(store_file_new(&url, &s, NULL), 0);
	return s;
}

static int take(void *arg, const struct list_entry *entry)
{
	size_t len = strlen(entry->key);
	assert_int_equal(entry->is_directory, entry->key[len - 1] == '/');
	assert_int_equal(entry->size, entry->is_directory ? 0 : 1);
	return string_vec_push(arg, strdup(entry->key));
}

/* A directory stream that breaks off: its descriptor is swapped for an unreadable one. */
static int breaking; /* counts down to the one that breaks; 0: none does */

DIR *__real_fdopendir(int);
DIR *__wrap_fdopendir(int);

DIR *__wrap_fdopendir(int fd)
{
	DIR *d = __real_fdopendir(fd);
	if (d && breaking && --breaking == 0) {
		int unreadable = open("/", O_PATH | O_CLOEXEC);
		assert_true(dup2(unreadable, fd) == fd);
		close(unreadable);
	}
	return d;
}

/* What S3 would answer: the keys that begin with prefix, folded at the next '/'. */
static void fold(const struct string_vec *keys, const char *prefix, bool deep,
	struct string_vec *ret)
{
	size_t skip = strlen(prefix);
	for (size_t i = 0; i < keys->len; i++) {
		const char *key = keys->data[i];
		if (strncmp(key, prefix, skip))
			continue;
		const char *slash = deep ? NULL : strchr(key + skip, '/');
		char *item =
			slash ? strndup(key, (size_t)(slash - key) + 1) : strdup(key);
		if (ret->len && !strcmp(ret->data[ret->len - 1], item))
			free(item);
		else
			string_vec_push(ret, item);
	}
}

static void assert_listing(
	struct store *s, const struct string_vec *keys, const char *prefix, bool deep)
{
	CLEANUP(strings_finish) struct string_vec want = {0}, got = {0};
	fold(keys, prefix, deep, &want);
	assert_int_equal(store_list(s, CALL_PATIENT, prefix, deep, take, &got, NULL), 0);
	assert_int_equal(got.len, want.len);
	for (size_t i = 0; i < got.len; i++)
		assert_string_equal(got.data[i], want.data[i]);
}

/* The names sort differently as names, as names before '/', and by signed bytes. */
static const char *const names[] = {"a", "a-b", "a.b", "a0", "a b", "A", "b", "\xc3\xa4"};

static void plant(const struct scratch *dir, struct string_vec *keys)
{
	char key[64];
	for (unsigned i = 0; i < 8; i++)
		for (unsigned j = 0; j < 8; j++)
			for (unsigned k = 0; k < 3; k++) {
				if (i % 2) /* odd names are files at the top */
					snprintf(key, sizeof(key), "%s", names[i]);
				else if (j % 3)
					snprintf(key, sizeof(key), "%s/%s", names[i],
						names[j]);
				else
					snprintf(key, sizeof(key), "%s/%s/%s", names[i],
						names[j], names[k * 2]);
				scratch_write(dir, key, "x");
				string_vec_push(keys, strdup(key));
			}
	qsort(keys->data, keys->len, sizeof(*keys->data), compare_strings);
	size_t kept = 0;
	for (size_t i = 0; i < keys->len; i++)
		if (kept && !strcmp(keys->data[kept - 1], keys->data[i]))
			free(keys->data[i]);
		else
			keys->data[kept++] = keys->data[i];
	keys->len = kept;
}

static void keys_come_in_the_order_of_s3(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_store) struct store *s = store_at(dir.path);
	CLEANUP(strings_finish) struct string_vec keys = {0};
	plant(&dir, &keys);
	assert_true(keys.len > 50);
	static const char *const prefixes[] = {"", "a", "a/", "a/a", "a/a/", "a/a-", "a-",
		"a b/", "A/", "b/b/b", "zzz", "zzz/", "a//", "a/../a", "/", "\xc3"};
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
		assert_listing(s, &keys, prefixes[i], true);
		assert_listing(s, &keys, prefixes[i], false);
	}
}

static void what_is_no_key_is_not_listed(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_store) struct store *s = store_at(dir.path);
	CLEANUP(strings_finish) struct string_vec keys = {0};
	scratch_write(&dir, "real/key", "x");
	string_vec_push(&keys, strdup("real/key"));
	scratch_write(&dir, ".larder/tmp/file", "x");
	scratch_write(&dir, "tab\there", "x");
	scratch_write(&dir, "not\xff-utf8/x", "x");
	scratch_mkdir(&dir, "empty/emptier");
	assert_int_equal(mkfifo(scratch_path(&dir, "fifo"), 0600), 0);
	assert_int_equal(symlink("real", scratch_path(&dir, "link")), 0);
	assert_int_equal(symlink("real/key", scratch_path(&dir, "keylink")), 0);
	assert_listing(s, &keys, "", true);
	assert_listing(s, &keys, "", false);
	assert_listing(s, &keys, ".larder/", true);
	assert_listing(s, &keys, "link/", true);
}

struct last_seen {
	struct list_entry entry;
	unsigned calls;
	int answer;
};

static int look(void *arg, const struct list_entry *entry)
{
	struct last_seen *l = arg;
	l->entry = *entry;
	l->calls++;
	return l->answer;
}

static void size_and_time_are_told(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_store) struct store *s = store_at(dir.path);
	scratch_write(&dir, "key", "12345");
	struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 1234567}};
	assert_int_equal(utimensat(AT_FDCWD, scratch_path(&dir, "key"), times, 0), 0);
	struct last_seen seen = {0};
	assert_int_equal(store_list(s, CALL_PATIENT, "", true, look, &seen, NULL), 0);
	assert_int_equal(seen.entry.size, 5);
	assert_int_equal(seen.entry.mtime_s, 1234567);
}

static void the_caller_may_stop_it(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_store) struct store *s = store_at(dir.path);
	scratch_write(&dir, "a/1", "x");
	scratch_write(&dir, "a/2", "x");
	struct last_seen seen = {.answer = -ENOENT};
	assert_int_equal(
		store_list(s, CALL_PATIENT, "", true, look, &seen, NULL), -ENOENT);
	assert_int_equal(seen.calls, 1);
	struct call late = {.deadline_ns = 1};
	struct error e = {0};
	seen = (struct last_seen){0};
	assert_int_equal(store_list(s, &late, "", true, look, &seen, &e), -ETIMEDOUT);
	assert_int_equal(e.code, -ETIMEDOUT);
	assert_int_equal(seen.calls, 0);
}

/* Of the directory itself, and of one in it that is looked into for keys. */
static void a_listing_that_breaks_off_is_an_error(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_store) struct store *s = store_at(dir.path);
	scratch_write(&dir, "a/1", "x");
	for (int which = 1; which <= 2; which++) {
		struct last_seen seen = {0};
		struct error e = {0};
		breaking = which;
		assert_int_equal(
			store_list(s, CALL_PATIENT, "", false, look, &seen, &e), -EBADF);
		assert_int_equal(breaking, 0);
		assert_non_null(strstr(e.text, which == 2 ? "/a'" : dir.path));
		assert_int_equal(seen.calls, 0);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_come_in_the_order_of_s3),
		cmocka_unit_test(what_is_no_key_is_not_listed),
		cmocka_unit_test(size_and_time_are_told),
		cmocka_unit_test(the_caller_may_stop_it),
		cmocka_unit_test(a_listing_that_breaks_off_is_an_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
