#include "archive/libarchive.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "archive/foreign.h"
#include "tests/unit/scratch.h"
#include "tests/unit/test.h"

#define LARGE (9u << 20) /* bytes: a tar of this size is left where it is */
#define NOT_LOADED                                                                       \
	"'the-key' cannot be read: it is none of Larder's own, and libarchive, which "   \
	"reads the others, cannot be loaded ("

static const char *self; /* argv[0] */

/* Something that is no archive. */
struct object {
	char *bytes; /* owned */
	struct foreign_object as;
	struct buf index;
	struct error e;
};

static struct object make_object(size_t len)
{
	struct object o = {.bytes = calloc(1, len), .index = BUF_INIT(64)};
	assert_non_null(o.bytes);
	memset(o.bytes, 'x', len);
	o.as = (struct foreign_object){
		.source = memory_source_new(o.bytes, len),
		.tail = o.bytes + len - 1,
		.tail_len = 1,
		.name = "the-key",
	};
	assert_non_null(o.as.source);
	return o;
}

static void object_finish(struct object *o)
{
	range_source_free(o->as.source);
	buf_finish(&o->index);
	free(o->bytes);
}

static const struct foreign_options silent;

static void expect_scan(struct object *o, int code, const char *words)
{
	assert_int_equal(
		foreign_scan(&o->as, &silent, CALL_PATIENT, &o->index, &o->e), code);
	assert_int_equal(o->e.code, code);
	assert_non_null(strstr(o->e.text, words));
}

static void expect_conversion(struct object *o, int code, const char *words)
{
	/* It comes to nothing, so nothing is written. */
	assert_int_equal(foreign_convert(&o->as, &silent, CALL_PATIENT, -1, &o->e), code);
	assert_int_equal(o->e.code, code);
	assert_non_null(strstr(o->e.text, words));
}

static void it_is_loaded_when_it_is_needed(void **state)
{
	CLEANUP(object_finish) struct object small = make_object(100);
	assert_null(la.read_new);
	expect_conversion(
		&small, -EBADMSG, "neither an archive of Larder's nor a tar or zip");
	assert_non_null(la.read_new);
}

/* --- what it was not built with ----------------------------------------------------- */

static int needs_a_program(struct archive *reader)
{
	la.set_error(reader, EINVAL, "Using external program");
	return ARCHIVE_WARN;
}

static int says_nothing(struct archive *reader)
{
	return ARCHIVE_FAILED;
}

static int has_no_memory(struct archive *reader)
{
	return ARCHIVE_FATAL;
}

static void no_program_is_started_for_it(void **state)
{
	CLEANUP(object_finish) struct object small = make_object(100);
	CLEANUP(object_finish) struct object large = make_object(LARGE);
	assert_int_equal(libarchive_load(NULL), 0);
	const struct libarchive real = la;
	la.read_support_filter_zstd = needs_a_program;
	expect_conversion(&small, -ELIBACC,
		"'the-key' cannot be read: this libarchive cannot read "
		"zstd by itself: Using external program");
	la.read_support_filter_zstd = has_no_memory;
	expect_conversion(&small, -ENOMEM, "'the-key'");
	la.read_support_format_tar = says_nothing;
	expect_scan(&large, -ELIBACC, "read tar by itself: it does not say why");
	la = real;
}

/* --- where there is none ------------------------------------------------------------ */

static int child(void)
{
	CLEANUP(object_finish) struct object small = make_object(100);
	CLEANUP(object_finish) struct object large = make_object(LARGE);
	expect_conversion(&small, -ELIBACC, NOT_LOADED);
	expect_scan(&large, -ELIBACC, NOT_LOADED);
	assert_non_null(strstr(large.e.text, "'libarchive13'"));
	assert_non_null(strstr(large.e.text, "libarchive.so.13"));
	return 0;
}

/* Another program of this one: the loader looks for libraries as it was started. */
static void without_it_there_is_a_sentence(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	scratch_write(&dir, "libarchive.so.13", "no library");
	pid_t pid = fork();
	if (pid == 0) {
		setenv("LD_LIBRARY_PATH", dir.path, 1);
		execl("/proc/self/exe", self, "child", NULL);
		_exit(127);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_loaded_when_it_is_needed),
		cmocka_unit_test(no_program_is_started_for_it),
		cmocka_unit_test(without_it_there_is_a_sentence),
	};
	self = argv[0];
	return argc > 1 ? child() : cmocka_run_group_tests(tests, NULL, NULL);
}
