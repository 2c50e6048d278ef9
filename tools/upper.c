#include "tools/upper.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fetch/base/buf.h"
#include "fetch/base/cleanup.h"
#include "tools/overlay.h"
#include "tools/session.h"

/* What the kernel marks a file or directory of the upper layer with. */
#define MARK_NO_CONTENT "trusted.overlay.metacopy"
#define MARK_MOVED      "trusted.overlay.redirect"

#define SHOWN_MAX                                                                        \
	384 /* bytes of a path; of a longer one the name, for the reason to fit */

/* A directory, as the upper layer and as the mount shows it. */
struct level {
	const struct level *above; /* NULL: the root */
	const char *name;
	DIR *upper;
	DIR *merged;
	bool moved; /* or below one that was */
};

struct walk {
	const char *home;
	const struct mounted *mount;
	struct error *e;
	bool *looked; /* at what the mount shows of a directory that was moved */
};

static int put_path(const struct level *l, struct buf *b)
{
	if (!l->above)
		return 0;
	int r = put_path(l->above, b);
	return r < 0 ? r : buf_printf(b, "%s/", l->name);
}

static int refuse(
	const struct walk *w, const struct level *l, const char *name, const char *why)
{
	CLEANUP(buf_finish) struct buf path = BUF_INIT(SHOWN_MAX);
	int r = put_path(l, &path);
	if (r == 0)
		r = buf_append_str(&path, name);
	return error_set(w->e, -EIO,
		"cannot keep '%s' whole: %s; nothing is unmounted, and what was "
		"written is in '%s/upper'",
		r < 0 ? name : buf_str(&path), why, w->home);
}

/* 1, 0 or -errno. */
static int is_marked(int fd, const char *mark)
{
	if (fgetxattr(fd, mark, NULL, 0) >= 0)
		return 1;
	return errno == ENODATA || errno == ENOTSUP ? 0 : -errno;
}

/* Is there less of it in the upper layer than its name and attributes say? 1, 0, -errno.
 */
static int lacks_something(const struct level *l, const char *name)
{
	struct stat st;
	if (fstatat(dirfd(l->upper), name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 1 : -errno;
	if (!S_ISREG(st.st_mode))
		return 0;
	CLEANUP(cleanup_close)
	int fd = openat(dirfd(l->upper), name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : is_marked(fd, MARK_NO_CONTENT);
}

/* held: an O_PATH descriptor in the mount. To be opened for writing takes a file's
 * content up; to be given its own times, all else, and those are what copying content
 * changes. */
static int copy_up(int held)
{
	struct stat st;
	if (fstat(held, &st) < 0)
		return -errno;
	if (S_ISREG(st.st_mode)) {
		char path[64];
		snprintf(path, sizeof(path), "/proc/self/fd/%d", held);
		CLEANUP(cleanup_close) int fd = open(path, O_WRONLY | O_CLOEXEC);
		if (fd < 0)
			return -errno;
	}
	const struct timespec times[] = {st.st_atim, st.st_mtim};
	return utimensat(held, "", times, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

/* Is what the mount holds of the version that was changed? NULL: yes; else why nobody
 * knows. */
static const char *why_unknown(const struct mounted *m)
{
	int64_t overwrites = mounted_overwrites(m);
	if (overwrites < 0)
		return strerror((int)-overwrites);
	return overwrites ? "a key was overwritten in the store meanwhile" : NULL;
}

/* 0, -errno, or what refuse() returned. */
static int complete_one(const struct walk *w, const struct level *l, const char *name)
{
	if (session_signal())
		return error_set(w->e, -ECANCELED, "interrupted; nothing is unmounted");
	int r = lacks_something(l, name);
	if (r <= 0)
		return r < 0 ? refuse(w, l, name, strerror(-r)) : 0;
	/* The file is held before its key is asked about: looking it up may be what finds
	 * another version, and what is held is not taken for one that comes later. */
	CLEANUP(cleanup_close)
	int held = openat(dirfd(l->merged), name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (held < 0)
		return refuse(w, l, name, strerror(errno));
	const char *why = why_unknown(w->mount);
	if (why)
		return refuse(w, l, name, why);
	r = copy_up(held);
	return r < 0 ? refuse(w, l, name, strerror(-r)) : 0;
}

static int complete_directory(const struct walk *w, const struct level *l);

static DIR *open_below(DIR *above, const char *name)
{
	int fd = openat(
		dirfd(above), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? NULL : fdopendir(fd);
}

static int descend(const struct walk *w, const struct level *above, const char *name)
{
	CLEANUP(cleanup_closedir) DIR *upper = open_below(above->upper, name);
	CLEANUP(cleanup_closedir)
	DIR *merged = upper ? open_below(above->merged, name) : NULL;
	if (!merged)
		return refuse(w, above, name, strerror(errno));
	int moved = above->moved ? 1 : is_marked(dirfd(upper), MARK_MOVED);
	if (moved < 0)
		return refuse(w, above, name, strerror(-moved));
	*w->looked |= moved;
	const struct level l = {above, name, upper, merged, moved};
	return complete_directory(w, &l);
}

static bool is_directory(DIR *in, const char *name)
{
	struct stat st;
	return fstatat(dirfd(in), name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISDIR(st.st_mode);
}

/* Of a directory that was moved all that it shows is wanted, of others what is in the
 * upper layer. */
static int complete_directory(const struct walk *w, const struct level *l)
{
	for (;;) {
		errno = 0;
		const struct dirent *d = readdir(l->moved ? l->merged : l->upper);
		if (!d)
			return errno ? refuse(w, l, "", strerror(errno)) : 0;
		if (!strcmp(d->d_name, ".") || !strcmp(d->d_name, ".."))
			continue;
		int r = complete_one(w, l, d->d_name);
		if (r == 0 && is_directory(l->upper, d->d_name))
			r = descend(w, l, d->d_name);
		if (r < 0)
			return r;
	}
}

int upper_complete(const char *home, const struct mounted *m, struct error *e)
{
	char path[PATH_MAX];
	overlay_part(home, "upper", path);
	CLEANUP(cleanup_closedir) DIR *upper = opendir(path);
	CLEANUP(cleanup_closedir) DIR *merged = upper ? opendir(m->point) : NULL;
	if (!merged)
		return error_set(e, -EIO, "cannot look into '%s': %s",
			upper ? m->point : path, strerror(errno));
	bool looked = false;
	const struct walk w = {home, m, e, &looked};
	const struct level root = {NULL, "", upper, merged, false};
	int r = complete_directory(&w, &root);
	/* It may have been another version's. */
	const char *why = r == 0 && looked ? why_unknown(m) : NULL;
	return why ? refuse(&w, &root, ".", why) : r;
}
