#include "archive/walk.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "archive/format.h"
#include "archive/link_map.h"
#include "fetch/base/vec.h"

#define LABEL_SIZE  600                  /* bytes of a path in a message */
#define DENTS_SIZE  (64u << 10)          /* bytes */
#define NAMES_LIMIT (UINT64_C(64) << 30) /* bytes: more than a tree may hold */
#define OPEN_FLAGS  (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

DEFINE_VEC(offset_vec, size_t);

/* A directory on the way down. Its names are the part of walk.names and walk.items from
 * here to the next level. */
struct level {
	uint32_t entry;
	int fd; /* owned; -1: closed to save descriptors */
	dev_t device;
	ino_t inode;
	bool may_be_lazy; /* its file system: see rouse() */
	size_t names;     /* where its names begin */
	size_t items;     /* where its items begin */
	size_t next;      /* the item to look at next */
};

DEFINE_VEC(level_vec, struct level);

struct walk {
	struct walk_options options;
	const char *top;         /* borrowed */
	struct tree *tree;       /* borrowed */
	struct level_vec levels; /* the last is the deepest */
	size_t first_open;       /* level; those before it are closed */
	struct buf names;        /* NUL-ended names of all levels */
	struct offset_vec items; /* into names, sorted by name in each level */
	struct link_map links;
	struct buf path; /* scratch */
	uint64_t left_out;
	char dents[DENTS_SIZE];
};

/* What a vanished or replaced thing is called: the tree did not hold still. */
static int as_change(int r)
{
	return r == -ENOENT || r == -ENOTDIR || r == -ELOOP || r == -ESTALE ? -EBUSY : r;
}

/* As error_set(), for `child` (NULL: itself) of entry `dir`. */
static int fail(struct walk *w, struct error *e, int r, uint32_t dir, const char *child,
	const char *doing)
{
	char label[LABEL_SIZE];
	tree_label(w->tree, w->top, dir, child, label, sizeof(label));
	r = as_change(r);
	if (r == -EBUSY)
		return error_set(e, r, "'%s' changed while it was being packed", label);
	if (r == -ENAMETOOLONG || r == -E2BIG)
		return error_set(
			e, -EFBIG, "'%s' is past what an archive can hold", label);
	return error_recode(error_set_errno(e, r, "cannot %s '%s'", doing, label), e);
}

static struct level *deepest(struct walk *w)
{
	return &w->levels.data[w->levels.len - 1];
}

static int keep_name(struct walk *w, const char *name)
{
	int r = offset_vec_push(&w->items, w->names.len);
	return r < 0 ? r : buf_append(&w->names, name, strlen(name) + 1);
}

