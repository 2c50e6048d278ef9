#include "tests/unit/test.h"

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

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_core_is_left_to_chance),
		cmocka_unit_test(it_may_be_asked_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
