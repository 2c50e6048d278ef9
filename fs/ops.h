/*
 * The table of request handlers that libfuse calls. Each is thin: it takes the inode
 * apart, asks the generation or the keyspace, and answers.
 *
 * What the index in memory answers is answered at once; what may have to wait for the
 * store goes through the gate as a job. There are no handlers that write: the mount is
 * read-only and the kernel says so itself.
 */
#ifndef LARDER_FS_OPS_H
#define LARDER_FS_OPS_H

#include "fs/fuse.h"

extern const struct fuse_lowlevel_ops ops_table;

#endif
