#include "tests/unit/test.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "fetch/base/io.h"
#include "fetch/spool.h"

#define MEMORY 1000

static char folder[] = "/tmp/larder-test-spool-XXXXXX";

static int make_folder(void **state)
{
	return mkdtemp(folder) && setenv("TMPDIR", folder, 1) == 0 ? 0 : -1;
}

static int remove_folder(void **state)
{
	return rmdir(folder); /* fails when a file was left in it */
}

static void assert_digest_of(const struct spool *s, const void *data, size_t len)
{
	struct digest d;
	assert_int_equal(digest_of(data, len, &d), 0);
	assert_true(digest_equal(&d, spool_digest(s)));
}

/* Writes `len` bytes in pieces and seals. */
static struct spool *spool_of(const char *data, size_t len, size_t piece)
{
	struct spool *s = spool_new(MEMORY, NULL);
	assert_non_null(s);
	for (size_t at = 0; at < len; at += piece) {
		size_t n = len - at < piece ? len - at : piece;
		assert_int_equal(spool_write(s, data + at, n, NULL), 0);
	}
	assert_int_equal(spool_seal(s), 0);
	assert_int_equal(spool_size(s), len);
	return s;
}

static void few_bytes_stay_in_memory(void **state)
{
	char data[MEMORY];
	memset(data, 'x', sizeof(data));
	CLEANUP(cleanup_spool) struct spool *s = spool_of(data, MEMORY, 300);
	assert_int_equal(spool_fd(s), -1);
	assert_memory_equal(spool_data(s), data, MEMORY);
	assert_digest_of(s, data, MEMORY);
}

static void no_bytes_are_a_spool_too(void **state)
{
	CLEANUP(cleanup_spool) struct spool *s = spool_of("", 0, 1);
	assert_int_equal(spool_fd(s), -1);
	assert_non_null(spool_data(s));
	assert_digest_of(s, "", 0);
}

static bool folder_is_empty(void)
{
	CLEANUP(cleanup_closedir) DIR *d = opendir(folder);
	assert_non_null(d);
	const struct dirent *entry;
	while ((entry = readdir(d)))
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			return false;
	return true;
}

static void more_bytes_go_to_a_file_without_a_name(void **state)
{
	char data[5 * MEMORY], back[sizeof(data)];
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char)(i * 7);
	for (size_t piece = 1; piece <= sizeof(data); piece *= 17) {
		CLEANUP(cleanup_spool)
		struct spool *s = spool_of(data, sizeof(data), piece);
		assert_true(spool_fd(s) >= 0);
		assert_null(spool_data(s));
		assert_int_equal(pread_exactly(spool_fd(s), back, sizeof(back), 0), 0);
		assert_memory_equal(back, data, sizeof(data));
		assert_digest_of(s, data, sizeof(data));
		assert_true(folder_is_empty());
	}
}

static void one_byte_too_many_is_enough(void **state)
{
	char data[MEMORY + 1] = "";
	CLEANUP(cleanup_spool) struct spool *s = spool_of(data, MEMORY + 1, MEMORY + 1);
	assert_true(spool_fd(s) >= 0);
}

static void the_next_folder_is_taken_when_one_is_unusable(void **state)
{
	char data[MEMORY + 1] = "";
	assert_int_equal(setenv("TMPDIR", "/nonexistent/folder", 1), 0);
	CLEANUP(cleanup_spool) struct spool *s = spool_new(MEMORY, folder);
	assert_int_equal(spool_write(s, data, sizeof(data), NULL), 0);
	assert_true(spool_fd(s) >= 0);
	assert_int_equal(setenv("TMPDIR", folder, 1), 0);
}

static void a_full_disk_is_an_error_that_names_the_folder(void **state)
{
	char data[2 * MEMORY] = "";
	struct error e = {0};
	struct rlimit before, small;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	signal(SIGXFSZ, SIG_IGN);
	small = (struct rlimit){MEMORY, before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	CLEANUP(cleanup_spool) struct spool *s = spool_new(MEMORY, NULL);
	int r = spool_write(s, data, sizeof(data), &e);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(r, -EFBIG);
	assert_non_null(strstr(e.text, folder));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(few_bytes_stay_in_memory),
		cmocka_unit_test(no_bytes_are_a_spool_too),
		cmocka_unit_test(more_bytes_go_to_a_file_without_a_name),
		cmocka_unit_test(one_byte_too_many_is_enough),
		cmocka_unit_test(the_next_folder_is_taken_when_one_is_unusable),
		cmocka_unit_test(a_full_disk_is_an_error_that_names_the_folder),
	};
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
