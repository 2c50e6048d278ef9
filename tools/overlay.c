#include "tools/overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "archive/xattrs.h"
#include "fetch/base/cache_folder.h"
#include "fetch/base/cleanup.h"
#include "fetch/base/io.h"
#include "fetch/base/log.h"
#include "fetch/base/path_within.h"
#include "tools/remove_tree.h"
#include "tools/unmount.h"

#define HOME_NAME "larder-overlay-"

void overlay_part(const char *home, const char *part, char *ret)
{
	snprintf(ret, PATH_MAX, "%s/%s", home, part);
}

/* --- HOME ------------------------------------------------------------------------------
 */

/* An upper layer needs extended attributes, whiteouts and renames of the local kind. */
static bool can_hold_upper(const char *path)
{
	static const unsigned long refused[] = {
		OVERLAYFS_SUPER_MAGIC,
		FUSE_SUPER_MAGIC,
		NFS_SUPER_MAGIC,
		SMB_SUPER_MAGIC,
		CIFS_SUPER_MAGIC,
		SMB2_SUPER_MAGIC,
		CEPH_SUPER_MAGIC,
		AFS_FS_MAGIC,
		V9FS_MAGIC,
		MSDOS_SUPER_MAGIC,
		EXFAT_SUPER_MAGIC,
		ECRYPTFS_SUPER_MAGIC,
		SQUASHFS_MAGIC,
	};
	struct statfs fs;
	if (statfs(path, &fs) < 0)
		return false;
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		if ((unsigned long)fs.f_type == refused[i])
			return false;
	return true;
}

static int make_parts(const char *home)
{
	static const char *const parts[] = {"lower", "upper", "work"};
	char path[PATH_MAX];
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		overlay_part(home, parts[i], path);
		if (mkdir(path, 0700) < 0)
			return -errno;
	}
	return 0;
}

/* Makes HOME below a directory. -EOPNOTSUPP: the file system there will not do. */
static int make_below(const char *directory, char *ret)
{
	char resolved[PATH_MAX];
	if (make_directories(directory, 0700) < 0 || !realpath(directory, resolved))
		return -errno;
	if (!can_hold_upper(resolved))
		return -EOPNOTSUPP;
	if (strlen(resolved) + sizeof("/" HOME_NAME "XXXXXX/lower") > PATH_MAX)
		return -ENAMETOOLONG;
	stpcpy(stpcpy(ret, resolved), "/" HOME_NAME "XXXXXX");
	if (!mkdtemp(ret))
		return -errno;
	int r = make_parts(ret);
	if (r < 0)
		remove_tree(ret);
	return r;
}

/* In the cache directory, if it is one. */
static int make_in_cache(const char *directory, char *ret)
{
	CLEANUP(cleanup_close) int dir = -1;
	int r = cache_folder_open(directory, &dir, NULL);
	return r < 0 ? r : make_below(directory, ret);
}

static bool is_fit(const char *place, const char *point)
{
	return place && *place && !path_within(place, point);
}

static int make_somewhere(const char *cache_dir, const char *point, char *ret)
{
	const char *const others[] = {getenv("XDG_RUNTIME_DIR"), "/tmp"};
	int r = is_fit(cache_dir, point) ? make_in_cache(cache_dir, ret) : -ENOENT;
	for (size_t i = 0; r < 0 && i < sizeof(others) / sizeof(others[0]); i++)
		if (is_fit(others[i], point))
			r = make_below(others[i], ret);
	return r;
}

int overlay_home_make(const char *given, const char *cache_dir, const char *point,
	char *ret, struct error *e)
{
	if (given && path_within(given, point))
		return error_set(e, -EINVAL,
			"--upper-dir '%s' is in the mountpoint '%s', which will cover it",
			given, point);
	int r = given ? make_below(given, ret) : make_somewhere(cache_dir, point, ret);
	if (r == 0)
		return 0;
	if (given && r != -EOPNOTSUPP)
		return error_set(e, -EINVAL, "cannot use --upper-dir '%s': %s", given,
			strerror(-r));
	if (given)
		return error_set(e, -EINVAL,
			"--upper-dir '%s' is on a file system that cannot take what an "
			"overlay writes; ext4, xfs, btrfs and tmpfs can",
			given);
	return error_set(e, -EIO,
		"neither the cache directory nor '/tmp' can take what an overlay writes; "
		"name a directory on ext4, xfs, btrfs or tmpfs with --upper-dir");
}

/* --- mounting --------------------------------------------------------------------------
 */

/* Names are relative to HOME, so that no character in its path needs an escape. What is
 * mounted is called by HOME's path, by which it is found again. */
