#include "fetch/base/exit_code.h"

#include <errno.h>

int exit_code_of(int error, int signal)
{
	switch (-error) {
	case 0:
		return EXIT_DONE;
	case EINVAL:
		return EXIT_USAGE;
	case ENOENT:
		return EXIT_MISS;
	case EBADMSG:
	case EBUSY:
		return EXIT_CORRUPT;
	case EKEYREJECTED:
		return EXIT_CREDENTIALS;
	case EOPNOTSUPP:
		return EXIT_NO_CONDITION;
	case EEXIST:
		return EXIT_ALREADY;
	case ETIMEDOUT:
		return EXIT_DEADLINE;
	case ECANCELED:
		return EXIT_SIGNAL + signal;
	default:
		return EXIT_FAILED;
	}
}

bool exit_code_is_soft(int code)
{
	return code == EXIT_FAILED || code == EXIT_CORRUPT || code == EXIT_CREDENTIALS ||
		code == EXIT_DEADLINE;
}
