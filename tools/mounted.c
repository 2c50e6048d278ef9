#include "tools/mounted.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "fetch/base/cleanup.h"
#include "fetch/base/mount_ask.h"
#include "fetch/base/mounts.h"
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

int mounted_is_of_one_key(const struct mounted *m)
{
	CLEANUP(cleanup_free) char *text = status_of(m);
	if (!text)
		return -errno;
	return strstr(text, "\"one_key\":true") != NULL;
}

unsigned mounted_versions(const struct mounted *m)
{
	static const char name[] = "\"generation\":";
	CLEANUP(cleanup_free) char *text = status_of(m);
	const char *found = text ? strstr(text, name) : NULL;
	unsigned most = 0, count;
	for (; found; found = strstr(found + 1, name))
		if (sscanf(found + strlen(name), "%u", &count) == 1 && count > most)
			most = count;
	return most;
}
