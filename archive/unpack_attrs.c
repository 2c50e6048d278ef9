#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "archive/unpack_private.h"
#include "fetch/base/lock.h"

int unpack_recode(int code, struct error *e)
{
	bool of_target = code == -ENOTDIR || code == -ENOTEMPTY;
	return error_recode(of_target ? -EIO : code, e);
}

int unpack_error(const struct unpack *u, uint32_t entry, int code, const char *what,
	struct error *e)
{
	char path[512];
	index_path(u->ix, entry, path, sizeof(path));
	error_set_errno(e, code, "cannot %s '%s'", what, *path ? path : ".");
	return unpack_recode(code, e);
}

mode_t unpack_file_mode(const struct unpack *u, uint32_t entry)
{
	return index_mode(u->ix, entry) & (u->options->preserve_owner ? 07777 : 01777);
}

/* Not a failure: other file systems than the packed one take other attributes. */
static void note_refused_xattr(struct unpack *u, uint32_t entry, int code)
{
	if (atomic_fetch_add(&u->xattrs_refused, 1))
		return;
	LOCK_SCOPE(&u->lock);
	u->refused_entry = entry;
	u->refused_code = code;
}

static void set_xattrs(struct unpack *u, uint32_t entry, int fd)
{
	size_t cursor = 0, name_len, value_len;
	const char *name;
	const void *value;
	while (index_xattr_next(
		u->ix, entry, &cursor, &name, &name_len, &value, &value_len)) {
		char text[XATTR_NAME_LIMIT + 1];
		memcpy(text, name, name_len);
		text[name_len] = '\0';
		if (fsetxattr(fd, text, value, value_len, 0) < 0)
			note_refused_xattr(u, entry, -errno);
	}
}

static void mtime_of(const struct entry_info *info, struct timespec ret[2])
{
	ret[0] = (struct timespec){.tv_nsec = UTIME_OMIT};
	ret[1] = info->mtime;
}

int unpack_attrs_file(
	struct unpack *u, uint32_t entry, int fd, bool known_mode, struct error *e)
{
	struct entry_info info;
	index_info(u->ix, entry, &info);
	set_xattrs(u, entry, fd);
	bool chown = info.has_owner && u->options->preserve_owner;
	if (chown && fchown(fd, info.uid, info.gid) < 0)
		return unpack_error(u, entry, -errno, "set the owner of", e);
	mode_t mode = unpack_file_mode(u, entry);
	bool right = known_mode && !chown && !(mode & (07000 | u->taken_off));
	if (!right && fchmod(fd, mode) < 0)
		return unpack_error(u, entry, -errno, "set the mode of", e);
	struct timespec times[2];
	mtime_of(&info, times);
	if (futimens(fd, times) < 0)
		return unpack_error(u, entry, -errno, "set the time of", e);
	return 0;
}

static int set_dir(struct unpack *u, uint32_t entry, int fd, struct error *e)
{
	struct entry_info info;
	index_info(u->ix, entry, &info);
	set_xattrs(u, entry, fd);
	if (info.has_owner && u->options->preserve_owner &&
		fchown(fd, info.uid, info.gid) < 0)
		return unpack_error(u, entry, -errno, "set the owner of", e);
	if (fchmod(fd, info.mode & 07777) < 0)
		return unpack_error(u, entry, -errno, "set the mode of", e);
	struct timespec times[2];
	mtime_of(&info, times);
	if (futimens(fd, times) < 0)
		return unpack_error(u, entry, -errno, "set the time of", e);
	return 0;
}

/* By descriptor: within a target that others may write to, a symlink may have taken the
 * directory's place, and fchmodat(2) would follow it. */
int unpack_attrs_dir(
	struct unpack *u, uint32_t entry, int parent, const char *name, struct error *e)
{
	CLEANUP(cleanup_close)
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return unpack_error(u, entry, -errno, "open", e);
	return set_dir(u, entry, fd, e);
}

int unpack_attrs_root(struct unpack *u, int fd, struct error *e)
{
	return set_dir(u, 0, fd, e);
}

/* It has neither user attributes nor a mode of its own. */
int unpack_attrs_symlink(
	struct unpack *u, uint32_t entry, int parent, const char *name, struct error *e)
{
	struct entry_info info;
	index_info(u->ix, entry, &info);
	if (info.has_owner && u->options->preserve_owner &&
		fchownat(parent, name, info.uid, info.gid, AT_SYMLINK_NOFOLLOW) < 0)
		return unpack_error(u, entry, -errno, "set the owner of", e);
	struct timespec times[2];
	mtime_of(&info, times);
	if (utimensat(parent, name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return unpack_error(u, entry, -errno, "set the time of", e);
	return 0;
}
