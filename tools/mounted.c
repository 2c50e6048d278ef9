#include "tools/mounted.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "fetch/base/cleanup.h"
#include "fetch/base/mount_ask.h"
#include "fetch/base/mounts.h"
#include "fetch/json.h"
#include "tools/overlay.h"
#include "tools/session.h"

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

/* Another mount may hide it. */
static bool is_seen(const struct mount_facts *facts, dev_t device)
{
	char name[sizeof(facts->device)];
	snprintf(name, sizeof(name), "%u:%u", major(device), minor(device));
	return !strcmp(name, facts->device);
}

bool mounted_find_above(const char *path, dev_t device, struct mounted *ret)
{
	char at[PATH_MAX];
	struct mount_facts facts;
	if (mountpoint_resolve(path, at, NULL) < 0)
		return false;
	for (;;) {
		if (mount_facts_of(at, &facts, NULL) < 0)
			return false;
		if (facts.mounted || !strcmp(at, "/"))
			return is_seen(&facts, device) && mounted_find(at, ret);
		char *slash = strrchr(at, '/');
		slash[slash == at] = '\0';
	}
}

int mounted_demand_none(const char *path, struct error *e)
{
	struct mounted m;
	if (!mounted_find(path, &m))
		return 0;
	return mountpoint_refuse(m.point, m.daemon, session_signal_fd(), e);
}

int mounted_demand_alive(const char *path, struct error *e)
{
	struct mounted m;
	if (!mounted_find(path, &m))
		return 0;
	return mount_demand_alive(m.point, m.daemon, session_signal_fd(), e);
}

bool mounted_is_writable(const struct mounted *m)
{
	return strcmp(m->point, m->daemon) != 0;
}

/* For the caller to free; NULL with errno. */
static char *status_of(const struct mounted *m)
{
	CLEANUP(cleanup_free) char *text = calloc(1, XATTR_SIZE_MAX + 1);
	if (!text || getxattr(m->daemon, MOUNT_STATUS, text, XATTR_SIZE_MAX) < 0)
		return NULL;
	return steal_pointer(text);
}

int64_t mounted_overwrites(const struct mounted *m)
{
	CLEANUP(cleanup_free) char *text = status_of(m);
	if (!text)
		return -errno;
	int64_t count;
	int r = json_get_integer(text, strlen(text), "overwrites", &count);
	return r < 0 ? -ENOTSUP : count; /* another version's daemon */
}
