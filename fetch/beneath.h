/*
 * Paths below a directory, reached without a symbolic link and without leaving it.
 *
 * A key is such a path in a folder store. Whoever may write there could lay a link under
 * a key that points elsewhere; so links are refused in every component. openat2(2) does
 * this where the kernel has it and no sandbox forbids it; else the path is walked by
 * hand. Both ways refuse the same paths.
 *
 * Paths are relative; "" is the directory itself. All functions return a descriptor the
 * caller owns, or -errno: -ENOENT; -ENOTDIR or -ELOOP: a component before the last is no
 * directory, or some component is a link; -EXDEV: the path holds ".." or begins with '/';
 * and those of open(2).
 */
#ifndef LARDER_FETCH_BENEATH_H
#define LARDER_FETCH_BENEATH_H

/* flags as for open(2), without O_CREAT; O_CLOEXEC is added. */
int beneath_open(int dirfd, const char *path, int flags);

/* The way by hand, which beneath_open() takes by itself; here for its test. */
int beneath_walk(int dirfd, const char *path, int flags);

/* Opens the directory `path`, making what is missing of it (mode 0777 less the umask) and
 * flushing what it made to disk. */
int beneath_make_directory(int dirfd, const char *path);

#endif
