/*
 * The user's home directory.
 */
#ifndef LARDER_FETCH_HOME_H
#define LARDER_FETCH_HOME_H

#include "fetch/base/buf.h"

/* Appends $HOME, or what the user database says where that is unset or relative. 0;
 * -ENOENT: neither knows one; -EMSGSIZE, -ENOMEM. */
int home_append(struct buf *b);

#endif
