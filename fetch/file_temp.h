/*
 * A file on its way to a key of a folder store.
 *
 * It has no name at all where the file system knows such files (O_TMPFILE), so that a
 * killed process leaves nothing; else one in ".larder/tmp", where a later publication
 * sweeps away what the dead have left: the living hold flock(2) on theirs. (Where flock
 * does not work, nothing is swept.)
 *
 * Used by one thread at a time.
 */
#ifndef LARDER_FETCH_FILE_TEMP_H
#define LARDER_FETCH_FILE_TEMP_H

#include <stdbool.h>

#include "fetch/nonce.h"

struct file_temp {
	int fd;  /* owned; open for reading and writing; -1: none */
	int dir; /* owned; ".larder/tmp"; -1 while the file needs no name */
	char name[NONCE_SIZE]; /* "" while it has none */
};

#define FILE_TEMP_INIT ((struct file_temp){.fd = -1, .dir = -1})

/* Makes an empty file; root (borrowed) is the store's folder. `named` forbids the unnamed
 * kind. 0; -ENOSPC, -EROFS, -EACCES and others of open(2); -EIO: none was to be kept. */
int file_temp_new(int root, bool named, struct file_temp *ret);

/* Closes it, and removes its name if it still has one. */
void file_temp_finish(struct file_temp *t);

/* Makes the content reach the disk, then gives the file the name dir/name unless there is
 * one: 0, -EEXIST, -ENOENT (dir was removed meanwhile), -EOPNOTSUPP (the file system
 * cannot heed what is there), -errno. */
int file_temp_link(struct file_temp *t, int dir, const char *name);

/* Can the file system do that? Where there are unnamed files it can. 0; -EOPNOTSUPP;
 * others as file_temp_new(). */
int file_temp_try_link(int root);

/* As file_temp_link(), but what has that name is replaced. root as for file_temp_new().
 * -EISDIR: a directory has it. */
int file_temp_replace(struct file_temp *t, int root, int dir, const char *name);

/* Removes named files whose makers have died. */
void file_temp_sweep(int root);

#endif
