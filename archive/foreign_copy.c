#include "archive/foreign_copy.h"

#include <string.h>
#include <sys/stat.h>

struct foreign_copy {
	struct range_source base;
	struct range_source *file; /* owned */
	char *shelf_path;          /* owned */
	struct digest digest;
	struct stat what; /* the file */
	char *name;       /* owned */
};

static int copy_read(struct range_source *base, const struct call *call, uint64_t offset,
	size_t len, void *buf, struct error *e)
{
	const struct foreign_copy *c = (const struct foreign_copy *)base;
	return range_source_read(c->file, call, offset, len, buf, e);
}

static void copy_condemn(struct range_source *base, struct error *e)
{
	const struct foreign_copy *c = (const struct foreign_copy *)base;
	CLEANUP(foreign_shelf_finish) struct foreign_shelf shelf = {.dir = -1};
	if (foreign_shelf_open(c->shelf_path, 0, &shelf) == 0)
		foreign_shelf_remove(&shelf, &c->digest, FORM_CONVERTED, &c->what);
	error_set(e, -EBADMSG,
		"what '%s' was converted to is damaged on this machine's disk; the next "
		"opening converts it anew",
		c->name);
}

static void copy_free(struct range_source *base)
{
	struct foreign_copy *c = (struct foreign_copy *)base;
	range_source_free(c->file);
	free(c->shelf_path);
	free(c->name);
	free(c);
}

static const struct range_source_ops copy_ops = {
	.read = copy_read,
	.condemn = copy_condemn,
	.free = copy_free,
};

int foreign_copy_new(const struct foreign_shelf *shelf, const struct digest *d, int fd,
	const char *name, struct range_source **ret, struct error *e)
{
	CLEANUP(cleanup_close) int owned = fd;
	struct foreign_copy *c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	*c = (struct foreign_copy){
		.base = {.ops = &copy_ops},
		.shelf_path = strdup(shelf->path),
		.digest = *d,
		.name = strdup(name),
	};
	CLEANUP(cleanup_range_source) struct range_source *made = &c->base;
	if (!c->shelf_path || !c->name)
		return -ENOMEM;
	if (fstat(owned, &c->what) < 0)
		return error_set_errno(e, -errno, "cannot look at an open file");
	int r = file_source_new(steal_fd(&owned), &c->file, e);
	if (r < 0)
		return r;
	made->size = c->file->size;
	*ret = steal_pointer(made);
	return 0;
}
