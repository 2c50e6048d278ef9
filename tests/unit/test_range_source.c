#include "tests/unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "fetch/range_source.h"

static void memory_gives_exactly_the_range(void **state)
{
	CLEANUP(cleanup_range_source)
	struct range_source *s = memory_source_new("0123456789", 10);
	char buf[4] = "";
	assert_int_equal(range_source_read(s, CALL_PATIENT, 7, 3, buf, NULL), 0);
	assert_memory_equal(buf, "789", 3);
	assert_int_equal(range_source_read(s, CALL_PATIENT, 10, 0, buf, NULL), 0);
}

static void a_range_outside_is_refused(void **state)
{
	CLEANUP(cleanup_range_source)
	struct range_source *s = memory_source_new("0123456789", 10);
	char buf[16];
	struct error e = { 0 };
	assert_int_equal(range_source_read(s, CALL_PATIENT, 8, 3, buf, &e), -EINVAL);
	assert_int_equal(e.code, -EINVAL);
	assert_int_equal(
		range_source_read(s, CALL_PATIENT, UINT64_MAX, 2, buf, NULL), -EINVAL);
}

static struct range_source *file_of(const char *content, int *ret_fd)
{
	int fd = memfd_create("source", MFD_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, content, strlen(content)), strlen(content));
	*ret_fd = dup(fd);
	struct range_source *s = NULL;
	assert_int_equal(file_source_new(fd, &s, NULL), 0);
	return s;
}

static void a_file_gives_its_bytes(void **state)
{
	CLEANUP(cleanup_close) int fd = -1;
	CLEANUP(cleanup_range_source) struct range_source *s = file_of("hello world", &fd);
	char buf[5];
	assert_int_equal(s->size, 11);
	assert_int_equal(range_source_read(s, CALL_PATIENT, 6, 5, buf, NULL), 0);
	assert_memory_equal(buf, "world", 5);
}

static void a_file_that_changed_is_stale(void **state)
{
	CLEANUP(cleanup_close) int fd = -1;
	CLEANUP(cleanup_range_source) struct range_source *s = file_of("hello world", &fd);
	char buf[5];
	struct timespec times[2] = { { .tv_sec = 1 }, { .tv_sec = 1 } };
	assert_int_equal(futimens(fd, times), 0);
	assert_int_equal(range_source_read(s, CALL_PATIENT, 6, 5, buf, NULL), -ESTALE);
}

static void a_file_cut_short_is_stale(void **state)
{
	CLEANUP(cleanup_close) int fd = -1;
	CLEANUP(cleanup_range_source) struct range_source *s = file_of("hello world", &fd);
	char buf[5];
	assert_int_equal(ftruncate(fd, 7), 0);
	assert_int_equal(range_source_read(s, CALL_PATIENT, 6, 5, buf, NULL), -ESTALE);
}

static void only_regular_files_are_sources(void **state)
{
	struct range_source *s = NULL;
	int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(file_source_new(fd, &s, NULL), -EINVAL);
	assert_null(s);
	assert_int_equal(fcntl(fd, F_GETFD), -1); /* it was owned, and closed */
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_gives_exactly_the_range),
		cmocka_unit_test(a_range_outside_is_refused),
		cmocka_unit_test(a_file_gives_its_bytes),
		cmocka_unit_test(a_file_that_changed_is_stale),
		cmocka_unit_test(a_file_cut_short_is_stale),
		cmocka_unit_test(only_regular_files_are_sources),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
