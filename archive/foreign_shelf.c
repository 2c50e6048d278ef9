#include "archive/foreign_shelf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/file.h>

#include "fetch/base/buf.h"
#include "fetch/base/cache_folder.h"
#include "fetch/base/cleanup.h"
#include "fetch/base/io.h"
#include "fetch/base/vec.h"

#define FOLDER       "converted"
#define NAME_SIZE    (DIGEST_HEX_SIZE + 8)
#define POLL_NS      (20 * NS_PER_MS) /* between looks at another process's lock */
#define PATH_SIZE    4096
#define SHELVED_MOST (1u << 20) /* files looked at */

static const char *const suffixes[] = {
	[FORM_CONVERTED] = ".larder",
	[FORM_PLAIN] = ".index",
};

#define DRAFT ".draft"

static void name_of(
	const struct digest *d, const char *suffix, char ret[static NAME_SIZE])
{
	digest_hex(d, ret);
	strcpy(ret + DIGEST_HEX_SIZE - 1, suffix);
}

/* --- the folder ----------------------------------------------------------------------
 */

/* Whoever else may write here could lay down an index of his own. */
static int check_owner(int dir)
{
	struct stat st;
	if (fstat(dir, &st) < 0)
		return -errno;
	return st.st_uid == geteuid() && !(st.st_mode & 022) ? 0 : -EPERM;
}

