#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

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

/* A writable mount: the overlay, the larderfs below it, and what was written. */
static int unmount_writable(
	const struct options *o, const char *path, const char *home, struct error *e)
{
	char keep[PATH_MAX] = "";
	int r = o->keep_upper ? prepare_keep(o->keep_upper, path, home, keep, e) : 0;
	if (r == 0)
		r = unmount(path, o->lazy, e);
	return r < 0 ? r : overlay_dispose(home, keep, o->lazy, e);
}

static int refuse(const char *path, struct error *e)
{
	struct stat st;
	bool missing = lstat(path, &st) < 0 && errno == ENOENT;
	return error_set(e, -EINVAL,
		missing ? "'%s' does not exist" : "'%s' is not a mount of larderfs", path);
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
	if (!facts.mounted || strcmp(facts.type, "fuse.larderfs"))
		return refuse(path, e);
	if (o->keep_upper)
		return error_set(e, -EINVAL,
			"'%s' is not writable: there is nothing for --keep-upper", path);
	return unmount_larderfs(path, o->lazy, e);
}
