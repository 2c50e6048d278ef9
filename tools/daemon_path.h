/*
 * Where larderfs is: beside this program as installed, in the build tree, else in PATH.
 */
#ifndef LARDER_TOOLS_DAEMON_PATH_H
#define LARDER_TOOLS_DAEMON_PATH_H

#include "fetch/base/buf.h"
#include "fetch/base/error.h"

/* Appends an absolute path to ret. 0; -EIO when there is none; -ENOMEM. */
int daemon_path(struct buf *ret, struct error *e);

#endif
