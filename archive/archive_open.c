#include "archive/archive_open.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "archive/foreign.h"
#include "archive/foreign_copy.h"
#include "archive/foreign_shelf.h"
#include "archive/format.h"
#include "fetch/base/io.h"
#include "fetch/base/log.h"

/* An archive made of a foreign one, as it comes off a file. */
struct made {
	struct archive *archive;    /* owned */
	struct range_source *local; /* owned; NULL: a plain tar's */
};

/* fd is taken over. shelf NULL: it has no name. */
static int load_converted(const struct foreign_shelf *shelf, int fd,
	const struct archive_opening *o, const struct call *call, struct made *ret,
	struct error *e)
{
	CLEANUP(cleanup_range_source) struct range_source *local = NULL;
	int r = shelf ? foreign_copy_new(shelf, &o->origin, fd, o->name, &local, e)
		      : file_source_new(fd, &local, e);
	if (r == 0)
		r = archive_load_local(local, call, o->name, &ret->archive, e);
	if (r == 0)
		ret->local = steal_pointer(local);
	return r;
}

static int load_plain(
	int fd, const struct archive_opening *o, struct made *ret, struct error *e)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return error_set_errno(e, -errno, "cannot look at an index");
	if (st.st_size <= 0 || (uint64_t)st.st_size > INDEX_RAW_LIMIT)
		return error_set(e, -EBADMSG, "the index is of an impossible size");
	CLEANUP(cleanup_free) void *stored = malloc((size_t)st.st_size);
	int r = stored ? pread_exactly(fd, stored, (size_t)st.st_size, 0) : -ENOMEM;
	if (r < 0)
		return error_set_errno(e, r, "cannot read an index");
	return archive_load_plain(stored, (size_t)st.st_size, o->source->size, &o->origin,
		o->name, &ret->archive, e);
}

/* 0; -ENOENT: there is none, or none that can be used. */
static int load_shelved(const struct foreign_shelf *shelf,
	const struct archive_opening *o, const struct call *call, struct made *ret)
{
	enum foreign_form form;
	struct error e = {0};
	struct stat what;
	CLEANUP(cleanup_close) int fd = -1;
	int r = foreign_shelf_find(shelf, &o->origin, &form, &fd);
	if (r < 0)
		return r;
	if (fstat(fd, &what) < 0)
		return -errno;
	r = form == FORM_PLAIN ? load_plain(fd, o, ret, &e)
			       : load_converted(shelf, steal_fd(&fd), o, call, ret, &e);
	if (r == 0 || r == -ENOMEM)
		return r;
	log_debug("'%s' is converted anew: %s", o->name, e.text);
	foreign_shelf_remove(shelf, &o->origin, form, &what);
	return -ENOENT;
}

