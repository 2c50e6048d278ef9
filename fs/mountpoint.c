#include "fs/mountpoint.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "fetch/base/cleanup.h"
#include "fetch/base/io.h"
#include "fetch/base/log.h"
#include "fetch/base/mounts.h"

static int check_empty(const char *path, struct error *e)
{
	CLEANUP(cleanup_closedir) DIR *d = opendir(path);
	if (!d)
		return error_set(e, -EINVAL, "cannot look into the mountpoint '%s': %s",
			path, strerror(errno));
	const struct dirent *entry;
	while ((entry = readdir(d)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			return error_set(e, -EINVAL,
				"the mountpoint '%s' is not empty: it holds '%s'", path,
				entry->d_name);
	return 0;
}

/* The mount's type is looked at first: a dead daemon's answers every other question with
 * ENOTCONN. */
static int check_not_mounted(const char *path, struct error *e)
{
	struct mount_facts facts;
	int r = mount_facts_of(path, &facts, e);
	if (r < 0)
		return r;
	if (!facts.mounted || strcmp(facts.type, "fuse.larderfs") != 0)
		return 0;
	struct stat st;
	if (stat(path, &st) < 0 && errno == ENOTCONN)
		return error_set(e, -EINVAL,
			"'%s' is mounted by a larderfs that is gone; 'larder umount %s' "
			"clears it away",
			path, path);
	return error_set(e, -EINVAL, "'%s' is a mount of larderfs already", path);
}

int mountpoint_check(const char *path, struct mountpoint *ret, struct error *e)
{
	struct mountpoint m = {0};
	struct stat st;
	if (mountpoint_resolve(path, m.path, e) < 0)
		return error_prefix(e, "the mountpoint"), -EINVAL;
	int r = check_not_mounted(m.path, e);
	if (r < 0)
		return r;
	if (stat(m.path, &st) < 0)
		return error_set(
			e, -EINVAL, "the mountpoint '%s': %s", path, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return error_set(e, -EINVAL, "the mountpoint '%s' is no directory", path);
	if (!realpath(path, m.path))
		return error_set(
			e, -EINVAL, "the mountpoint '%s': %s", path, strerror(errno));
	r = check_not_mounted(m.path, e);
	if (r == 0)
		r = check_empty(m.path, e);
	if (r == 0)
		*ret = m;
	return r;
}

int mountpoint_note_device(struct mountpoint *m, struct error *e)
{
	struct mount_facts facts;
	int r = mount_facts_of(m->path, &facts, e);
	if (r < 0)
		return r;
	if (!facts.mounted)
		return error_set(e, -EIO, "the mount on '%s' was gone at once", m->path);
	memcpy(m->device, facts.device, sizeof(m->device));
	return 0;
}

bool mountpoint_is_ours(const struct mountpoint *m)
{
	struct mount_facts facts;
	return mount_facts_of(m->path, &facts, NULL) == 0 && facts.mounted &&
	       strcmp(facts.device, m->device) == 0;
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
