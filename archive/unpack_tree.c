#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "archive/unpack_private.h"
#include "fetch/base/log.h"

static int make_symlink(struct unpack *u, uint32_t entry, int parent, struct error *e)
{
	char name[NAME_LIMIT + 1], text[TARGET_LIMIT + 1];
	size_t len;
	const char *target = index_target(u->ix, entry, &len);
	memcpy(text, target, len);
	text[len] = '\0';
	unpack_name(u->ix, entry, name);
	if (symlinkat(text, parent, name) < 0)
		return unpack_error(u, entry, -errno, "make the link", e);
	return unpack_attrs_symlink(u, entry, parent, name, e);
}

/* A worker that needed it may have made the directory already. */
static int make_directory(struct unpack *u, uint32_t entry, int parent, struct error *e)
{
	char name[NAME_LIMIT + 1];
	unpack_name(u->ix, entry, name);
	if (mkdirat(parent, name, 0700) < 0 && errno != EEXIST)
		return unpack_error(u, entry, -errno, "make the directory", e);
	return 0;
}

static int make_children(
	struct unpack *u, struct unpack_dirs *dirs, uint32_t dir, struct error *e)
{
	uint32_t count, first = index_children(u->ix, dir, &count);
	int fd = -1;
	for (uint32_t entry = first; entry < first + count; entry++) {
		mode_t mode = index_mode(u->ix, entry);
		if (S_ISREG(mode) || index_primary(u->ix, entry) != entry)
			continue;
		int r = fd < 0 ? unpack_dirs_open(dirs, dir, &fd) : 0;
		if (r < 0)
			return unpack_error(u, dir, r, "open the directory", e);
		r = S_ISDIR(mode) ? make_directory(u, entry, fd, e)
				  : make_symlink(u, entry, fd, e);
		if (r < 0)
			return r;
	}
	return 0;
}

int unpack_make_tree(struct unpack *u, struct error *e)
{
	CLEANUP(unpack_dirs_finish) struct unpack_dirs dirs;
	unpack_dirs_init(&dirs, u->rootfd, u->ix, true);
	int r = 0;
	for (uint32_t i = 0; r == 0 && i < index_count(u->ix); i++) {
		if (!S_ISDIR(index_mode(u->ix, i)))
			continue;
		r = call_check(u->call);
		if (r < 0 || atomic_load(&u->failed))
			return r;
		r = make_children(u, &dirs, i, e);
	}
	return r;
}

static int make_link(struct unpack *u, struct unpack_dirs *from, struct unpack_dirs *to,
	size_t i, struct error *e)
{
	uint32_t entry, primary;
	index_link(u->ix, i, &entry, &primary);
	char old_name[NAME_LIMIT + 1], new_name[NAME_LIMIT + 1];
	unpack_name(u->ix, primary, old_name);
	unpack_name(u->ix, entry, new_name);
	int old_fd = -1, new_fd = -1;
	int r = unpack_dirs_open(from, index_parent(u->ix, primary), &old_fd);
	if (r == 0)
		r = unpack_dirs_open(to, index_parent(u->ix, entry), &new_fd);
	if (r == 0 && linkat(old_fd, old_name, new_fd, new_name, 0) < 0)
		r = -errno;
	return r < 0 ? unpack_error(u, entry, r, "make the hard link", e) : 0;
}

int unpack_make_links(struct unpack *u, struct error *e)
{
	CLEANUP(unpack_dirs_finish) struct unpack_dirs from;
	CLEANUP(unpack_dirs_finish) struct unpack_dirs to;
	unpack_dirs_init(&from, u->rootfd, u->ix, false);
	unpack_dirs_init(&to, u->rootfd, u->ix, false);
	int r = 0;
	for (size_t i = 0; r == 0 && i < index_link_count(u->ix); i++) {
		r = call_check(u->call);
		if (r == 0)
			r = make_link(u, &from, &to, i, e);
	}
	return r;
}

/* Children have higher numbers than their parents, so going down in numbers a directory
 * is closed to us only after all it holds is done. */
int unpack_finish_dirs(struct unpack *u, struct error *e)
{
	CLEANUP(unpack_dirs_finish) struct unpack_dirs dirs;
	unpack_dirs_init(&dirs, u->rootfd, u->ix, false);
	int r = 0;
	for (uint32_t i = index_count(u->ix) - 1; r == 0 && i > 0; i--) {
		if (!S_ISDIR(index_mode(u->ix, i)))
			continue;
		r = call_check(u->call);
		if (r < 0)
			return r;
		int parent = -1;
		char name[NAME_LIMIT + 1];
		unpack_name(u->ix, i, name);
		r = unpack_dirs_open(&dirs, index_parent(u->ix, i), &parent);
		if (r < 0)
			return unpack_error(u, i, r, "open the directory of", e);
		r = unpack_attrs_dir(u, i, parent, name, e);
	}
	return r;
}

/* A tree below an open directory, or its beginning. */
struct part {
	const struct index *ix;
	int rootfd;
	uint32_t end; /* of the root's children: the first that is not in it */
	bool whole;
};

static bool is_in(const struct part *p, uint32_t entry)
{
	if (p->whole)
		return true;
	for (uint32_t up; (up = index_parent(p->ix, entry)) != 0;)
		entry = up;
	return entry < p->end;
}

static bool is_dir_in(const struct part *p, uint32_t entry)
{
	return S_ISDIR(index_mode(p->ix, entry)) && is_in(p, entry);
}

/* What unpack_finish_dirs() did may keep us out: undone from the top down. */
static void open_all_dirs(const struct part *p)
{
	CLEANUP(unpack_dirs_finish) struct unpack_dirs dirs;
	unpack_dirs_init(&dirs, p->rootfd, p->ix, false);
	for (uint32_t i = 1; i < index_count(p->ix); i++) {
		int parent;
		char name[NAME_LIMIT + 1];
		if (!is_dir_in(p, i) ||
			unpack_dirs_open(&dirs, index_parent(p->ix, i), &parent) < 0)
			continue;
		unpack_name(p->ix, i, name);
		if (fchmodat(parent, name, 0700, AT_SYMLINK_NOFOLLOW) < 0)
			log_debug("cannot open up '%s': %s", name, strerror(errno));
	}
}

static void remove_children(const struct part *p, struct unpack_dirs *dirs, uint32_t dir)
{
	uint32_t count, first = index_children(p->ix, dir, &count);
	uint32_t end = dir ? first + count : p->end;
	int fd;
	if (!count || unpack_dirs_open(dirs, dir, &fd) < 0)
		return;
	for (uint32_t entry = first; entry < end; entry++) {
		char name[NAME_LIMIT + 1];
		unpack_name(p->ix, entry, name);
		unlinkat(fd, name, S_ISDIR(index_mode(p->ix, entry)) ? AT_REMOVEDIR : 0);
	}
}

void unpack_remove_tree(const struct index *ix, int rootfd, uint32_t children)
{
	uint32_t count, first = index_children(ix, 0, &count);
	const struct part p = {
		.ix = ix,
		.rootfd = rootfd,
		.end = first + (children < count ? children : count),
		.whole = children >= count,
	};
	open_all_dirs(&p);
	CLEANUP(unpack_dirs_finish) struct unpack_dirs dirs;
	unpack_dirs_init(&dirs, rootfd, ix, false);
	for (uint32_t i = index_count(ix) - 1; i > 0; i--)
		if (is_dir_in(&p, i))
			remove_children(&p, &dirs, i);
	remove_children(&p, &dirs, 0);
}