static int convert(const struct foreign_object *object,
	const struct foreign_options *options, const struct archive_opening *o,
	const struct call *call, struct foreign_draft *draft, struct made *ret,
	struct error *e)
{
	int r = foreign_convert(object, options, call, draft->fd, e);
	if (r < 0)
		return r;
	/* The draft's lock goes with the last of the two descriptors. */
	int fd = fcntl(draft->fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return error_set_errno(e, -errno, "cannot open '%s'", o->name);
	r = load_converted(draft->shelf, fd, o, call, ret, e);
	if (r == 0) /* a name is a help for the next time, not a need */
		foreign_draft_keep(draft, FORM_CONVERTED);
	return r;
}

static int keep_index(struct foreign_draft *draft, const struct buf *index,
	const struct archive_opening *o, struct made *ret, struct error *e)
{
	int r = archive_load_plain(index->data, index->len, o->source->size, &o->origin,
		o->name, &ret->archive, e);
	if (r == 0 && draft->shelf &&
		write_fully(draft->fd, index->data, index->len) == 0)
		foreign_draft_keep(draft, FORM_PLAIN);
	return r;
}

static int make(const struct archive_opening *o, const struct call *call,
	struct foreign_draft *draft, struct made *ret, struct error *e)
{
	const struct foreign_object object = {
		.source = o->source,
		.tail = o->tail,
		.tail_len = o->tail_len,
		.name = o->name,
	};
	const struct foreign_options options = {
		.max_stored = o->cache_size,
		.warn = o->warn,
		.arg = o->arg,
	};
	CLEANUP(buf_finish) struct buf index = BUF_INIT(INDEX_RAW_LIMIT);
	int r = foreign_scan(&object, &options, call, &index, e);
	if (r == -EAGAIN)
		return convert(&object, &options, o, call, draft, ret, e);
	return r < 0 ? r : keep_index(draft, &index, o, ret, e);
}

/* Off the shelf, or made and put there. */
static int open_shelved(const struct foreign_shelf *shelf,
	const struct archive_opening *o, const struct call *call, struct made *ret,
	struct error *e)
{
	for (;;) {
		CLEANUP(foreign_draft_finish)
		struct foreign_draft draft = FOREIGN_DRAFT_INIT;
		int r = load_shelved(shelf, o, call, ret);
		if (r != -ENOENT)
			return r < 0 ? error_set_errno(e, r, "cannot open '%s'", o->name)
				     : 0;
		r = foreign_draft_begin(shelf, &o->origin, call, &draft);
		if (r == -EEXIST)
			continue;
		if (r == -ETIMEDOUT || r == -ECANCELED)
			return error_set(e, r,
				"gave up waiting for another process that converts '%s'",
				o->name);
		if (r < 0)
			return error_set_errno(e, r, "cannot keep '%s'", o->name);
		return make(o, call, &draft, ret, e);
	}
}

static int open_unshelved(const struct archive_opening *o, const struct call *call,
	struct made *ret, struct error *e)
{
	CLEANUP(foreign_draft_finish) struct foreign_draft draft = FOREIGN_DRAFT_INIT;
	int r = foreign_draft_begin_unnamed(&draft);
	if (r < 0)
		return error_set_errno(
			e, r, "cannot make a temporary file to convert '%s'", o->name);
	return make(o, call, &draft, ret, e);
}

static bool is_on_disk_of(
	const struct foreign_draft *draft, const struct foreign_shelf *shelf)
{
	struct stat file, folder;
	return fstat(draft->fd, &file) == 0 && fstat(shelf->dir, &folder) == 0 &&
	       file.st_dev == folder.st_dev;
}

static void warn_of_full(
	const struct foreign_shelf *shelf, const struct archive_opening *o)
{
	struct error e;
	error_set(&e, -ENOSPC,
		"the disk of '%.300s' has no room for what '%.200s' becomes; it will be "
		"converted each time",
		shelf->path, o->name);
	if (o->warn)
		o->warn(o->arg, e.text);
}

/* The shelf's disk is full, as e says, and another may not be. On the same one it would
 * end as before, after everything was read once more. */
static int open_beside(const struct foreign_shelf *shelf, const struct archive_opening *o,
	const struct call *call, struct made *ret, struct error *e)
{
	CLEANUP(foreign_draft_finish) struct foreign_draft draft = FOREIGN_DRAFT_INIT;
	if (foreign_draft_begin_unnamed(&draft) < 0 || is_on_disk_of(&draft, shelf))
		return -ENOSPC;
	warn_of_full(shelf, o);
	return make(o, call, &draft, ret, e);
}

/* Where nothing can be written, say a read-only disk, no shelf is better than none. */
static int open_foreign(const struct archive_opening *o, const struct call *call,
	struct made *ret, struct error *e)
{
	CLEANUP(foreign_shelf_finish) struct foreign_shelf shelf = {.dir = -1};
	bool keep = o->cache_dir && *o->cache_dir && !o->unsure;
	int r = keep ? foreign_shelf_open(o->cache_dir, o->cache_size, &shelf) : -ENOENT;
	if (r == 0)
		r = open_shelved(&shelf, o, call, ret, e);
	else
		r = open_unshelved(o, call, ret, e);
	if ((r == -EROFS || r == -EACCES) && shelf.dir >= 0)
		r = open_unshelved(o, call, ret, e);
	else if (r == -ENOSPC && shelf.dir >= 0)
		r = open_beside(&shelf, o, call, ret, e);
	else if (r == -ETIMEDOUT && shelf.dir >= 0 && o->unfinished)
		o->unfinished(o->arg);
	return r;
}

int archive_open_any(const struct archive_opening *o, const struct call *call,
	struct archive **ret, struct range_source **ret_local, struct error *e)
{
	bool foreign = false;
	int r = archive_load(
		o->source, call, o->tail, o->tail_len, o->name, ret, &foreign, e);
	if (r == 0)
		*ret_local = NULL;
	if (r == 0 || !foreign)
		return r;
	struct made made = {0};
	r = open_foreign(o, call, &made, e);
	if (r < 0)
		return r;
	*ret = made.archive;
	*ret_local = made.local;
	return 0;
}
