#include "tests/unit/test.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fetch/base/cleanup.h"
#include "fetch/base/process.h"
#include "fetch/command.h"
#include "fetch/secret.h"

static void assert_output(const char *line, const char *expected, int exit_code)
{
	char *text;
	size_t len;
	int status;
	assert_int_equal(
		command_output(CALL_PATIENT, line, NULL, 100, &text, &len, &status), 0);
	assert_string_equal(text, expected);
	assert_int_equal(len, strlen(expected));
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), exit_code);
	secret_free(text);
}

static void output_and_status_are_told(void **state)
{
	assert_output("echo hello; echo lost >&2", "hello\n", 0);
	assert_output("printf a; printf b; exit 3", "ab", 3);
	assert_output("", "", 0);
	assert_output("exec /does/not/exist", "", 127);
	assert_output("cat", "", 0); /* standard input is empty */
}

static void it_runs_in_the_same_environment(void **state)
{
	setenv("LARDER_TEST_WORD", "kept", 1);
	assert_output("echo $LARDER_TEST_WORD", "kept\n", 0);
	unsetenv("LARDER_TEST_WORD");
}

static void it_runs_where_it_is_told(void **state)
{
	static const char *const places[][2] = {
		{"/proc", "/proc\n"}, {"/no/such", "/\n"}};
	assert_int_equal(chdir("/"), 0);
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		char *text;
		size_t len;
		int status;
		assert_int_equal(command_output(CALL_PATIENT, "pwd", places[i][0], 100,
					 &text, &len, &status),
			0);
		assert_string_equal(text, places[i][1]);
		secret_free(text);
	}
}

static void descriptors_do_not_leak(void **state)
{
	int fds[2];
	char line[100];
	assert_int_equal(pipe(fds), 0); /* without O_CLOEXEC */
	snprintf(line, sizeof(line), "[ ! -e /proc/$$/fd/%d ] && echo closed", fds[0]);
	assert_output(line, "closed\n", 0);
	close(fds[0]);
	close(fds[1]);
}

static int raise_and_look(void)
{
	struct rlimit files;
	char *text;
	size_t len;
	int status;
	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return 1;
	files.rlim_cur = 77;
	if (setrlimit(RLIMIT_NOFILE, &files) < 0 || raise_open_files() < 0 ||
		getrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_cur != files.rlim_max)
		return 2;
	if (command_output(
		    CALL_PATIENT, "ulimit -S -n", NULL, 100, &text, &len, &status) < 0)
		return 3;
	return strcmp(text, "77\n") == 0 && status == 0 ? 0 : 4;
}

/* In a child: the limit would stay for the tests behind it. */
static void the_limit_of_open_files_is_what_it_was(void **state)
{
	int status;
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(raise_and_look());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void ignored_signals_end_it_all_the_same(void **state)
{
	char *text;
	size_t len;
	int status;
	signal(SIGTERM, SIG_IGN);
	assert_int_equal(
		command_output(CALL_PATIENT, "kill $$", NULL, 100, &text, &len, &status),
		0);
	signal(SIGTERM, SIG_DFL);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGTERM);
	secret_free(text);
}

static void much_output_is_refused(void **state)
{
	char *text = NULL;
	size_t len;
	int status;
	assert_int_equal(command_output(CALL_PATIENT, "printf 12345", NULL, 5, &text,
				 &len, &status),
		0);
	assert_int_equal(len, 5);
	secret_free(steal_pointer(text));
	assert_int_equal(command_output(CALL_PATIENT, "printf 123456", NULL, 5, &text,
				 &len, &status),
		-EMSGSIZE);
	assert_int_equal(
		command_output(CALL_PATIENT, "yes", NULL, 100, &text, &len, &status),
		-EMSGSIZE);
	assert_null(text);
}

/* Nobody of the group is left: what it started holds the other end of our pipe. */
static void a_deadline_ends_the_whole_group(void **state)
{
	int fds[2];
	char line[200], c, *text = NULL;
	size_t len;
	int status;
	struct call call = {.deadline_ns = clock_monotonic_ns() + 60 * NS_PER_MS};
	assert_int_equal(pipe(fds), 0);
	snprintf(line, sizeof(line), "exec >/proc/%d/fd/%d; cat /dev/zero & wait",
		getpid(), fds[1]);
	assert_int_equal(
		command_output(&call, line, NULL, 100, &text, &len, &status), -ETIMEDOUT);
	assert_null(text);
	close(fds[1]);
	while (read(fds[0], &c, 1) > 0)
		; /* ends when the last writer is gone */
	close(fds[0]);
}

static void cancelling_ends_it(void **state)
{
	char *text = NULL;
	size_t len;
	int status;
	struct cancel cancel;
	cancel_init(&cancel);
	cancel_fire(&cancel);
	struct call call = {.deadline_ns = DEADLINE_NONE, .cancel = &cancel};
	assert_int_equal(command_output(&call, "tail -f /dev/null", NULL, 100, &text,
				 &len, &status),
		-ECANCELED);
	assert_null(text);
	cancel_finish(&cancel);
}

static void status_is_waited_for_after_the_output(void **state)
{
	assert_output("exec 1>&-; cat /proc/self/status >/dev/null; exit 4", "", 4);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(output_and_status_are_told),
		cmocka_unit_test(it_runs_in_the_same_environment),
		cmocka_unit_test(it_runs_where_it_is_told),
		cmocka_unit_test(descriptors_do_not_leak),
		cmocka_unit_test(the_limit_of_open_files_is_what_it_was),
		cmocka_unit_test(ignored_signals_end_it_all_the_same),
		cmocka_unit_test(much_output_is_refused),
		cmocka_unit_test(a_deadline_ends_the_whole_group),
		cmocka_unit_test(cancelling_ends_it),
		cmocka_unit_test(status_is_waited_for_after_the_output),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
