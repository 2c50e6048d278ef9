/*
 * libfuse's low-level interface, in the version this is written against (3.14).
 */
#ifndef LARDER_FS_FUSE_H
#define LARDER_FS_FUSE_H

#ifndef FUSE_USE_VERSION
#define FUSE_USE_VERSION 314
#endif
#include <fuse_lowlevel.h>

#endif
