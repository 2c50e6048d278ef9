/*
 * The session's traffic with /dev/fuse, looked at as it passes.
 *
 * libfuse 3.14 knows FUSE_PARALLEL_DIROPS but never tells the kernel that it is wanted
 * (mended in 3.17). The answer to INIT passes here, and the flag is put in. Once that
 * answer is written the mount serves: `ready` is called. Once the kernel says that
 * nothing is mounted any more, `gone` is called, perhaps several times and from several
 * threads: requests that still wait for the store wait for nobody.
 *
 * An answer that the kernel does not take, or that libfuse had no memory for, is an error
 * to whoever asked, and nobody else would tell of it: `lost` is called, from any thread.
 *
 * Where nearly all requests are quick, one worker reads them (fs/lookout.h), and lingers
 * before it sleeps, where that pays (fs/linger.h).
 *
 * There is one session in a process.
 */
#ifndef LARDER_FS_DEVICE_IO_H
#define LARDER_FS_DEVICE_IO_H

#include <stdbool.h>

#include "fs/fuse.h"

struct device_io {
	void (*ready)(void *arg);
	void (*gone)(void *arg);
	void (*lost)(void *arg, int code); /* -errno */
	void *arg;
};

/* After fuse_session_mount(), before the loop. io (borrowed) outlives the session.
 * 0 or -errno. */
int device_io_attach(struct fuse_session *session, const struct device_io *io);

/* For a worker that may wait from now on: somebody else is to read requests. */
void device_io_leave(void);

/* Is there a worker that reads the next request, without waiting for anything else? True
 * for the worker that is to read itself. */
bool device_io_is_manned(void);

#endif
