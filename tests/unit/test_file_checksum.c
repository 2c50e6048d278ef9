#include "tests/unit/scratch.h"

#include <errno.h>

#include "fetch/base/cleanup.h"
#include "tools/file_checksum.h"

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

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(of_one_file_it_is_the_files),
		cmocka_unit_test(of_several_it_is_that_of_sha256sums_lines),
		cmocka_unit_test(stars_stay_within_names),
		cmocka_unit_test(links_to_files_count_and_links_to_directories_do_not),
		cmocka_unit_test(a_pattern_without_a_file_is_an_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
