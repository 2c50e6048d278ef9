#include "fs/mountpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

#include "fetch/base/cleanup.h"
#include "fetch/base/io.h"
#include "fetch/base/log.h"
#include "fetch/base/mounts.h"

int mountpoint_check(const char *path, struct mountpoint *ret, struct error *e)
{
	struct mountpoint m = {0};
	int r = mountpoint_demand(path, m.path, e);
	if (r == 0)
		*ret = m;
	return r;
}

const char *mountpoint_name(const struct mountpoint *m)
{
	return m->shown ? m->shown : m->path;
}

int mountpoint_note_device(struct mountpoint *m, struct error *e)
{
	struct mount_facts facts;
	int r = mount_facts_of(m->path, &facts, e);
	if (r < 0)
		return r;
	if (!facts.mounted)
		return error_set(e, -EIO, "the mount on '%s' was gone at once",
			mountpoint_name(m));
	memcpy(m->device, facts.device, sizeof(m->device));
	return 0;
}

bool mountpoint_is_ours(const struct mountpoint *m)
{
	struct mount_facts facts;
	return mount_facts_of(m->path, &facts, NULL) == 0 && facts.mounted &&
	       strcmp(facts.device, m->device) == 0;
}

int mountpoint_follow_no_symlinks(const struct mountpoint *m, struct error *e)
{
	struct mount_attr attributes = {.attr_set = MOUNT_ATTR_NOSYMFOLLOW};
	if (mount_setattr(AT_FDCWD, m->path, AT_SYMLINK_NOFOLLOW, &attributes,
		    sizeof(attributes)) < 0)
		return error_set(e, -EIO, "cannot mount on '%s' with nosymfollow: %s",
			mountpoint_name(m), strerror(errno));
	return 0;
}

void mountpoint_detach(const struct mountpoint *m)
{
	char place[PATH_MAX];
	if (mount_place_of(m->device, place, NULL) == 0 &&
		umount2(place, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
		log_debug("'%s' stays mounted: %s", place, strerror(errno));
}

void mountpoint_read_ahead(const struct mountpoint *m, unsigned kib)
{
	char path[128], text[16];
	snprintf(path, sizeof(path), "/sys/class/bdi/%s/read_ahead_kb", m->device);
	CLEANUP(cleanup_close) int fd = open(path, O_WRONLY | O_CLOEXEC);
	int len = snprintf(text, sizeof(text), "%u\n", kib);
	if (fd < 0 || write_fully(fd, text, (size_t)len) < 0)
		log_debug("'%s' stays as it is: %s", path, strerror(errno));
}
