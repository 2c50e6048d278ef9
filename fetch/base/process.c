#include "fetch/base/process.h"

#include <errno.h>
#include <sys/prctl.h>
#include <sys/resource.h>

int harden_process(void)
{
	static const struct rlimit none = {0, 0};
	if (prctl(PR_SET_DUMPABLE, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0)
		return -errno;
	return 0;
}
