#include "fetch/file_temp.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fetch/base/cleanup.h"
#include "fetch/beneath.h"
#include "fetch/nonce.h"

#define TEMP_DIRECTORY ".larder/tmp"
#define TEMP_MODE      0666 /* less the umask: an object is as readable as other files */
#define PROC_NAME_SIZE 40
#define NAMES_TRIED    64 /* never so many are lost to sweepers in a row */

static void drop_name(struct file_temp *t)
{
	if (t->name[0])
		unlinkat(t->dir, t->name, 0);
	t->name[0] = '\0';
}

/* A sweeper that came between open and flock may hold the lock, or have removed the name
 * already: then this file is lost and another one is made. Some file systems count no
 * links; there the name tells. */
static bool claim(const struct file_temp *t)
{
	struct stat st;
	if (flock(t->fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
		return false;
	if (fstat(t->fd, &st) == 0 && st.st_nlink > 0)
		return true;
	return fstatat(t->dir, t->name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* One try. -EAGAIN: the name was taken, or the file is lost. */
static int try_named(struct file_temp *t)
{
	int r = nonce_new(t->name);
	if (r < 0)
		return r;
	t->fd = openat(t->dir, t->name,
		O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, TEMP_MODE);
	if (t->fd < 0) {
		r = errno == EEXIST ? -EAGAIN : -errno;
		t->name[0] = '\0'; /* it is another's */
		return r;
	}
	if (claim(t))
		return 0;
	drop_name(t);
	cleanup_close(&t->fd);
	return -EAGAIN;
}

static int new_named(int root, struct file_temp *t)
{
	t->dir = beneath_make_directory(root, TEMP_DIRECTORY);
	if (t->dir < 0)
		return t->dir;
	int r = -EAGAIN;
	for (int i = 0; r == -EAGAIN && i < NAMES_TRIED; i++)
		r = try_named(t);
	return r == -EAGAIN ? -EIO : r;
}

/* An unnamed file gets its name through /proc; without that it is of no use. */
static bool has_proc(void)
{
	return access("/proc/self/fd", X_OK) == 0;
}

int file_temp_new(int root, bool named, struct file_temp *ret)
{
	struct file_temp t = FILE_TEMP_INIT;
	if (!named && has_proc())
		t.fd = openat(root, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, TEMP_MODE);
	if (t.fd >= 0)
		flock(t.fd, LOCK_EX | LOCK_NB); /* for when it gets a name */
	int r = t.fd >= 0 ? 0 : new_named(root, &t);
	if (r < 0) {
		file_temp_finish(&t);
		return r;
	}
	*ret = t;
	return 0;
}

void file_temp_finish(struct file_temp *t)
{
	drop_name(t);
	cleanup_close(&t->fd);
	cleanup_close(&t->dir);
}

/* Said of a way to give a name, not of this file or this name. */
static bool is_no_way(int error)
{
	return error == EINVAL || error == ENOSYS || error == EPERM ||
	       error == EOPNOTSUPP;
}

static int link_unnamed(int fd, int dir, const char *name)
{
	char proc[PROC_NAME_SIZE];
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	if (linkat(AT_FDCWD, proc, dir, name, AT_SYMLINK_FOLLOW) == 0)
		return 0;
	return is_no_way(errno) ? -EOPNOTSUPP : -errno;
}

/* One step where the file system can; else the file has two names for a moment. */
static int link_named(struct file_temp *t, int dir, const char *name)
{
	if (renameat2(t->dir, t->name, dir, name, RENAME_NOREPLACE) == 0) {
		t->name[0] = '\0';
		return 0;
	}
	if (!is_no_way(errno))
		return -errno;
	if (linkat(t->dir, t->name, dir, name, 0) < 0)
		return is_no_way(errno) ? -EOPNOTSUPP : -errno;
	drop_name(t);
	return 0;
}

static int flush(int fd)
{
	return fsync(fd) < 0 && errno != EINVAL && errno != EROFS ? -errno : 0;
}

int file_temp_link(struct file_temp *t, int dir, const char *name)
{
	int r = flush(t->fd);
	if (r < 0)
		return r;
	r = t->name[0] ? link_named(t, dir, name)
		       : link_unnamed(t->fd, dir, name);
	return r < 0 ? r : flush(dir);
}

int file_temp_try_link(int root)
{
	CLEANUP(file_temp_finish) struct file_temp t = FILE_TEMP_INIT;
	char name[NONCE_SIZE];
	int r = file_temp_new(root, false, &t);
	if (r < 0 || !t.name[0])
		return r;
	r = nonce_new(name);
	if (r == 0)
		r = link_named(&t, t.dir, name);
	if (r == 0)
		unlinkat(t.dir, name, 0);
	return r;
}

static int give_name(struct file_temp *t, int root)
{
	if (t->name[0])
		return 0;
	if (t->dir < 0)
		t->dir = beneath_make_directory(root, TEMP_DIRECTORY);
	if (t->dir < 0)
		return t->dir;
	char name[NONCE_SIZE];
	int r = nonce_new(name);
	if (r == 0)
		r = link_unnamed(t->fd, t->dir, name);
	if (r == 0)
		snprintf(t->name, sizeof(t->name), "%s", name);
	return r;
}

int file_temp_replace(struct file_temp *t, int root, int dir, const char *name)
{
	int r = flush(t->fd);
	if (r == 0)
		r = give_name(t, root);
	if (r < 0)
		return r;
	if (renameat(t->dir, t->name, dir, name) < 0)
		return -errno;
	t->name[0] = '\0';
	return flush(dir);
}

/* The lock says that the maker is dead; the name must still be that file's. */
static void sweep_one(int dir, const char *name)
{
	CLEANUP(cleanup_close)
	int fd = openat(dir, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat held, named;
	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 || fstat(fd, &held) < 0 ||
		fstatat(dir, name, &named, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	if (S_ISREG(held.st_mode) && held.st_ino == named.st_ino &&
		held.st_dev == named.st_dev)
		unlinkat(dir, name, 0);
}

void file_temp_sweep(int root)
{
	CLEANUP(cleanup_close)
	int fd = beneath_open(root, TEMP_DIRECTORY, O_RDONLY | O_DIRECTORY);
	CLEANUP(cleanup_closedir) DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d)
		return;
	int dir = steal_fd(&fd);
	const struct dirent *entry;
	while ((entry = readdir(d)))
		if (entry->d_name[0] != '.')
			sweep_one(dir, entry->d_name);
}
