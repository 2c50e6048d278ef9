/*
 * An unpacking under way: what its parts share.
 *
 *   unpack.c         the whole: threads, progress, ending early
 *   unpack_target.c  the temporary tree and how it comes into place
 *   unpack_temp.c    its name and its lock, and the removal of what the dead have left
 *   unpack_plan.c    which frames are read together
 *   unpack_files.c   a worker: reads runs, writes files
 *   unpack_tree.c    directories, links, and the last touches; taking it all away again
 *   unpack_attrs.c   owners, modes, times, xattrs of one entry
 */
#ifndef LARDER_ARCHIVE_UNPACK_PRIVATE_H
#define LARDER_ARCHIVE_UNPACK_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "archive/decoders.h"
#include "archive/unpack.h"
#include "archive/unpack_dirs.h"
#include "archive/unpack_plan.h"

struct unpack {
	const struct archive *archive; /* borrowed, like ix, source, call and options */
	const struct index *ix;
	struct range_source *source;
	const struct call *call;
	const struct unpack_options *options;
	int rootfd;       /* borrowed: where the tree grows */
	mode_t taken_off; /* permission bits that a new file here does not get */
	struct unpack_plan plan;
	struct decoders decoders;

	atomic_bool failed; /* stop at the next opportunity */
	atomic_size_t next_run;
	atomic_uint_fast64_t files, bytes; /* done */
	atomic_uint_fast64_t xattrs_refused;

	pthread_mutex_t lock;   /* guards the rest */
	pthread_cond_t changed; /* running became 0, or the call was ended */
	unsigned running;       /* workers */
	int code;               /* the first failure; 0: none */
	struct error why;
	uint32_t refused_entry; /* the first whose xattr was refused, and why */
	int refused_code;
};

/* As error_recode(); -EIO also where a code would be taken for what unpack_archive()
 * means by it of the target. */
int unpack_recode(int code, struct error *e);

/* "cannot WHAT 'path of entry'": fills *e from -code and returns that, recoded. */
int unpack_error(const struct unpack *u, uint32_t entry, int code, const char *what,
	struct error *e);

/* unpack_files.c: takes runs until none is left or somebody failed. 0 or -errno. */
int unpack_runs(struct unpack *u, const struct call *call, struct error *e);

/* unpack_tree.c: directories (mode 0700 for now) and symlinks. */
int unpack_make_tree(struct unpack *u, struct error *e);

/* Hard links, once all files are there. */
int unpack_make_links(struct unpack *u, struct error *e);

/* Owners, modes and times of directories, deepest first. */
int unpack_finish_dirs(struct unpack *u, struct error *e);

/* Removes whatever there is of the tree below the open directory rootfd: of the root's
 * children only the first so many, and what is below them. */
void unpack_remove_tree(const struct index *ix, int rootfd, uint32_t children);

/* unpack_attrs.c. An open regular file; with `known_mode` it has its permission bits, as
 * far as the system did not take them off. */
int unpack_attrs_file(
	struct unpack *u, uint32_t entry, int fd, bool known_mode, struct error *e);

/* `name` in the open directory parent: a directory with mode 0700 so far, or a symlink.
 */
int unpack_attrs_dir(
	struct unpack *u, uint32_t entry, int parent, const char *name, struct error *e);
int unpack_attrs_symlink(
	struct unpack *u, uint32_t entry, int parent, const char *name, struct error *e);

/* The root, which has no name; fd may be read from. */
int unpack_attrs_root(struct unpack *u, int fd, struct error *e);

/* Permission bits that a regular file gets at last. */
mode_t unpack_file_mode(const struct unpack *u, uint32_t entry);

#endif
