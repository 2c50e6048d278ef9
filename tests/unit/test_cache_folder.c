#include "tests/unit/scratch.h"

#include <errno.h>

#include "fetch/base/cache_folder.h"
#include "fetch/base/cleanup.h"

static int open_folder(const struct scratch *dir, struct error *e)
{
	CLEANUP(cleanup_close) int fd = -1;
	int r = cache_folder_open(dir->path, &fd, e);
	assert_int_equal(fd >= 0, r == 0);
	return r;
}

static mode_t mode_of(const struct scratch *dir)
{
	struct stat st;
	assert_int_equal(stat(dir->path, &st), 0);
	return st.st_mode & 07777;
}

/* A directory with these names in it, none of them a cache's content. */
static struct scratch folder_of(const char *const *names)
{
	struct scratch dir = scratch_new();
	assert_int_equal(chmod(dir.path, 0755), 0);
	for (; *names; names++)
		scratch_write(&dir, *names, "mine");
	return dir;
}

#define FOLDER(...) folder_of((const char *const[]){__VA_ARGS__, NULL})

static void assert_left_alone(struct scratch dir)
{
	struct error e = {0};
	unsigned files = scratch_count(&dir, "");
	assert_int_equal(open_folder(&dir, &e), -EPERM);
	assert_non_null(strstr(e.text, "is not empty and is no cache"));
	assert_non_null(strstr(e.text, dir.path));
	assert_int_equal(mode_of(&dir), 0755);
	assert_int_equal(scratch_count(&dir, ""), files);
	scratch_finish(&dir);
}

static void a_folder_that_is_no_cache_is_left_as_it_is(void **state)
{
	assert_left_alone(FOLDER("README"));
	assert_left_alone(FOLDER("tmp/x", "size"));
	assert_left_alone(FOLDER("lock"));
	assert_left_alone(FOLDER(".gitignore"));
	assert_left_alone(FOLDER("chunks/00/x", "README"));
	assert_left_alone(FOLDER("CACHEDIR.TAG", "downloads/x"));
	assert_left_alone(FOLDER("CACHEDIR.TAG"));
}

static void an_empty_or_a_missing_one_becomes_one(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	struct scratch below;
	assert_int_equal(chmod(dir.path, 0755), 0);
	assert_int_equal(open_folder(&dir, NULL), 0);
	assert_int_equal(mode_of(&dir), 0700);
	snprintf(below.path, sizeof(below.path), "%s", scratch_path(&dir, "a"));
	assert_int_equal(open_folder(&below, NULL), 0);
	assert_int_equal(mode_of(&below), 0700);
}

/* A probe, a conversion or an overlay may need the folder first, and a new disk may be
 * mounted there. */
static void what_else_larder_keeps_there_is_no_obstacle(void **state)
{
	CLEANUP(scratch_finish)
	struct scratch dir = FOLDER("probes/x", "converted/y",
		"larder-overlay-abcdef/upper/z", "lost+found/0");
	assert_int_equal(open_folder(&dir, NULL), 0);
	scratch_write(&dir, "size", "1");
	assert_int_equal(open_folder(&dir, NULL), -EPERM);
}

static void a_cache_is_known_without_its_tag(void **state)
{
	CLEANUP(scratch_finish)
	struct scratch dir = FOLDER("chunks/00/x", "tmp/x", "size", "lock", "claims");
	assert_int_equal(open_folder(&dir, NULL), 0);
	scratch_write(&dir, "CACHEDIR.TAG", ""); /* as a full disk leaves it */
	assert_int_equal(open_folder(&dir, NULL), 0);
}

static void a_cache_is_known_by_its_tag(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_close) int fd = -1;
	assert_int_equal(cache_folder_open(dir.path, &fd, NULL), 0);
	cache_folder_tag(fd);
	scratch_write(&dir, "README", "what this is for");
	assert_int_equal(open_folder(&dir, NULL), 0);
	scratch_write(&dir, "CACHEDIR.TAG",
		"Signature: 8a477f597d28d172789f06886806bc55\n# Somebody else's\n");
	assert_int_equal(open_folder(&dir, NULL), -EPERM);
}

