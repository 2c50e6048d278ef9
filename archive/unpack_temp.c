#include "archive/unpack_temp.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fetch/base/cleanup.h"

#define DIGITS 8
#define DEAD   ".dead"

int unpack_temp_name(const char *prefix, char ret[NAME_MAX + 1])
{
	uint32_t random;
	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return -errno;
	snprintf(ret, NAME_MAX + 1, "%s%08" PRIx32, prefix, random);
	return 0;
}

bool unpack_temp_is_name(const char *prefix, const char *name)
{
	size_t len = strlen(prefix);
	if (strncmp(name, prefix, len) != 0 ||
		strspn(name + len, "0123456789abcdef") != DIGITS)
		return false;
	const char *rest = name + len + DIGITS;
	return !*rest || strcmp(rest, DEAD) == 0;
}

static int open_dir(int where, const char *name)
{
	return openat(where, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static bool has_name(int fd, int where, const char *name)
{
	struct stat held, named;
	return fstat(fd, &held) == 0 &&
	       fstatat(where, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
	       held.st_ino == named.st_ino && held.st_dev == named.st_dev;
}

/* Who sweeps may come between mkdir and flock: then he has the lock, or had it and has
 * taken the name away. */
static int claim(int fd, int where, const char *name)
{
	struct stat st;
	bool lost = flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK;
	return lost || fstatat(where, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? -EAGAIN : 0;
}

int unpack_temp_make(int where, const char *name, int *ret_fd)
{
	if (mkdirat(where, name, 0700) < 0)
		return errno == EEXIST ? -EAGAIN : -errno;
	CLEANUP(cleanup_close) int fd = open_dir(where, name);
	int r = fd >= 0 ? claim(fd, where, name) : errno == ENOENT ? -EAGAIN : -errno;
	if (r < 0)
		unlinkat(where, name, AT_REMOVEDIR);
	else
		*ret_fd = steal_fd(&fd);
	return r;
}

/* --- removing --------------------------------------------------------------------------
 */

/* What is deep comes up: every directory is moved into the root before it is emptied. */
struct removal {
	const struct call *call;
	int root; /* borrowed */
	dev_t dev;
	uint64_t moved; /* directories, for their new names */
	bool progress;
};

static DIR *list(int dir)
{
	int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	if (!d)
		cleanup_close(&copy);
	return d;
}

typedef void entry_fn(struct removal *r, int dir, const char *name);

/* Removes what is no directory in dir, and hands each directory to `fn`. */
static void for_each(struct removal *r, int dir, entry_fn *fn)
{
	CLEANUP(cleanup_closedir) DIR *d = list(dir);
	const struct dirent *entry;
	while (d && call_check(r->call) == 0 && (entry = readdir(d))) {
		const char *name = entry->d_name;
		if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
			continue;
		if (unlinkat(dir, name, 0) == 0)
			r->progress = true;
		else if (errno == EISDIR)
			fn(r, dir, name);
	}
}

/* entry_fn. A directory that its owner may not write to cannot be moved. */
static void move_up(struct removal *r, int dir, const char *name)
{
	char up[32];
	fchmodat(dir, name, 0700, AT_SYMLINK_NOFOLLOW);
	snprintf(up, sizeof(up), ".larder-%" PRIu64, r->moved++);
	if (renameat(dir, name, r->root, up) == 0)
		r->progress = true;
}

/* entry_fn, of the root. */
static void remove_child(struct removal *r, int root, const char *name)
{
	struct stat st;
	fchmodat(root, name, 0700, AT_SYMLINK_NOFOLLOW);
	CLEANUP(cleanup_close) int fd = open_dir(root, name);
	if (fd < 0 || fstat(fd, &st) < 0 || st.st_dev != r->dev)
		return;
	for_each(r, fd, move_up);
	if (unlinkat(root, name, AT_REMOVEDIR) == 0)
		r->progress = true;
}

static void remove_tree(int where, const char *name, int root, const struct call *call)
{
	struct stat st;
	struct removal r = {.call = call, .root = root, .progress = true};
	if (fstat(root, &st) < 0)
		return;
	r.dev = st.st_dev;
	fchmod(root, 0700);
	while (r.progress && unlinkat(where, name, AT_REMOVEDIR) < 0) {
		r.progress = false;
		for_each(&r, root, remove_child);
	}
}

/* Holds the lock: renames the tree, unless that was done by one who was killed then. */
static int declare_dead(int where, const char *name, char ret[NAME_MAX + 1])
{
	bool done = strlen(name) > sizeof(DEAD) &&
		    strcmp(name + strlen(name) - strlen(DEAD), DEAD) == 0;
	int len = snprintf(ret, NAME_MAX + 1, "%s%s", name, done ? "" : DEAD);
	return len > NAME_MAX || renameat(where, name, where, ret) < 0 ? -EIO : 0;
}

static void sweep_one(int where, const char *name, const struct call *call)
{
	struct stat st;
	char dead[NAME_MAX + 1];
	CLEANUP(cleanup_close) int fd = open_dir(where, name);
	if (fd < 0 || fstat(fd, &st) < 0 || st.st_uid != geteuid())
		return;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0 || !has_name(fd, where, name))
		return;
	if (declare_dead(where, name, dead) == 0)
		remove_tree(where, dead, fd, call);
}

void unpack_temp_sweep(int where, const char *prefix, const struct call *call)
{
	CLEANUP(cleanup_closedir) DIR *d = list(where);
	const struct dirent *entry;
	while (d && call_check(call) == 0 && (entry = readdir(d)))
		if (unpack_temp_is_name(prefix, entry->d_name))
			sweep_one(where, entry->d_name, call);
}
