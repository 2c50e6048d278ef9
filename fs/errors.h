/*
 * What a failure looks like to the caller of a system call (docs/errors.md). Pure.
 */
#ifndef LARDER_FS_ERRORS_H
#define LARDER_FS_ERRORS_H

/* code: a negative errno of opening or listing. Returns the positive errno for the
 * reader: ENOENT, EACCES, ESTALE, EINTR or EIO. */
int errno_of_lookup(int code);

/* The same for reading what is open, where a vanished object is EIO. */
int errno_of_read(int code);

#endif
