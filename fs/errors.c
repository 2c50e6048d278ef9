#include "fs/errors.h"

#include <errno.h>

int errno_of_lookup(int code)
{
	switch (-code) {
	case ENOENT:
		return ENOENT;
	case EACCES:
	case EKEYREJECTED:
		return EACCES;
	case ESTALE:
		return ESTALE;
	case ECANCELED:
		return EINTR;
	default:
		return EIO;
	}
}

int errno_of_read(int code)
{
	return code == -ENOENT ? EIO : errno_of_lookup(code);
}
