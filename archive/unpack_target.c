#include "archive/unpack_target.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "archive/unpack_dirs.h"
#include "archive/unpack_temp.h"
#include "archive/unpack_private.h"

#define TRIES  100 /* random names */
#define WITHIN ".larder-" /* what a temporary tree's name begins with there */
#define BESIDE ".larder-" /* what follows the target's name in it */

/* error_set_errno() of what the system said of the tree: recoded. */
__attribute__((format(printf, 3, 4))) static int refused(
	struct error *e, int code, const char *format, ...)
{
	char sentence[ERROR_TEXT_SIZE];
	va_list ap;
	va_start(ap, format);
	vsnprintf(sentence, sizeof(sentence), format, ap);
	va_end(ap);
	return unpack_recode(error_set_errno(e, code, "%s", sentence), e);
}

/* but_temp: temporary trees do not count. */
static bool is_empty_dir(int fd, bool but_temp)
{
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP(cleanup_closedir) DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	if (!dir) {
		cleanup_close(&copy);
		return false;
	}
	for (struct dirent *d; (d = readdir(dir));)
		if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0 &&
			!(but_temp && unpack_temp_is_name(WITHIN, d->d_name)))
			return false;
	return true;
}

static bool is_current_dir(const struct stat *st)
{
	struct stat here;
	return stat(".", &here) == 0 && here.st_dev == st->st_dev &&
	       here.st_ino == st->st_ino;
}

static bool is_mount_point(int fd)
{
	struct statx sx;
	return statx(fd, "", AT_EMPTY_PATH, STATX_TYPE, &sx) == 0 &&
	       sx.stx_attributes & STATX_ATTR_MOUNT_ROOT;
}

/* Only where there is nothing else: a directory that is refused stays as it is. */
static void sweep_target(const struct unpack_target *t, const struct call *call)
{
	if (is_empty_dir(t->targetfd, true))
		unpack_temp_sweep(t->targetfd, WITHIN, call);
}

static int check_call(
	const struct unpack_target *t, const struct call *call, struct error *e)
{
	int r = call_check(call);
	return r < 0 ? error_set(e, r, "gave up unpacking to '%s'", t->path) : 0;
}

/* Opens the target when it exists, and sees whether it may be unpacked to. */
static int look_at_target(
	struct unpack_target *t, const struct call *call, struct error *e)
{
	t->targetfd = open(t->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;
	if (t->targetfd < 0 && errno == ENOENT && lstat(t->path, &st) < 0)
		return 0;
	if (t->targetfd < 0)
		return error_set_errno(e, -errno, "cannot unpack to '%s'", t->path);
	sweep_target(t, call);
	int r = check_call(t, call, e);
	if (r < 0)
		return r;
	if (!is_empty_dir(t->targetfd, false))
		return error_set(e, -ENOTEMPTY,
			"cannot unpack to '%s': it is not empty; empty it, or name "
			"another",
			t->path);
	if (fstat(t->targetfd, &st) < 0)
		return error_set_errno(e, -errno, "cannot look at '%s'", t->path);
	t->mode = st.st_mode & 07777;
	t->within = is_current_dir(&st) || is_mount_point(t->targetfd);
	return 0;
}

/* The last component of path, and where it begins; trailing slashes do not count. */
static const char *base_of(const char *path, size_t *ret_len)
{
	size_t end = strlen(path);
	while (end && path[end - 1] == '/')
		end--;
	size_t begin = end;
	while (begin && path[begin - 1] != '/')
		begin--;
	*ret_len = end - begin;
	return path + begin;
}

static int open_parent(struct unpack_target *t, struct error *e)
{
	CLEANUP(cleanup_free) char *real = NULL;
	if (t->targetfd >= 0 && !(real = realpath(t->path, NULL)))
		return error_set_errno(e, -errno, "cannot find '%s'", t->path);
	const char *path = real ? real : t->path;
	size_t len;
	const char *base = base_of(path, &len);
	if (!len || len > NAME_MAX)
		return error_set(e, len ? -ENAMETOOLONG : -EINVAL,
			"'%s' is no name for a directory", t->path);
	memcpy(t->name, base, len);
	t->name[len] = '\0';
	CLEANUP(cleanup_free)
	char *parent = base == path ? strdup(".") : strndup(path, (size_t)(base - path));
	if (!parent)
		return error_set(e, -ENOMEM, "no memory to unpack");
	t->parentfd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (t->parentfd < 0)
		return error_set_errno(e, -errno, "cannot open '%s', where '%s' shall be",
			parent, t->name);
	return 0;
}

/* What the names of temporary trees begin with. */
static void temp_prefix(const struct unpack_target *t, char ret[NAME_MAX + 1])
{
	if (t->within)
		strcpy(ret, WITHIN);
	else
		snprintf(ret, NAME_MAX + 1, ".%.*s" BESIDE,
			NAME_MAX - UNPACK_TEMP_SUFFIX - (int)sizeof("." BESIDE), t->name);
}

/* A tree within the target must not have the name of what is moved beside it. */
static bool name_is_taken(const struct unpack_target *t)
{
	uint32_t entry;
	return t->within && index_lookup(t->ix, 0, t->temp, strlen(t->temp), &entry) == 0;
}

static int make_temp(struct unpack_target *t)
{
	int where = t->within ? t->targetfd : t->parentfd;
	char prefix[NAME_MAX + 1];
	temp_prefix(t, prefix);
	int r = -EAGAIN;
	for (int i = 0; r == -EAGAIN && i < TRIES; i++) {
		r = unpack_temp_name(prefix, t->temp);
		if (r == 0)
			r = name_is_taken(t) ? -EAGAIN
					     : unpack_temp_make(where, t->temp, &t->fd);
	}
	if (r < 0)
		t->temp[0] = '\0';
	return r == -EAGAIN ? -EIO : r;
}

static int make_root(struct unpack_target *t)
{
	int r = make_temp(t);
	bool closed = r == -EACCES || r == -EPERM || r == -EROFS;
	if (t->within || !closed || t->targetfd < 0)
		return r;
	t->within = true;
	return make_temp(t);
}

static void sweep_beside(const struct unpack_target *t, const struct call *call)
{
	char prefix[NAME_MAX + 1];
	temp_prefix(t, prefix);
	unpack_temp_sweep(t->parentfd, prefix, call);
}

/* In a sticky directory only its owner, the target's and root can replace the target. */
static bool is_kept_by_sticky_bit(const struct unpack_target *t)
{
	uid_t me = geteuid();
	struct stat parent, target;
	return me != 0 && t->targetfd >= 0 && fstat(t->parentfd, &parent) == 0 &&
	       fstat(t->targetfd, &target) == 0 && parent.st_mode & S_ISVTX &&
	       parent.st_uid != me && target.st_uid != me;
}

int unpack_target_open(struct unpack_target *t, const char *path, const struct index *ix,
	const struct call *call, struct error *e)
{
	*t = (struct unpack_target){
		.ix = ix, .path = path, .parentfd = -1, .targetfd = -1, .fd = -1};
	int r = look_at_target(t, call, e);
	if (r == 0 && !t->within)
		r = open_parent(t, e);
	if (r < 0)
		return r;
	t->within |= is_kept_by_sticky_bit(t);
	if (!t->within)
		sweep_beside(t, call);
	r = check_call(t, call, e);
	if (r < 0)
		return r;
	r = make_root(t);
	return r < 0 ? error_set_errno(
			       e, r, "cannot make a directory to unpack '%s' in", path)
		     : 0;
}

int unpack_target_taken_off(struct unpack_target *t, mode_t *ret, struct error *e)
{
	static const char probe[] = ".mode";
	CLEANUP(cleanup_close)
	int fd = openat(
		t->fd, probe, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0777);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0 || unlinkat(t->fd, probe, 0) < 0)
		return refused(e, -errno, "cannot make a file below '%s'", t->path);
	*ret = 0777 & ~st.st_mode;
	return 0;
}

