#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>

#include "fetch/base/buf.h"
#include "fetch/base/cleanup.h"
#include "tools/command.h"
#include "tools/mounted.h"

int cmd_status(const struct options *o, struct error *e)
{
	const char *name = o->json ? "user.larder.status" : "user.larder.summary";
	const char *mountpoint = o->arguments.data[0];
	struct mounted m;
	CLEANUP(cleanup_free) char *text = malloc(XATTR_SIZE_MAX);
	if (!text)
		return -ENOMEM;
	/* what is mounted elsewhere, or by somebody else, may answer as well */
	const char *daemon = mounted_find(mountpoint, &m) ? m.daemon : mountpoint;
	ssize_t len = getxattr(daemon, name, text, XATTR_SIZE_MAX);
	if (len < 0 && (errno == ENODATA || errno == EOPNOTSUPP))
		return error_set(e, -EINVAL, "'%s' is not a mount of larderfs", mountpoint);
	if (len < 0 && errno == ENOTCONN)
		return error_set(e, -EIO,
			"the daemon behind '%s' is gone; 'larder umount %s' clears it away",
			mountpoint, mountpoint);
	if (len < 0) {
		int r = error_set_errno(e, -errno, "cannot ask '%s'", mountpoint);
		return r == -ENOENT ? -EINVAL : r;
	}
	fwrite(text, 1, (size_t)len, stdout);
	if (len && text[len - 1] != '\n')
		putchar('\n');
	return 0;
}