/* A full disk and a kill leave a tag behind that says nothing, or not all. */
static void a_tag_that_was_begun_is_no_obstacle(void **state)
{
	static const char *const begun[] = {"", "Signature: 8a47",
		"Signature: 8a477f597d28d172789f06886806bc55\n# Larder's "};
	for (size_t i = 0; i < sizeof(begun) / sizeof(begun[0]); i++) {
		CLEANUP(scratch_finish) struct scratch dir = FOLDER("converted/x");
		scratch_write(&dir, "CACHEDIR.TAG", begun[i]);
		assert_int_equal(open_folder(&dir, NULL), 0);
		scratch_write(&dir, "size", "1");
		assert_int_equal(open_folder(&dir, NULL), -EPERM);
	}
}

static void a_tag_that_was_begun_says_nothing_of_other_names(void **state)
{
	struct scratch dir = FOLDER("downloads/x");
	scratch_write(&dir, "CACHEDIR.TAG", "");
	assert_left_alone(dir);
}

static void a_tag_that_was_begun_is_finished(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_close) int fd = -1;
	scratch_write(&dir, "CACHEDIR.TAG", "Signature: 8a47");
	assert_int_equal(cache_folder_open(dir.path, &fd, NULL), 0);
	cache_folder_tag(fd);
	scratch_write(&dir, "README", "what this is for");
	assert_int_equal(open_folder(&dir, NULL), 0);
}

/* Somebody may have put his own there. */
static void another_tag_is_left_as_it_is(void **state)
{
	static const char *const texts[] = {"mine",
		"Signature: 8a477f597d28d172789f06886806bc55\n# Not to be kept\n"};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		CLEANUP(scratch_finish) struct scratch dir = FOLDER("chunks/00/x");
		CLEANUP(cleanup_close) int fd = -1;
		CLEANUP(cleanup_free) char *text = NULL;
		size_t len;
		scratch_write(&dir, "CACHEDIR.TAG", texts[i]);
		assert_int_equal(cache_folder_open(dir.path, &fd, NULL), 0);
		cache_folder_tag(fd);
		assert_int_equal(read_small_file(scratch_path(&dir, "CACHEDIR.TAG"), 4096,
					 &text, &len),
			0);
		assert_string_equal(text, texts[i]);
	}
}

static void looking_for_one_makes_and_changes_nothing(void **state)
{
	CLEANUP(scratch_finish) struct scratch mine = FOLDER("README");
	CLEANUP(scratch_finish) struct scratch cache = FOLDER("chunks/00/x", "size");
	struct stat st, same;
	assert_false(cache_folder_find(mine.path, &st));
	assert_false(cache_folder_find(scratch_path(&mine, "README"), &st));
	assert_false(cache_folder_find(scratch_path(&mine, "missing"), &st));
	assert_false(cache_folder_find("", &st));
	assert_int_equal(scratch_count(&mine, ""), 1);
	assert_true(cache_folder_find(cache.path, &st));
	assert_int_equal(stat(cache.path, &same), 0);
	assert_int_equal(st.st_ino, same.st_ino);
	assert_int_equal(st.st_dev, same.st_dev);
	assert_int_equal(mode_of(&cache), 0755);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_folder_that_is_no_cache_is_left_as_it_is),
		cmocka_unit_test(an_empty_or_a_missing_one_becomes_one),
		cmocka_unit_test(what_else_larder_keeps_there_is_no_obstacle),
		cmocka_unit_test(a_cache_is_known_without_its_tag),
		cmocka_unit_test(a_cache_is_known_by_its_tag),
		cmocka_unit_test(a_tag_that_was_begun_is_no_obstacle),
		cmocka_unit_test(a_tag_that_was_begun_says_nothing_of_other_names),
		cmocka_unit_test(a_tag_that_was_begun_is_finished),
		cmocka_unit_test(another_tag_is_left_as_it_is),
		cmocka_unit_test(looking_for_one_makes_and_changes_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