int foreign_shelf_open(const char *dir, uint64_t max, struct foreign_shelf *ret)
{
	CLEANUP(cleanup_close) int top = -1;
	int r = cache_folder_open(dir, &top, NULL);
	if (r < 0)
		return r;
	cache_folder_tag(top);
	if (mkdirat(top, FOLDER, 0700) < 0 && errno != EEXIST && errno != EROFS)
		return -errno;
	CLEANUP(cleanup_close)
	int fd = openat(top, FOLDER, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = check_owner(fd);
	if (r == 0)
		*ret = (struct foreign_shelf){
			.dir = steal_fd(&fd), .path = dir, .max = max};
	return r;
}

void foreign_shelf_finish(struct foreign_shelf *s)
{
	cleanup_close(&s->dir);
}

/* --- finding -------------------------------------------------------------------------
 */

int foreign_shelf_find(const struct foreign_shelf *s, const struct digest *d,
	enum foreign_form *ret_form, int *ret_fd)
{
	for (enum foreign_form form = FORM_CONVERTED; form <= FORM_PLAIN; form++) {
		char name[NAME_SIZE];
		name_of(d, suffixes[form], name);
		int fd = openat(s->dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			continue;
		const struct timespec now[2] = {
			{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_OMIT}};
		futimens(fd, now);
		*ret_form = form;
		*ret_fd = fd;
		return 0;
	}
	return -ENOENT;
}

static bool has_name(
	const struct foreign_shelf *s, const struct stat *what, const char *name)
{
	struct stat named;
	return fstatat(s->dir, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
	       what->st_ino == named.st_ino && what->st_dev == named.st_dev;
}

void foreign_shelf_remove(const struct foreign_shelf *s, const struct digest *d,
	enum foreign_form form, const struct stat *what)
{
	char name[NAME_SIZE];
	name_of(d, suffixes[form], name);
	if (has_name(s, what, name))
		unlinkat(s->dir, name, 0);
}

/* --- making room ---------------------------------------------------------------------
 */

struct shelved {
	char name[NAME_SIZE];
	uint64_t size;
	struct timespec used;
};

DEFINE_VEC(shelved_vec, struct shelved);

static int compare_use(const void *a, const void *b)
{
	const struct timespec *x = &((const struct shelved *)a)->used;
	const struct timespec *y = &((const struct shelved *)b)->used;
	if (x->tv_sec != y->tv_sec)
		return x->tv_sec < y->tv_sec ? -1 : 1;
	return (x->tv_nsec > y->tv_nsec) - (x->tv_nsec < y->tv_nsec);
}

/* Is it a name that name_of() makes? */
static bool is_name_of(const char *suffix, const char *name)
{
	char digits[DIGEST_HEX_SIZE];
	struct digest d;
	if (strlen(name) < sizeof(digits) || strcmp(name + sizeof(digits) - 1, suffix))
		return false;
	memcpy(digits, name, sizeof(digits) - 1);
	digits[sizeof(digits) - 1] = '\0';
	return digest_parse(digits, &d) == 0;
}

static bool is_shelved(const char *name)
{
	return is_name_of(suffixes[FORM_CONVERTED], name) ||
	       is_name_of(suffixes[FORM_PLAIN], name);
}

/* A draft that nobody holds is of a maker who died. */
static void sweep_draft(const struct foreign_shelf *s, const char *name)
{
	CLEANUP(cleanup_close)
	int fd = openat(s->dir, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
		unlinkat(s->dir, name, 0);
}

static int list_shelved(
	const struct foreign_shelf *s, struct shelved_vec *ret, uint64_t *ret_sum)
{
	int fd = openat(s->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP(cleanup_closedir) DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir)
		return -errno;
	struct dirent *d;
	while ((d = readdir(dir))) {
		struct stat st;
		struct shelved file;
		if (is_name_of(DRAFT, d->d_name))
			sweep_draft(s, d->d_name);
		if (!is_shelved(d->d_name) ||
			fstatat(s->dir, d->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		strcpy(file.name, d->d_name);
		file.size = (uint64_t)st.st_size;
		file.used = st.st_atim;
		*ret_sum += file.size;
		int r = shelved_vec_push(ret, file);
		if (r < 0)
			return r;
	}
	return 0;
}

static void make_room(const struct foreign_shelf *s)
{
	CLEANUP(shelved_vec_finish) struct shelved_vec all = {.max = SHELVED_MOST};
	uint64_t sum = 0;
	if (list_shelved(s, &all, &sum) < 0 || !s->max || sum <= s->max)
		return;
	qsort(all.data, all.len, sizeof(all.data[0]), compare_use);
	for (size_t i = 0; i + 1 < all.len && sum > s->max; i++)
		if (unlinkat(s->dir, all.data[i].name, 0) == 0)
			sum -= all.data[i].size;
}

/* --- drafts --------------------------------------------------------------------------
 */

/* flock(2) knows no deadline, so it is tried again and again. */
static int lock_patiently(int fd, const struct call *call)
{
	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return -errno;
		int r = call_pause(call, clock_monotonic_ns() + POLL_NS);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Whoever had the lock before may have renamed the file, or removed it. */
static bool still_has_name(const struct foreign_shelf *s, int fd, const char *name)
{
	struct stat held;
	return fstat(fd, &held) == 0 && has_name(s, &held, name);
}

int foreign_draft_begin(const struct foreign_shelf *s, const struct digest *d,
	const struct call *call, struct foreign_draft *ret)
{
	char name[NAME_SIZE];
	name_of(d, DRAFT, name);
	for (;;) {
		CLEANUP(cleanup_close)
		int found = -1;
		enum foreign_form form;
		CLEANUP(cleanup_close)
		int fd = openat(
			s->dir, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (fd < 0)
			return -errno;
		int r = lock_patiently(fd, call);
		if (r < 0)
			return r;
		bool ours = still_has_name(s, fd, name);
		if (foreign_shelf_find(s, d, &form, &found) == 0) {
			if (ours)
				unlinkat(s->dir, name, 0);
			return -EEXIST;
		}
		if (!ours)
			continue;
		if (ftruncate(fd, 0) < 0)
			return -errno;
		*ret = (struct foreign_draft){
			.shelf = s, .digest = *d, .fd = steal_fd(&fd)};
		return 0;
	}
}

static int open_unnamed(const char *folder)
{
	int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR))
		return fd < 0 ? -errno : fd;
	char path[PATH_SIZE];
	if (snprintf(path, sizeof(path), "%s/larder.XXXXXX", folder) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	unlink(path);
	return fd;
}

int foreign_draft_begin_unnamed(struct foreign_draft *ret)
{
	const char *const folders[] = {getenv("TMPDIR"), "/var/tmp", "/tmp"};
	int fd = -ENOENT;
	for (size_t i = 0; fd < 0 && i < sizeof(folders) / sizeof(folders[0]); i++)
		if (folders[i] && *folders[i])
			fd = open_unnamed(folders[i]);
	if (fd < 0)
		return fd;
	*ret = (struct foreign_draft){.fd = fd};
	return 0;
}

int foreign_draft_keep(struct foreign_draft *d, enum foreign_form form)
{
	char from[NAME_SIZE], to[NAME_SIZE];
	if (!d->shelf)
		return 0;
	name_of(&d->digest, DRAFT, from);
	name_of(&d->digest, suffixes[form], to);
	if (renameat(d->shelf->dir, from, d->shelf->dir, to) < 0)
		return -errno;
	const struct foreign_shelf *shelf = d->shelf;
	d->shelf = NULL;
	make_room(shelf);
	return 0;
}

void foreign_draft_finish(struct foreign_draft *d)
{
	if (d->shelf) {
		char name[NAME_SIZE];
		name_of(&d->digest, DRAFT, name);
		unlinkat(d->shelf->dir, name, 0);
		d->shelf = NULL;
	}
	cleanup_close(&d->fd);
}
