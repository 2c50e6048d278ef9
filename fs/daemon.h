/*
 * Going to the background, so that whoever started us knows how it went.
 *
 *     parent                      child
 *     daemon_split() forks        daemon_split() returns
 *       waits                     mounts
 *       exits with the code  <--  daemon_ready(), or daemon_failed()
 *
 * The child's words go to the parent's standard error until it is ready. SIGINT, SIGTERM
 * and SIGHUP are passed on by the parent while it waits, unless they were ignored from the
 * start; in the child they are blocked. No thread may have been started before the split.
 */
#ifndef LARDER_FS_DAEMON_H
#define LARDER_FS_DAEMON_H

#include <stdbool.h>

struct daemon {
	int report; /* the parent listens there; -1: in the foreground */
};

/* True in the parent, when it is time to exit with *ret_code; false in the child. When
 * there is no process to be had: true, with 1 and words on standard error. */
bool daemon_split(struct daemon *d, int *ret_code);

/* The mount serves: the parent exits with 0; this process gets a session of its own, / as
 * directory, and /dev/null for what it inherited of standard streams. -EPIPE: the parent
 * has gone, nobody wants the mount any more. In the foreground nothing happens. */
int daemon_ready(struct daemon *d);

/* The start has failed: the parent exits with code. */
void daemon_failed(struct daemon *d, int code);

/* Closes what was inherited beyond the standard streams, and makes sure that those are
 * open. */
void daemon_close_inherited(void);

#endif
