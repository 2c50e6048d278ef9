#include "tests/unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fetch/base/process.h"

/* In a child: the sanitizers look into the process that they run in. */
static int in_a_child(int (*fn)(void))
{
	int status;
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(fn());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int harden_and_look(void)
{
	struct rlimit core = {1, 1};
	if (harden_process() < 0 || getrlimit(RLIMIT_CORE, &core) < 0)
		return 1;
	if (core.rlim_cur != 0 || core.rlim_max != 0)
		return 2;
	return prctl(PR_GET_DUMPABLE) == 0 ? 0 : 3;
}

static int harden_twice(void)
{
	return harden_process() == 0 && harden_process() == 0 ? 0 : 1;
}

static void no_core_is_left_to_chance(void **state)
{
	assert_int_equal(in_a_child(harden_and_look), 0);
}

static void it_may_be_asked_again(void **state)
{
	assert_int_equal(in_a_child(harden_twice), 0);
}

static int close_and_occupy(void)
{
	char byte = 0;
	for (int fd = 0; fd <= 2; fd++)
		close(fd);
	occupy_standard_streams();
	if (read(0, &byte, 1) != -1 || errno != EBADF)
		return 1;
	for (int fd = 1; fd <= 2; fd++)
		if (write(fd, &byte, 1) != -1 || errno != EBADF)
			return 2;
	return open("/dev/null", O_RDONLY | O_CLOEXEC) > 2 ? 0 : 3;
}

static int occupy_with_an_open_one(void)
{
	int ends[2];
	if (pipe(ends) < 0 || dup2(ends[1], 1) != 1)
		return 1;
	close(2);
	occupy_standard_streams();
	char byte = 'x';
	return write(1, &byte, 1) == 1 && read(ends[0], &byte, 1) == 1 ? 0 : 2;
}

static void a_closed_stream_is_not_written_to(void **state)
{
	assert_int_equal(in_a_child(close_and_occupy), 0);
}

static void an_open_stream_stays_what_it_is(void **state)
{
	assert_int_equal(in_a_child(occupy_with_an_open_one), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_core_is_left_to_chance),
		cmocka_unit_test(it_may_be_asked_again),
		cmocka_unit_test(a_closed_stream_is_not_written_to),
		cmocka_unit_test(an_open_stream_stays_what_it_is),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
