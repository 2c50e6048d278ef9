#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fetch/base/cleanup.h"
#include "fetch/base/mount_ask.h"
#include "fetch/base/mounts.h"
#include "tools/command.h"
#include "tools/mounted.h"
#include "tools/session.h"

static int fail(int r, const char *mountpoint, struct error *e)
{
	switch (r) {
	case -ENODATA:
	case -EOPNOTSUPP:
		return error_set(
			e, -EINVAL, "'%s' is not a mount of larderfs", mountpoint);
	case -ENOTCONN:
		return error_set(e, -EIO,
			"the daemon behind '%s' is gone; 'larder umount %s' clears it away",
			mountpoint, mountpoint);
	case -ETIMEDOUT:
		return error_set(e, r,
			"the daemon behind '%s' does not answer; 'larder umount --lazy %s' "
			"clears it away",
			mountpoint, mountpoint);
	case -ECANCELED:
		return error_set(e, r, "interrupted while asking '%s'", mountpoint);
	default:
		r = error_set_errno(e, r, "cannot ask '%s'", mountpoint);
		return r == -ENOENT ? -EINVAL : r;
	}
}

int cmd_status(const struct options *o, struct error *e)
{
	const char *mountpoint = o->arguments.data[0];
	struct mounted m;
	CLEANUP(cleanup_free) char *text = NULL;
	size_t len;
	/* what is mounted elsewhere, or by somebody else, may answer as well */
	bool found = mounted_find(mountpoint, &m);
	int r = mount_ask_daemon(found ? m.point : mountpoint,
		found ? m.daemon : mountpoint, o->json ? MOUNT_STATUS : MOUNT_SUMMARY,
		session_signal_fd(), &text, &len);
	if (r < 0)
		return fail(r, mountpoint, e);
	fwrite(text, 1, len, stdout);
	if (len && text[len - 1] != '\n')
		putchar('\n');
	return 0;
}
