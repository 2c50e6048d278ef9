#include "tests/unit/scratch.h"

#include <dirent.h>
#include <errno.h>
#include <sys/resource.h>

#include "fetch/base/cleanup.h"
#include "tools/file_checksum.h"

/* A directory stream that breaks off: its descriptor is swapped for an unreadable one. */
static bool breaking;

DIR *__real_fdopendir(int);
DIR *__wrap_fdopendir(int);

DIR *__wrap_fdopendir(int fd)
{
	DIR *d = __real_fdopendir(fd);
	if (d && breaking) {
		int unreadable = open("/", O_PATH | O_CLOEXEC);
		assert_true(dup2(unreadable, fd) == fd);
		close(unreadable);
	}
	return d;
}

/* The checksum of up to three patterns, in hexadecimal; "" and *ret_code on failure. */
static const char *sum(const struct scratch *dir, int *ret_code, const char *a,
	const char *b, const char *c)
{
	static char hex[DIGEST_HEX_SIZE];
	const char *patterns[] = {a, b, c};
	size_t count = c ? 3 : b ? 2 : 1;
	CLEANUP(cleanup_close) int fd = open(dir->path, O_RDONLY | O_DIRECTORY);
	struct digest d;
	struct error e = {0};
	int r = file_checksum(fd, patterns, count, &d, &e);
	hex[0] = '\0';
	if (r == 0)
		digest_hex(&d, hex);
	else
		assert_int_equal(e.code, r);
	if (ret_code)
		*ret_code = r;
	else
		assert_int_equal(r, 0);
	return hex;
}

/* What sha256sum would print for the paths, hashed; each file's content is its path. */
static void assert_sum_of(const char *got, const char *const *paths)
{
	CLEANUP(cleanup_free) char *lines = calloc(1, 4096);
	char hex[DIGEST_HEX_SIZE];
	struct digest d;
	for (; *paths; paths++) {
		digest_of(*paths, strlen(*paths), &d);
		digest_hex(&d, hex);
		sprintf(lines + strlen(lines), "%s  %s\n", hex, *paths);
	}
	digest_of(lines, strlen(lines), &d);
	digest_hex(&d, hex);
	assert_string_equal(got, hex);
}

static void plant(const struct scratch *dir)
{
	static const char *const paths[] = {"a.lock", "b.lock", "sub/c.lock",
		"sub/deep/d.lock", "sub/e.txt", ".hidden/f.lock"};
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		scratch_write(dir, paths[i], paths[i]);
}

#define PATHS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void of_one_file_it_is_the_files(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	scratch_write(&dir, "lock", "abc"); /* FIPS 180-4's example */
	const char *abc =
		"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
	assert_string_equal(sum(&dir, NULL, "lock", NULL, NULL), abc);
	assert_string_equal(sum(&dir, NULL, "./lock", NULL, NULL), abc);
	assert_string_equal(sum(&dir, NULL, "*", NULL, NULL), abc);
	assert_string_equal(sum(&dir, NULL, "lock", "l*", NULL), abc);
	assert_string_equal(sum(&dir, NULL, scratch_path(&dir, "lock"), NULL, NULL), abc);
}

static void of_several_it_is_that_of_sha256sums_lines(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	plant(&dir);
	assert_sum_of(
		sum(&dir, NULL, "b.lock", "a.lock", NULL), PATHS("a.lock", "b.lock"));
	assert_sum_of(sum(&dir, NULL, "*.lock", "sub/e.txt", "a.lock"),
		PATHS("a.lock", "b.lock", "sub/e.txt"));
}

static void stars_stay_within_names(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	plant(&dir);
	assert_sum_of(sum(&dir, NULL, "*.lock", NULL, NULL), PATHS("a.lock", "b.lock"));
	assert_sum_of(sum(&dir, NULL, "*/*.lock", NULL, NULL),
		PATHS(".hidden/f.lock", "sub/c.lock"));
	assert_sum_of(
		sum(&dir, NULL, "sub/*", NULL, NULL), PATHS("sub/c.lock", "sub/e.txt"));
	assert_sum_of(sum(&dir, NULL, "**/*.lock", NULL, NULL),
		PATHS(".hidden/f.lock", "a.lock", "b.lock", "sub/c.lock",
			"sub/deep/d.lock"));
	assert_sum_of(sum(&dir, NULL, "sub/**", NULL, NULL),
		PATHS("sub/c.lock", "sub/deep/d.lock", "sub/e.txt"));
}

static void links_to_files_count_and_links_to_directories_do_not(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	scratch_write(&dir, "real/x.lock", "link.lock");
	assert_int_equal(symlink("real", scratch_path(&dir, "also")), 0);
	assert_int_equal(symlink("..", scratch_path(&dir, "real/up")), 0);
	assert_int_equal(symlink("nowhere", scratch_path(&dir, "real/dead.lock")), 0);
	assert_int_equal(symlink("real/x.lock", scratch_path(&dir, "link.lock")), 0);
	struct digest d;
	char hex[DIGEST_HEX_SIZE];
	digest_of("link.lock", 9, &d);
	digest_hex(&d, hex);
	assert_string_equal(sum(&dir, NULL, "*.lock", NULL, NULL), hex);
	assert_string_equal(sum(&dir, NULL, "**/x.lock", NULL, NULL), hex);
}

