/*
 * The shelf: what foreign archives were made into, for the next time.
 *
 *     DIR/converted/<64 hex digits>.larder   a converted archive
 *     DIR/converted/<64 hex digits>.index    the index of a plain tar
 *     DIR/converted/<64 hex digits>.draft    one being made; its maker holds flock(2) on
 * it
 *
 * DIR is the cache folder; the digits are a digest of which version of which object it
 * is. Files have mode 0600 and are renamed into place, so they are whole or absent. Use
 * is recorded in the file's atime (whoever has one open trusts its mtime). When they take
 * more than the limit together, those not used for longest go; whoever has one open keeps
 * it. A draft whose maker died is taken over, or removed with the others.
 *
 * Shared by processes and threads.
 */
#ifndef LARDER_ARCHIVE_FOREIGN_SHELF_H
#define LARDER_ARCHIVE_FOREIGN_SHELF_H

#include <stdint.h>
#include <sys/stat.h>

#include "fetch/base/call.h"
#include "fetch/base/digest.h"

enum foreign_form { FORM_CONVERTED, FORM_PLAIN };

struct foreign_shelf {
	int dir;          /* owned: DIR/converted; -1: there is none */
	const char *path; /* borrowed: DIR */
	uint64_t max;     /* bytes; 0: no limit */
};

/* DIR outlives the shelf. 0; -EPERM also where DIR/converted belongs to somebody else or may
 * be written by others; -errno of cache_folder_open() and of making it. */
int foreign_shelf_open(const char *dir, uint64_t max, struct foreign_shelf *ret);
void foreign_shelf_finish(struct foreign_shelf *s);

/* Opens what was kept, in either form. 0 or -ENOENT. *ret_fd is the caller's. */
int foreign_shelf_find(const struct foreign_shelf *s, const struct digest *d,
	enum foreign_form *ret_form, int *ret_fd);

/* Removes what turned out to be damaged, the file that fstat(2) said *what of: unless
 * another one has its name by now. */
void foreign_shelf_remove(const struct foreign_shelf *s, const struct digest *d,
	enum foreign_form form, const struct stat *what);

struct foreign_draft {
	const struct foreign_shelf *shelf; /* borrowed; NULL: the file has no name */
	struct digest digest;
	int fd; /* owned; an empty file, for reading and writing */
};

#define FOREIGN_DRAFT_INIT ((struct foreign_draft){.fd = -1})

/* Begins a draft; another maker of the same one is waited for as long as call allows. 0;
 * -EEXIST: another has finished it meanwhile, so find it; -ETIMEDOUT, -ECANCELED; -errno
 * of open(2). */
int foreign_draft_begin(const struct foreign_shelf *s, const struct digest *d,
	const struct call *call, struct foreign_draft *ret);

/* A draft that nobody will find again: a file without a name in $TMPDIR, else /var/tmp or
 * /tmp. -errno of open(2). */
int foreign_draft_begin_unnamed(struct foreign_draft *ret);

/* Gives it its name, and makes room if there is too little. 0 or -errno. */
int foreign_draft_keep(struct foreign_draft *d, enum foreign_form form);

/* Removes what was not kept. */
void foreign_draft_finish(struct foreign_draft *d);

#endif
