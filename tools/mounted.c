#include "tools/mounted.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

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

bool mounted_is_seen(const struct mounted *m)
{
	struct statx st;
	struct mount_facts facts;
	return statx(AT_FDCWD, m->point, AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, 0, &st) ==
		       0 &&
	       mount_facts_of(m->point, &facts, NULL) == 0 &&
	       is_seen(&facts, makedev(st.stx_dev_major, st.stx_dev_minor));
}

bool mounted_is_writable(const struct mounted *m)
{
	return strcmp(m->point, m->daemon) != 0;
}

int64_t mounted_overwrites(const struct mounted *m)
{
	CLEANUP(cleanup_free) char *text = NULL;
	size_t len;
	int r = mount_ask(m->daemon, MOUNT_OVERWRITES, session_signal_fd(), &text, &len);
	if (r < 0)
		return r == -ENODATA ? -ENOTSUP : r; /* another version's daemon */
	char *end;
	errno = 0;
	long long count = strtoll(text, &end, 10);
	return errno || !len || end != text + len || count < 0 ? -EBADMSG : count;
}