static int mount_kernels(const char *home, const char *point)
{
	static const char *const ways[] = {
		/* a link, a chmod or a chown copies no content up */
		"lowerdir=lower,upperdir=upper,workdir=work,metacopy=on",
		/* in a user namespace */
		"lowerdir=lower,upperdir=upper,workdir=work,userxattr",
		"lowerdir=lower,upperdir=upper,workdir=work",
	};
	CLEANUP(cleanup_close) int here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (here < 0 || chdir(home) < 0)
		return -errno;
	int r = -EINVAL;
	for (size_t i = 0; r < 0 && i < sizeof(ways) / sizeof(ways[0]); i++) {
		r = mount(home, point, "overlay", MS_NOSUID | MS_NODEV, ways[i]) < 0
			    ? -errno
			    : 0;
		log_debug("overlay with '%s': %s", ways[i], strerror(-r));
	}
	if (fchdir(here) < 0)
		log_debug("cannot go back: %s", strerror(errno));
	return r;
}

static int mount_fuse(const char *home, const char *point, bool allow_other)
{
	const char *const words[] = {"fuse-overlayfs", "-o",
		"lowerdir=lower,upperdir=upper,workdir=work", point,
		allow_other ? "-oallow_other" : NULL, NULL};
	int r = run_program(words, home, NULL, false);
	return r > 0 ? -EIO : r;
}

/* Notes whose HOME it is. */
static int note_point(const char *home, const char *point)
{
	char path[PATH_MAX];
	overlay_part(home, "point", path);
	return symlink(point, path) < 0 ? -errno : 0;
}

/* To an overlay these say what to do; the ones of a key were written for another one. */
static bool is_overlays_own(const char *name)
{
	return !strncmp(name, "user.overlay.", strlen("user.overlay.")) ||
	       !strncmp(name, "user.fuseoverlayfs.", strlen("user.fuseoverlayfs."));
}

/* As far as the upper layer's file system takes them. */
static void copy_xattrs(const char *from, const char *to)
{
	CLEANUP(cleanup_free) struct xattrs *all = NULL;
	struct xattr x;
	size_t cursor = 0;
	int r = xattrs_read(AT_FDCWD, from, &all);
	if (r < 0)
		log_debug("the xattrs of '%s' cannot be read: %s", from, strerror(-r));
	while (xattrs_next(all, &cursor, &x)) {
		char name[XATTR_NAME_MAX + 1];
		snprintf(name, sizeof(name), "%.*s", (int)x.name_len, x.name);
		if (!is_overlays_own(name) &&
			setxattr(to, name, x.value, x.value_len, 0) < 0)
			log_debug("'%s' takes no xattr '%s': %s", to, name,
				strerror(errno));
	}
}

/* The merged root shows what the upper layer's root says of itself. */
static int liken_roots(const char *home)
{
	char lower[PATH_MAX], upper[PATH_MAX];
	struct stat st;
	overlay_part(home, "lower", lower);
	overlay_part(home, "upper", upper);
	if (stat(lower, &st) < 0)
		return -errno;
	copy_xattrs(lower, upper); /* first: its mode may forbid it */
	if (chmod(upper, st.st_mode & 07777) < 0)
		return -errno;
	if (chown(upper, st.st_uid, st.st_gid) < 0) /* only root may give things away */
		log_debug("'%s' keeps its owner: %s", upper, strerror(errno));
	const struct timespec times[] = {st.st_atim, st.st_mtim};
	return utimensat(AT_FDCWD, upper, times, 0) < 0 ? -errno : 0;
}

int overlay_mount(const char *home, const char *point, bool allow_other, struct error *e)
{
	int r = liken_roots(home);
	if (r == 0)
		r = note_point(home, point);
	if (r < 0)
		return error_set_errno(e, r, "cannot prepare '%s'", home);
	int kernels = mount_kernels(home, point);
	if (kernels == 0)
		return 0;
	r = mount_fuse(home, point, allow_other);
	if (r == 0)
		return 0;
	if (r == -ENOENT)
		return error_set(e, -EIO,
			"cannot mount an overlay on '%s': the kernel says \"%s\", and "
			"'fuse-overlayfs' is not installed; be root, or install that",
			point, strerror(-kernels));
	return error_set(e, -EIO,
		"cannot mount an overlay on '%s': 'fuse-overlayfs' failed", point);
}

/* --- found again -----------------------------------------------------------------------
 */

struct search {
	const char *point;
	char *home; /* "": not found yet */
};

/* Anybody can mount a larderfs on a directory of this name, and let a link in it name
 * what is ours. */
