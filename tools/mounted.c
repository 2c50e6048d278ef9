#include "tools/mounted.h"

#include <string.h>

#include "fetch/base/mounts.h"
#include "tools/overlay.h"

bool mounted_find(const char *path, struct mounted *ret)
{
	char home[PATH_MAX];
	struct mount_facts facts;
	if (mountpoint_resolve(path, ret->point, NULL) < 0 ||
		mount_facts_of(ret->point, &facts, NULL) < 0 || !facts.mounted)
		return false;
	if (overlay_home_of(ret->point, home)) {
		overlay_part(home, "lower", ret->daemon);
		return true;
	}
	strcpy(ret->daemon, ret->point);
	return !strcmp(facts.type, "fuse.larderfs");
}

int mounted_demand_none(const char *path, struct error *e)
{
	struct mounted m;
	return mounted_find(path, &m) ? mountpoint_refuse(m.point, m.daemon, e) : 0;
}

int mounted_demand_alive(const char *path, struct error *e)
{
	struct mounted m;
	return mounted_find(path, &m) ? mount_demand_alive(m.point, m.daemon, e) : 0;
}