/* For file systems that cannot refuse to replace (NFS, much of FUSE): the name is taken
 * with something empty, and only that is replaced. A directory that somebody has put
 * something into meanwhile is not. */
static int move_over_own(struct unpack_target *t, const char *name, bool dir)
{
	CLEANUP(cleanup_close) int fd = -1;
	if (dir ? mkdirat(t->targetfd, name, 0700) < 0
		: (fd = openat(t->targetfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
			   0600)) < 0)
		return -errno;
	if (renameat(t->fd, name, t->targetfd, name) == 0)
		return 0;
	int r = -errno;
	unlinkat(t->targetfd, name, dir ? AT_REMOVEDIR : 0);
	return r;
}

/* The target was empty, but others may write to it: what they put there stays. */
static int move(struct unpack_target *t, const char *name, bool dir)
{
	if (renameat2(t->fd, name, t->targetfd, name, RENAME_NOREPLACE) == 0)
		return 0;
	bool unknown = errno == EINVAL || errno == ENOSYS;
	return unknown ? move_over_own(t, name, dir) : -errno;
}

/* Moves the children of the temporary tree's root up into the target. */
static int move_up(struct unpack_target *t, struct error *e)
{
	uint32_t count, first = index_children(t->ix, 0, &count);
	for (; t->moved < count; t->moved++) {
		uint32_t entry = first + t->moved;
		char name[NAME_LIMIT + 1];
		unpack_name(t->ix, entry, name);
		int r = move(t, name, S_ISDIR(index_mode(t->ix, entry)));
		if (r < 0)
			return refused(e, r, "cannot move '%s' into '%s'", name, t->path);
	}
	if (unlinkat(t->targetfd, t->temp, AT_REMOVEDIR) == 0)
		return 0;
	return refused(e, -errno, "cannot remove '%s'", t->temp);
}

int unpack_target_settle(struct unpack_target *t, int *ret_fd, struct error *e)
{
	*ret_fd = t->within ? t->targetfd : t->fd;
	return t->within ? move_up(t, e) : 0;
}

/* The system is asked, as root of a container may lack that right, too. */
bool unpack_target_is_ours(const struct unpack_target *t)
{
	struct stat st;
	bool theirs = t->within && fstat(t->targetfd, &st) == 0 &&
		      fchmod(t->targetfd, st.st_mode & 07777) < 0 && errno == EPERM;
	return !theirs;
}

int unpack_target_publish(struct unpack_target *t, struct error *e)
{
	if (!t->within && renameat(t->parentfd, t->temp, t->parentfd, t->name) < 0)
		return refused(e, -errno, "cannot put '%s' into place", t->path);
	t->temp[0] = '\0';
	return 0;
}

/* Both roots: a tree within the target may be half moved. What was not moved and has the
 * same name in the target is somebody else's. The last mode of either may keep us out. */
static void remove_all(struct unpack_target *t)
{
	if (t->fd >= 0) {
		fchmod(t->fd, 0700);
		unpack_remove_tree(t->ix, t->fd, UINT32_MAX);
	}
	if (t->moved) {
		fchmod(t->targetfd, t->mode);
		unpack_remove_tree(t->ix, t->targetfd, t->moved);
	}
	unlinkat(t->within ? t->targetfd : t->parentfd, t->temp, AT_REMOVEDIR);
}

void unpack_target_finish(struct unpack_target *t)
{
	if (t->temp[0])
		remove_all(t);
	cleanup_close(&t->fd);
	cleanup_close(&t->targetfd);
	cleanup_close(&t->parentfd);
}
