#include "tests/unit/test.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fetch/base/cleanup.h"
#include "fetch/base/io.h"
#include "fetch/secret.h"

/* Does the kernel keep the page at p out of dumps? proc(5), smaps: "dd". */
static bool is_left_out_of_dumps(const void *p)
{
	CLEANUP(cleanup_fclose) FILE *f = fopen("/proc/self/smaps", "r");
	char line[512];
	bool inside = false;
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		uintptr_t begin, end;
		if (sscanf(line, "%lx-%lx ", &begin, &end) == 2)
			inside = (uintptr_t)p >= begin && (uintptr_t)p < end;
		else if (inside && !strncmp(line, "VmFlags:", 8))
			return strstr(line, " dd") != NULL;
	}
	return false;
}

static void secrets_are_left_out_of_dumps(void **state)
{
	CLEANUP(cleanup_secret) void *secret = secret_new(10);
	CLEANUP(cleanup_free) void *plain = malloc(10);
	assert_true(is_left_out_of_dumps(secret));
	assert_false(is_left_out_of_dumps(plain));
}

static void blocks_begin_as_zeroes(void **state)
{
	size_t size = 100000;
	CLEANUP(cleanup_secret) unsigned char *p = secret_new(size);
	assert_non_null(p);
	assert_int_equal((uintptr_t)p % _Alignof(max_align_t), 0);
	for (size_t i = 0; i < size; i++)
		assert_int_equal(p[i], 0);
	memset(p, 1, size);
	assert_null(secret_new(SIZE_MAX));
	secret_free(NULL);
}

static void files_are_read_whole(void **state)
{
	char path[] = "/tmp/test_secret_XXXXXX", *text = NULL;
	size_t len;
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(secret_read_file(path, 5, &text, &len), 0);
	assert_int_equal(len, 0);
	assert_string_equal(text, "");
	secret_free(steal_pointer(text));
	assert_int_equal(write_fully(fd, "12345", 5), 0);
	assert_int_equal(secret_read_file(path, 5, &text, &len), 0);
	assert_int_equal(len, 5);
	assert_string_equal(text, "12345");
	assert_true(is_left_out_of_dumps(text));
	secret_free(steal_pointer(text));
	assert_int_equal(secret_read_file(path, 4, &text, &len), -EFBIG);
	close(fd);
	unlink(path);
	assert_int_equal(secret_read_file(path, 5, &text, &len), -ENOENT);
	assert_int_equal(secret_read_file("/tmp", 5, &text, &len), -EISDIR);
	assert_null(text);
}

/* A shell's <(...) hands over a pipe. */
static void pipes_are_read_whole(void **state)
{
	int fds[2];
	char path[64], *text;
	size_t len;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write_fully(fds[1], "piped", 5), 0);
	close(fds[1]);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fds[0]);
	assert_int_equal(secret_read_file(path, 4096, &text, &len), 0);
	assert_string_equal(text, "piped");
	secret_free(text);
	close(fds[0]);
}

static void buffers_can_be_wiped(void **state)
{
	struct buf b = BUF_INIT(100);
	secret_buf_finish(NULL);
	secret_buf_finish(&b);
	assert_int_equal(buf_append_str(&b, "secret"), 0);
	secret_buf_finish(&b);
	assert_null(b.data);
	assert_int_equal(b.max, 100);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(secrets_are_left_out_of_dumps),
		cmocka_unit_test(blocks_begin_as_zeroes),
		cmocka_unit_test(files_are_read_whole),
		cmocka_unit_test(pipes_are_read_whole),
		cmocka_unit_test(buffers_can_be_wiped),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
