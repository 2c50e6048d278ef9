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

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_folder_that_is_no_cache_is_left_as_it_is),
		cmocka_unit_test(an_empty_or_a_missing_one_becomes_one),
		cmocka_unit_test(what_else_larder_keeps_there_is_no_obstacle),
		cmocka_unit_test(a_cache_is_known_without_its_tag),
		cmocka_unit_test(a_cache_is_known_by_its_tag),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
