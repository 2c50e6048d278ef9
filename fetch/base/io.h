/*
 * Whole reads and writes: EINTR and short counts are dealt with here.
 */
#ifndef LARDER_FETCH_BASE_IO_H
#define LARDER_FETCH_BASE_IO_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Reads exactly len bytes at offset. 0, -ENODATA when the file ends before, -errno. */
int pread_exactly(int fd, void *buf, size_t len, uint64_t offset);

/* Writes all of it. 0 or -errno. */
int write_fully(int fd, const void *buf, size_t len);
int pwrite_fully(int fd, const void *buf, size_t len, uint64_t offset);

/* Reads a whole small file into freshly allocated, NUL-terminated memory (caller frees).
 * 0, -EFBIG past `max` bytes, -ENOMEM, -errno of open(2) or read(2). */
int read_small_file(const char *path, size_t max, char **ret_data, size_t *ret_len);

/* Makes the directory `path` and those above it that are missing, with this mode less the
 * umask. One that is there is left as it is. 0; -ENOTDIR: what is there is no directory, nor
 * a link to one; -errno of mkdir(2), never -EEXIST. */
int make_directories(const char *path, mode_t mode);

#endif
