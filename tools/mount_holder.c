#include "tools/mount_holder.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fetch/base/cleanup.h"
#include "fetch/base/io.h"
#include "fetch/base/mounts.h"
#include "tools/session.h"

#define MOUNTINFO_MAX (16u << 20) /* bytes */

/* The number of a mount namespace; 0: there is none that we may look at. */
static ino_t number_of(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 ? st.st_ino : 0;
}

static ino_t namespace_of(pid_t pid)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/ns/mnt", (int)pid);
	return number_of(path);
}

static bool sees(pid_t pid, const char *device)
{
	CLEANUP(cleanup_free) char *text = NULL;
	char path[64];
	size_t len;
	snprintf(path, sizeof(path), "/proc/%d/mountinfo", (int)pid);
	return read_small_file(path, MOUNTINFO_MAX, &text, &len) == 0 &&
	       mounts_have(text, device, "fuse.larderfs");
}

int mount_holder_find(const char *device, struct mount_holder *ret)
{
	CLEANUP(cleanup_closedir) DIR *processes = opendir("/proc");
	if (!processes)
		return -errno;
	const ino_t ours = number_of("/proc/self/ns/mnt");
	ino_t seen = ours; /* last: neighbours are often of one namespace */
	const struct dirent *entry;
	while ((entry = readdir(processes)) && !session_signal()) {
		pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10); /* 0: no process */
		ino_t number = pid ? namespace_of(pid) : 0;
		if (!number || number == ours || number == seen)
			continue;
		seen = number;
		if (!sees(pid, device))
			continue;
		ret->pid = pid;
		process_name(pid, ret->name);
		return 0;
	}
	return -ENOENT;
}
