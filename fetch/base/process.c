#include "fetch/base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

static unsigned long files_before; /* set before threads start */

int harden_process(void)
{
	static const struct rlimit none = {0, 0};
	if (prctl(PR_SET_DUMPABLE, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0)
		return -errno;
	return 0;
}

/* Opened the wrong way round. open(2) takes the lowest number that is free. */
void occupy_standard_streams(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

int raise_open_files(void)
{
	struct rlimit files;
	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return -errno;
	rlim_t before = files.rlim_cur;
	if (before == files.rlim_max)
		return 0;
	files.rlim_cur = files.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &files) < 0)
		return -errno;
	files_before = before;
	return 0;
}

unsigned long open_files_before(void)
{
	return files_before;
}