static bool is_dots(const char *name)
{
	return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

static int keep_dents(struct walk *w, size_t len)
{
	for (size_t at = 0; at < len;) {
		const struct dirent64 *d = (const struct dirent64 *)(w->dents + at);
		int r = is_dots(d->d_name) ? 0 : keep_name(w, d->d_name);
		if (r < 0)
			return r;
		at += d->d_reclen;
	}
	return 0;
}

static int compare_items(const void *a, const void *b, void *names)
{
	const char *base = names;
	return strcmp(base + *(const size_t *)a, base + *(const size_t *)b);
}

/* Reads all names of the deepest level, in the order of their bytes. */
static int read_names(struct walk *w)
{
	struct level *l = deepest(w);
	for (;;) {
		ssize_t len = getdents64(l->fd, w->dents, sizeof(w->dents));
		if (len < 0)
			return -errno;
		if (len == 0)
			break;
		int r = keep_dents(w, (size_t)len);
		if (r < 0)
			return r;
	}
	if (w->items.len > l->items)
		qsort_r(w->items.data + l->items, w->items.len - l->items,
			sizeof(w->items.data[0]), compare_items, w->names.data);
	return 0;
}

/* Makes room for one more open directory; the deepest stays open. */
static void limit_open(struct walk *w)
{
	while (w->levels.len - w->first_open >= WALK_OPEN_MAX)
		cleanup_close(&w->levels.data[w->first_open++].fd);
}

/* Goes down into entry `dir`, which fd (taken over, also on failure) is open on and which
 * was seen as st. */
static int descend(
	struct walk *w, uint32_t dir, int fd, const struct stat *st, bool may_be_lazy)
{
	limit_open(w);
	struct level l = {
		.entry = dir,
		.fd = fd,
		.device = st->st_dev,
		.inode = st->st_ino,
		.may_be_lazy = may_be_lazy,
		.names = w->names.len,
		.items = w->items.len,
		.next = w->items.len,
	};
	int r = level_vec_push(&w->levels, l);
	if (r < 0) {
		close(fd);
		return r;
	}
	return read_names(w);
}

/* Opens the level above the deepest again, through the deepest. */
static int reopen_above(struct walk *w)
{
	struct level *l = &w->levels.data[w->levels.len - 2];
	l->fd = openat(deepest(w)->fd, "..", OPEN_FLAGS);
	struct stat st;
	if (l->fd < 0 || fstat(l->fd, &st) < 0)
		return -errno;
	w->first_open = w->levels.len - 2;
	return st.st_dev == l->device && st.st_ino == l->inode ? 0 : -EBUSY;
}

static int ascend(struct walk *w)
{
	int r = 0;
	if (w->levels.len > 1 && w->first_open == w->levels.len - 1)
		r = reopen_above(w);
	struct level *l = deepest(w);
	cleanup_close(&l->fd);
	w->names.len = l->names;
	w->items.len = l->items;
	w->levels.len--;
	return r;
}

static mode_t mode_for_archive(const struct walk *w, mode_t mode)
{
	if (S_ISDIR(mode) || w->options.keep_set_id)
		return mode;
	return mode & ~(mode_t)(S_ISUID | S_ISGID);
}

static void fill_facts(
	const struct walk *w, struct tree_entry *entry, const struct stat *st)
{
	entry->mode = (uint16_t)mode_for_archive(w, st->st_mode);
	entry->uid = st->st_uid;
	entry->gid = st->st_gid;
	entry->size = S_ISREG(st->st_mode) ? (uint64_t)st->st_size : 0;
	entry->inode = st->st_ino;
	entry->stamp = tree_stamp(st);
	entry->facts = tree_facts(st);
	entry->linked = st->st_nlink > 1;
	entry->mtime_s = w->options.fixed_mtime ? w->options.mtime_s : st->st_mtim.tv_sec;
	entry->mtime_ns = w->options.fixed_mtime ? 0 : (uint32_t)st->st_mtim.tv_nsec;
}

static int read_target(
	struct walk *w, int dirfd, const char *name, struct tree_entry *entry)
{
	char target[TARGET_LIMIT + 1];
	ssize_t len = readlinkat(dirfd, name, target, sizeof(target));
	if (len < 0)
		return errno == EINVAL ? -EBUSY : -errno;
	if (len == 0 || len > TARGET_LIMIT)
		return -ENAMETOOLONG;
	entry->target = tree_keep(w->tree, target, (size_t)len);
	entry->size = (uint64_t)len;
	return entry->target ? 0 : -ENOMEM;
}

static int read_xattrs(
	struct walk *w, int dirfd, const char *name, struct tree_entry *entry)
{
	struct xattrs *x = NULL;
	int r = xattrs_read(dirfd, name, &x);
	if (r < 0)
		return r;
	entry->xattrs = x;
	return tree_own(w->tree, x);
}

/* Tells whether the inode was met before; then the entry is another name of it. */
static int find_primary(struct walk *w, struct tree_entry *entry, const struct stat *st)
{
	if (st->st_nlink < 2 || S_ISDIR(st->st_mode))
		return 0;
	uint32_t self = tree_count(w->tree) - 1, first;
	int r = link_map_meet(&w->links, st->st_dev, st->st_ino, self, &first);
	if (r < 0 || first == self)
		return r;
	const struct tree_entry *primary = tree_entry(w->tree, first);
	if (primary->stamp != entry->stamp && !tree_is_relinked(primary, st))
		return -EBUSY;
	entry->primary = first;
	return 0;
}

/* A lazy file system tells of a directory that nobody has looked into what it has at hand
 * (larderfs, of a key that was only listed), and the kernel keeps that for a while. So
 * any name is looked up in it, and the kernel is made to ask anew; whether that works out
 * shows in what is asked next. */
static void rouse(int fd)
{
	struct stat below;
	struct statx fresh;
	fstatat(fd, ".larder", &below, AT_SYMLINK_NOFOLLOW);
	statx(fd, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &fresh);
}

/* An overlay, which a container's root is too, may lie over one that is lazy. */
static bool is_maybe_lazy(int fd)
{
	struct statfs fs;
	return fstatfs(fd, &fs) == 0 &&
	       (fs.f_type == FUSE_SUPER_MAGIC || fs.f_type == OVERLAYFS_SUPER_MAGIC);
}

static int open_below(struct walk *w, int dirfd, const char *name, const struct stat *st)
{
	CLEANUP(cleanup_close) int fd = openat(dirfd, name, OPEN_FLAGS);
	if (fd < 0)
		return -errno;
	const struct level *above = deepest(w);
	bool may_be_lazy = above->may_be_lazy;
	if (st->st_dev != above->device)
		may_be_lazy = is_maybe_lazy(fd);
	if (may_be_lazy)
		rouse(fd);
	struct stat now;
	if (fstat(fd, &now) < 0)
		return -errno;
	if (now.st_ino != st->st_ino || now.st_dev != st->st_dev)
		return -EBUSY;
	uint32_t self = tree_count(w->tree) - 1;
	fill_facts(w, tree_entry(w->tree, self), &now);
	int r = read_xattrs(w, fd, "", tree_entry(w->tree, self));
	return r < 0 ? r : descend(w, self, steal_fd(&fd), &now, may_be_lazy);
}

/* What only this kind of entry has. */
static int fill_kind(struct walk *w, int dirfd, const char *name,
	struct tree_entry *entry, const struct stat *st)
{
	int r = find_primary(w, entry, st);
	if (r < 0 || entry->primary != TREE_NO_LINK)
		return r;
	if (S_ISLNK(st->st_mode))
		return read_target(w, dirfd, name, entry);
	if (S_ISDIR(st->st_mode))
		return open_below(w, dirfd, name, st);
	return read_xattrs(w, dirfd, name, entry);
}

static int append(
	struct walk *w, const char *name, const struct stat *st, struct error *e)
{
	struct level l = *deepest(w);
	struct tree_entry *entry;
	int r = tree_append(w->tree, name, &entry);
	if (r < 0)
		return fail(w, e, r, l.entry, name, "pack");
	entry->parent = l.entry;
	fill_facts(w, entry, st);
	r = fill_kind(w, l.fd, entry->name, entry, st);
	if (r < 0)
		return fail(w, e, r, tree_count(w->tree) - 1, NULL, "read");
	return 0;
}

/* What it is that is in no archive; NULL: nothing of the kind. */
static const char *misfit(const struct walk *w, const struct stat *st)
{
	const struct stat *cache = w->options.cache;
	mode_t mode = st->st_mode;
	if (cache && st->st_dev == cache->st_dev && st->st_ino == cache->st_ino)
		return "Larder's cache folder";
	if (S_ISREG(mode) || S_ISDIR(mode) || S_ISLNK(mode))
		return NULL;
	return S_ISSOCK(mode)                   ? "a socket"
	       : S_ISFIFO(mode)                 ? "a FIFO"
	       : S_ISCHR(mode) || S_ISBLK(mode) ? "a device"
						: "of an unknown kind";
}

static void leave_out(struct walk *w, const char *name, const char *what)
{
	w->left_out++;
	if (!w->options.warn)
		return;
	char label[LABEL_SIZE];
	struct error sentence;
	tree_label(w->tree, w->top, deepest(w)->entry, name, label, sizeof(label));
	error_set(&sentence, 0, "'%s' is %s and is left out", label, what);
	w->options.warn(w->options.arg, sentence.text);
}

static int is_excluded(struct walk *w, const char *name, mode_t mode, bool *ret)
{
	*ret = false;
	if (!w->options.excludes)
		return 0;
	int r = tree_path(w->tree, deepest(w)->entry, &w->path);
	if (r == 0 && w->path.len)
		r = buf_append_str(&w->path, "/");
	if (r == 0)
		r = buf_append_str(&w->path, name);
	if (r == 0)
		*ret = glob_set_matches(
			w->options.excludes, buf_str(&w->path), S_ISDIR(mode));
	return r == -EMSGSIZE ? -ENAMETOOLONG : r;
}

/* Looks at the deepest level's next name; *ret_appended is false when it is left out. */
static int take_next(struct walk *w, bool *ret_appended, struct error *e)
{
	struct level *l = deepest(w);
	const char *name = w->names.data + w->items.data[l->next++];
	struct stat st;
	if (fstatat(l->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return fail(w, e, -errno, l->entry, name, "look at");
	bool excluded;
	int r = is_excluded(w, name, st.st_mode, &excluded);
	if (r < 0)
		return fail(w, e, r, l->entry, name, "pack");
	*ret_appended = false;
	if (excluded)
		return 0;
	const char *what = misfit(w, &st);
	if (what) {
		leave_out(w, name, what);
		return 0;
	}
	r = append(w, name, &st, e);
	*ret_appended = r == 0;
	return r;
}

int walk_next(struct walk *w, bool *ret_more, struct error *e)
{
	bool appended = false;
	while (!appended && w->levels.len) {
		int r = 0;
		if (deepest(w)->next < w->items.len) {
			r = take_next(w, &appended, e);
		} else {
			uint32_t dir = deepest(w)->entry;
			r = ascend(w);
			if (r < 0)
				r = fail(w, e, r, tree_entry(w->tree, dir)->parent, NULL,
					"return to");
		}
		if (r < 0)
			return r;
	}
	*ret_more = appended;
	return 0;
}

static int begin(struct walk *w, int dirfd, struct error *e)
{
	CLEANUP(cleanup_close) int fd = openat(dirfd, ".", OPEN_FLAGS);
	struct stat st;
	if (fd >= 0)
		rouse(fd);
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_recode(
			error_set_errno(e, -errno, "cannot open '%s'", w->top), e);
	bool may_be_lazy = is_maybe_lazy(fd);
	struct tree_entry *root;
	int r = tree_append(w->tree, "", &root);
	if (r < 0)
		return error_set_errno(e, r, "cannot pack '%s'", w->top);
	fill_facts(w, root, &st);
	r = read_xattrs(w, fd, "", root);
	if (r == 0)
		r = descend(w, 0, steal_fd(&fd), &st, may_be_lazy);
	return r < 0 ? fail(w, e, r, 0, NULL, "read") : 0;
}

int walk_new(int dirfd, const char *name, struct tree *tree,
	const struct walk_options *options, struct walk **ret, struct error *e)
{
	assert(tree_count(tree) == 0);
	CLEANUP(cleanup_walk) struct walk *w = calloc(1, sizeof(*w));
	if (!w)
		return error_set_errno(e, -ENOMEM, "cannot pack '%s'", name);
	w->options = *options;
	w->top = name;
	w->tree = tree;
	w->levels.max = DEPTH_LIMIT;
	buf_init(&w->names, NAMES_LIMIT);
	buf_init(&w->path, TREE_PATH_LIMIT);
	int r = begin(w, dirfd, e);
	if (r < 0)
		return r;
	*ret = steal_pointer(w);
	return 0;
}

void walk_free(struct walk *w)
{
	if (!w)
		return;
	for (size_t i = 0; i < w->levels.len; i++)
		cleanup_close(&w->levels.data[i].fd);
	level_vec_finish(&w->levels);
	buf_finish(&w->names);
	buf_finish(&w->path);
	offset_vec_finish(&w->items);
	link_map_finish(&w->links);
	free(w);
}

uint64_t walk_left_out(const struct walk *w)
{
	return w->left_out;
}
