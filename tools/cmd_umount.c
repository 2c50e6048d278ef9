#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "fetch/base/cleanup.h"
#include "fetch/base/mounts.h"
#include "tools/command.h"
#include "tools/mounted.h"
#include "tools/overlay.h"
#include "tools/unmount.h"
#include "tools/upper.h"

/* What keeping the upper layer can fail of is found out while the mount is there. ret:
 * PATH_MAX bytes, where it goes. */
static int prepare_keep(const char *wanted, const char *path, const char *home, char *ret,
	struct error *e)
{
	struct mounted m;
	struct mount_facts facts;
	int r = overlay_check_keep(home, wanted, ret, e);
	if (r == 0)
		r = mount_facts_of(path, &facts, e);
	if (r < 0 || strcmp(facts.type, "overlay") != 0 || !mounted_find(path, &m))
		return r;
	r = mounted_demand_alive(path, e);
	if (r < 0 && r != -ENOTCONN) /* of what is gone, some may still be whole */
		return r;
	return upper_complete(home, &m, e);
}

/* Who had the lock before may have unmounted it, and mounted another one. */
static int lock_home(const char *path, const char *home, int *ret, struct error *e)
{
	char place[PATH_MAX];
	CLEANUP(cleanup_close) int lock = -1;
	int r = overlay_lock(home, &lock, e);
	if (r < 0)
		return r;
	if (!overlay_home_of(path, place) || strcmp(place, home) != 0)
		return error_set(
			e, -EIO, "'%s' was unmounted meanwhile by another process", path);
	*ret = steal_fd(&lock);
	return 0;
}

/* A writable mount: the overlay, the larderfs below it, and what was written. */
static int unmount_writable(
	const struct options *o, const char *path, const char *home, struct error *e)
{
	char keep[PATH_MAX] = "", place[PATH_MAX];
	CLEANUP(cleanup_close) int lock = -1;
	int r = lock_home(path, home, &lock, e);
	if (r == 0 && o->keep_upper)
		r = prepare_keep(o->keep_upper, path, home, keep, e);
	if (r == 0)
		r = unmount(path, o->lazy, e);
	if (r < 0)
		return r;
	/* It was bound there. What the kernel had propagated to a peer is gone from there too. */
	if (overlay_is_elsewhere(home, path, place))
		return error_set(e, -EIO,
			"'%s' is unmounted, but what was mounted there is on '%s' too: "
			"larder umount '%s'",
			path, place, place);
	return overlay_dispose(home, keep, o->lazy, e);
}

/* Nobody can tell whether what is left is in use: after a lazy unmount, or in another
 * mount namespace. */
static int tell_what_is_left(const char *path, const char *home, struct error *e)
{
	char place[PATH_MAX];
	if (overlay_is_elsewhere(home, path, place))
		return error_set(e, -EINVAL,
			"what was mounted on '%s' is now on '%s': larder umount '%s'",
			path, place, place);
	return error_set(e, -EINVAL,
		"the overlay on '%s' is gone, but not what was written, in '%s/upper'; "
		"when nothing uses that any more: larder umount '%s/lower', and remove "
		"'%s'",
		path, home, home, home);
}

static int refuse(const char *path, struct error *e)
{
	struct stat st;
	bool missing = lstat(path, &st) < 0 && errno == ENOENT;
	return error_set(e, -EINVAL,
		missing ? "'%s' does not exist" : "'%s' is not a mount of larderfs",
		path);
}

int cmd_umount(const struct options *o, struct error *e)
{
	char path[PATH_MAX], home[PATH_MAX];
	struct mount_facts facts;
	int r = mountpoint_resolve(o->arguments.data[0], path, e);
	if (r < 0)
		return r == -ENOENT || r == -ENOTDIR ? -EINVAL : r;
	r = mount_facts_of(path, &facts, e);
	if (r < 0)
		return r;
	if (overlay_home_of(path, home))
		return unmount_writable(o, path, home, e);
	if (overlay_home_left(path, home))
		return tell_what_is_left(path, home, e);
	if (!facts.mounted || strcmp(facts.type, "fuse.larderfs"))
		return refuse(path, e);
	if (o->keep_upper)
		return error_set(e, -EINVAL,
			"'%s' is not writable: there is nothing for --keep-upper", path);
	return unmount_larderfs(path, o->lazy, e);
}