static void a_pattern_without_a_file_is_an_error(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	plant(&dir);
	int r;
	sum(&dir, &r, "none", NULL, NULL);
	assert_int_equal(r, -ENOENT);
	sum(&dir, &r, "a.lock", "none*", NULL);
	assert_int_equal(r, -ENOENT);
	sum(&dir, &r, "none/**", NULL, NULL);
	assert_int_equal(r, -ENOENT);
	sum(&dir, &r, "sub", NULL, NULL);
	assert_int_equal(r, -ENOENT);
}

static void what_cannot_be_looked_at_is_not_left_out(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	plant(&dir);
	assert_int_equal(symlink("sub/c.lock", scratch_path(&dir, "z.lock")), 0);
	assert_int_equal(chmod(dir.path, 0755), 0);
	assert_int_equal(chmod(scratch_path(&dir, "sub"), 0744), 0);
	uid_t before = geteuid();
	if (before == 0)
		assert_int_equal(seteuid(65534), 0);
	else
		assert_int_equal(chmod(scratch_path(&dir, "sub"), 0400), 0);
	int named, found, deep, linked;
	sum(&dir, &named, "sub/c.lock", "a.lock", NULL);
	sum(&dir, &found, "sub/*", "a.lock", NULL);
	sum(&dir, &deep, "**/*.lock", NULL, NULL);
	sum(&dir, &linked, "*.lock", NULL, NULL);
	assert_int_equal(seteuid(before), 0);
	assert_int_equal(chmod(scratch_path(&dir, "sub"), 0755), 0);
	assert_int_equal(named, -EACCES);
	assert_int_equal(found, -EACCES);
	assert_int_equal(deep, -EACCES);
	assert_int_equal(linked, -EACCES);
}

static void a_listing_that_breaks_off_is_an_error(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	plant(&dir);
	int r;
	breaking = true;
	sum(&dir, &r, "a.lock", "sub/*", NULL);
	breaking = false;
	assert_int_equal(r, -EBADF);
}

/* Makes directories in each other, and returns the last one's descriptor. */
static int go_down(const struct scratch *dir, const char *name, int levels)
{
	int at = open(dir->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int level = 0; level < levels; level++) {
		assert_int_equal(mkdirat(at, name, 0755), 0);
		int next = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		close(at);
		at = next;
	}
	return at;
}

/* The way back, removing them: the scratch directory could not. */
static void go_up(int at, const char *name, int levels)
{
	for (int level = 0; level < levels; level++) {
		int up = openat(at, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		close(at);
		at = up;
		assert_int_equal(unlinkat(at, name, AT_REMOVEDIR), 0);
	}
	close(at);
}

/* Names that lead further down than a path can tell. */
static void a_path_that_is_too_long_is_an_error(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	scratch_write(&dir, "a.lock", "a.lock");
	char name[201] = "";
	memset(name, 'n', 200);
	int at = go_down(&dir, name, 21);
	int r;
	sum(&dir, &r, "**/*.lock", NULL, NULL);
	go_up(at, name, 21);
	assert_int_equal(r, -ENAMETOOLONG);
}

static struct rlimit limit(int resource, rlim_t value)
{
	struct rlimit before;
	assert_int_equal(getrlimit(resource, &before), 0);
	const struct rlimit wanted = {value, before.rlim_max};
	assert_int_equal(setrlimit(resource, &wanted), 0);
	return before;
}

/* A path can tell of 2,000 levels: a letter and a slash each. */
static void a_deep_tree_needs_no_deep_stack(void **state)
{
	enum { LEVELS = 2000, FEW = 40 };
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	struct rlimit files = limit(RLIMIT_NOFILE, LEVELS + FEW);
	struct rlimit stack = limit(RLIMIT_STACK, 8 << 20); /* the usual one */
	int at = go_down(&dir, "d", LEVELS);
	int fd = openat(at, "a.lock", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_true(write(fd, "abc", 3) == 3);
	close(fd);
	assert_string_equal(sum(&dir, NULL, "**/*.lock", NULL, NULL),
		"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	assert_int_equal(unlinkat(at, "a.lock", 0), 0);
	go_up(at, "d", LEVELS);
	assert_int_equal(setrlimit(RLIMIT_STACK, &stack), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(of_one_file_it_is_the_files),
		cmocka_unit_test(of_several_it_is_that_of_sha256sums_lines),
		cmocka_unit_test(stars_stay_within_names),
		cmocka_unit_test(links_to_files_count_and_links_to_directories_do_not),
		cmocka_unit_test(a_pattern_without_a_file_is_an_error),
		cmocka_unit_test(what_cannot_be_looked_at_is_not_left_out),
		cmocka_unit_test(a_listing_that_breaks_off_is_an_error),
		cmocka_unit_test(a_path_that_is_too_long_is_an_error),
		cmocka_unit_test(a_deep_tree_needs_no_deep_stack),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