static bool is_private(const char *home)
{
	struct stat st;
	return lstat(home, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid() &&
	       !(st.st_mode & 077);
}

static bool is_home(const char *path)
{
	return strstr(path, "/" HOME_NAME) && is_private(path);
}

static bool is_home_of(const char *home, const char *wanted)
{
	char path[PATH_MAX], point[PATH_MAX];
	if (!is_home(home))
		return false;
	overlay_part(home, "point", path);
	ssize_t got = readlink(path, point, sizeof(point) - 1);
	if (got <= 0)
		return false;
	point[got] = '\0';
	return strcmp(point, wanted) == 0;
}

/* Later mounts lie on earlier ones, so the last that fits is the one that is seen. */
static void consider(void *arg, const struct mount_line *m)
{
	const struct search *s = arg;
	char home[PATH_MAX];
	size_t len = strlen(m->mountpoint), tail = strlen("/lower");
	if (strcmp(m->type, "fuse.larderfs") != 0 || len <= tail ||
		strcmp(m->mountpoint + len - tail, "/lower") != 0)
		return;
	snprintf(home, sizeof(home), "%.*s", (int)(len - tail), m->mountpoint);
	if (is_home_of(home, s->point))
		strcpy(s->home, home);
}

/* Nobody is asked who could keep us waiting. */
static void consider_ours(void *arg, const struct mount_line *m)
{
	if (m->user == (int64_t)geteuid())
		consider(arg, m);
}

bool overlay_home_of(const char *point, char *ret)
{
	struct mount_facts facts;
	struct search search = {point, ret};
	*ret = '\0';
	if (mount_facts_of(point, &facts, NULL) < 0 || !facts.mounted)
		return false;
	if (!strcmp(facts.type, "overlay") && is_home(facts.source))
		strcpy(ret, facts.source);
	if (!strcmp(facts.type, "fuse.fuse-overlayfs"))
		mounts_each(consider, &search, NULL);
	return *ret;
}

bool overlay_home_left(const char *point, char *ret)
{
	struct mount_facts facts;
	struct search search = {point, ret};
	*ret = '\0';
	return mount_facts_of(point, &facts, NULL) == 0 && !facts.mounted &&
	       mounts_each(consider_ours, &search, NULL) == 0 && *ret;
}

struct elsewhere {
	const char *home, *point;
	char *ret; /* "": not found */
};

static void consider_elsewhere(void *arg, const struct mount_line *m)
{
	const struct elsewhere *s = arg;
	if (!strcmp(m->type, "overlay") && !strcmp(m->source, s->home) &&
		strcmp(m->mountpoint, s->point) != 0)
		strcpy(s->ret, m->mountpoint);
}

bool overlay_is_elsewhere(const char *home, const char *point, char *ret)
{
	struct elsewhere search = {home, point, ret};
	*ret = '\0';
	return mounts_each(consider_elsewhere, &search, NULL) == 0 && *ret;
}

int overlay_lock(const char *home, int *ret, struct error *e)
{
	CLEANUP(cleanup_close)
	int fd = open(home, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int r = fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 ? -errno : 0;
	if (r == -EWOULDBLOCK || r == -ENOENT)
		return error_set(e, -EIO,
			"another process is mounting or unmounting what is in '%s'",
			home);
	if (r < 0)
		return error_set(e, -EIO, "cannot lock '%s': %s", home, strerror(-r));
	*ret = steal_fd(&fd);
	return 0;
}

/* --- afterwards ------------------------------------------------------------------------
 */

int overlay_check_keep(const char *home, const char *wanted, char *ret, struct error *e)
{
	struct stat there, parent, ours;
	if (mountpoint_resolve(wanted, ret, e) < 0)
		return error_prefix(e, "--keep-upper "), -EINVAL;
	if (lstat(wanted, &there) == 0 || lstat(ret, &there) == 0)
		return error_set(
			e, -EINVAL, "--keep-upper '%s' is there already", wanted);
	char above[PATH_MAX];
	strcpy(above, ret);
	*strrchr(above, '/') = '\0';
	if (stat(*above ? above : "/", &parent) < 0 || stat(home, &ours) < 0)
		return error_set_errno(e, -errno, "--keep-upper '%s'", wanted);
	if (parent.st_dev != ours.st_dev)
		return error_set(e, -EINVAL,
			"--keep-upper '%s' is on another file system than '%s'", wanted,
			home);
	return 0;
}

static int keep_upper(const char *home, const char *keep, struct error *e)
{
	char upper[PATH_MAX];
	overlay_part(home, "upper", upper);
	if (rename(upper, keep) < 0)
		return error_set_errno(e, -errno,
			"what was written stays in '%s': cannot move it to '%s'", upper,
			keep);
	return 0;
}

int overlay_dispose(const char *home, const char *keep, bool lazy, struct error *e)
{
	char lower[PATH_MAX];
	struct mount_facts facts;
	overlay_part(home, "lower", lower);
	int r = mount_facts_of(lower, &facts, e);
	if (r == 0 && facts.mounted)
		r = lazy ? unmount(lower, true, e) : unmount_lower(lower, e);
	bool gone = r == 0 || r == -ETIMEDOUT; /* the mount, if not its daemon */
	if (!gone)
		return error_prefix(e,
			       *keep ? "what was written stays in '%s': "
				     : "'%s' stays: ",
			       home),
		       r;
	int cleared = *keep ? keep_upper(home, keep, e) : 0;
	if (cleared < 0)
		return cleared;
	cleared = remove_tree(home);
	return cleared < 0 ? error_set_errno(e, cleared, "cannot remove '%s'", home) : r;
}
