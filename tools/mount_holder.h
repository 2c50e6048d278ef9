/*
 * Who keeps a file system mounted that we have unmounted: a mount namespace that was made
 * meanwhile (unshare(1), a container, a service with one of its own) began with a copy of
 * every mount, and keeps it until it ends.
 */
#ifndef LARDER_TOOLS_MOUNT_HOLDER_H
#define LARDER_TOOLS_MOUNT_HOLDER_H

#include "tools/process_name.h"

struct mount_holder {
	pid_t pid;
	char name[PROCESS_NAME_SIZE]; /* "" once it has ended */
};

/* Looks for a process in another mount namespace that sees a larderfs mounted on the device
 * "major:minor". 0; -ENOENT: there is none that we may look at, or a signal ended the search;
 * or another -errno. */
int mount_holder_find(const char *device, struct mount_holder *ret);

#endif
