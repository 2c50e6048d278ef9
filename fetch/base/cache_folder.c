#include "fetch/base/cache_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "fetch/base/cleanup.h"
#include "fetch/base/io.h"

#define TAG_NAME "CACHEDIR.TAG"
#define TAG_TEXT                                                                         \
	"Signature: 8a477f597d28d172789f06886806bc55\n"                                  \
	"# Larder's chunk cache. See https://bford.info/cachedir/\n"
#define TAG_LEN (sizeof(TAG_TEXT) - 1)

/* --- whose is it ---------------------------------------------------------------------
 */

enum tag {
	TAG_OTHER, /* somebody else's, or there is none */
	TAG_BEGUN, /* no more than the beginning of our text, which may be nothing */
	TAG_OURS,
};

static enum tag tag_of(int fd)
{
	char text[TAG_LEN];
	struct stat st;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return TAG_OTHER;
	size_t len = (uint64_t)st.st_size < TAG_LEN ? (size_t)st.st_size : TAG_LEN;
	if (pread_exactly(fd, text, len, 0) < 0 || memcmp(text, TAG_TEXT, len) != 0)
		return TAG_OTHER;
	return len < TAG_LEN ? TAG_BEGUN : TAG_OURS;
}

static int open_tag(int dir, int flags)
{
	return openat(dir, TAG_NAME, flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
}

static enum tag tag_in(int dir)
{
	CLEANUP(cleanup_close) int fd = open_tag(dir, O_RDONLY);
	return fd < 0 ? TAG_OTHER : tag_of(fd);
}

static bool is_among(const char *name, const char *const *names)
{
	for (; *names; names++)
		if (!strcmp(name, *names))
			return true;
	return false;
}

/* What may be in a folder that no chunk cache was opened in yet. The tag may: a
 * conversion lays it, too, and a full disk or a kill leaves the beginning of one. */
static bool comes_before_chunks(int dir, const char *name)
{
	static const char *const names[] = {
		".", "..", "chunks", "converted", "probes", "lost+found", NULL};
	static const char overlay[] = "larder-overlay-";
	return is_among(name, names) || !strncmp(name, overlay, strlen(overlay)) ||
	       (!strcmp(name, TAG_NAME) && tag_in(dir) != TAG_OTHER);
}

static bool comes_with_chunks(const char *name)
{
	static const char *const names[] = {
		"claims", "lock", "size", "tmp", TAG_NAME, NULL};
	return is_among(name, names);
}

/* Do all names speak for a cache, or for one where chunks is there? 0 or -errno. */
static int look_at_names(DIR *d, bool *ret_ours, bool *ret_wants_chunks)
{
	const struct dirent *entry;
	bool ours = true, wants_chunks = false;
	while (errno = 0, ours && (entry = readdir(d))) {
		const char *name = entry->d_name;
		if (comes_before_chunks(dirfd(d), name))
			continue;
		wants_chunks = true;
		ours = comes_with_chunks(name);
	}
	*ret_ours = ours;
	*ret_wants_chunks = wants_chunks;
	return -errno;
}

/* Another process may be making it a cache just now: so chunks, which comes first, is
 * looked for last. 0 or -errno. */
static int judge_names(int dir, bool *ret_ours)
{
	CLEANUP(cleanup_close)
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP(cleanup_closedir) DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d)
		return -errno;
	steal_fd(&fd);
	bool ours, wants_chunks;
	int r = look_at_names(d, &ours, &wants_chunks);
	if (r == 0)
		*ret_ours = ours && (!wants_chunks || faccessat(dir, "chunks", F_OK,
							      AT_SYMLINK_NOFOLLOW) == 0);
	return r;
}

static int check_content(int dir, const char *name, struct error *e)
{
	bool ours = tag_in(dir) == TAG_OURS;
	int r = ours ? 0 : judge_names(dir, &ours);
	if (r < 0)
		return error_set_errno(e, r, "cannot look into cache folder '%s'", name);
	if (!ours)
		return error_set(
			e, -EPERM, "'%s' is not empty and is no cache of Larder's", name);
	return 0;
}

/* --- who may touch it ----------------------------------------------------------------
 */

static int check_owner(const struct stat *st, const char *name, struct error *e)
{
	if (st->st_uid == geteuid())
		return 0;
	return error_set(e, -EPERM,
		"cache folder '%s' belongs to user %u, and this is user %u", name,
		(unsigned)st->st_uid, (unsigned)geteuid());
}

/* Others who may write here could have laid anything; those who may read are shut out. */
static int shut_others_out(
	int dir, const struct stat *st, const char *name, struct error *e)
{
	if (st->st_mode & 022)
		return error_set(e, -EPERM,
			"cache folder '%s' may be written by others; run: chmod 700 '%s'",
			name, name);
	if (st->st_mode & 055 && fchmod(dir, 0700) < 0)
		return error_set(e, -EPERM,
			"cache folder '%s' may be read by others and cannot be closed: "
			"%s",
			name, strerror(errno));
	return 0;
}

int cache_folder_open(const char *name, int *ret_fd, struct error *e)
{
	struct stat st;
	int r = make_directories(name, 0700);
	if (r < 0)
		return error_set_errno(e, r, "cannot make cache folder '%s'", name);
	CLEANUP(cleanup_close) int dir = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return error_set_errno(e, -errno, "cannot open cache folder '%s'", name);
	if (fstat(dir, &st) < 0)
		return error_set_errno(
			e, -errno, "cannot look at cache folder '%s'", name);
	r = check_owner(&st, name, e);
	if (r == 0)
		r = check_content(dir, name, e);
	if (r == 0)
		r = shut_others_out(dir, &st, name, e);
	if (r == 0)
		*ret_fd = steal_fd(&dir);
	return r;
}

bool cache_folder_find(const char *name, struct stat *ret)
{
	struct stat st;
	CLEANUP(cleanup_close) int dir = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || fstat(dir, &st) < 0 || check_content(dir, name, NULL) < 0)
		return false;
	*ret = st;
	return true;
}

/* To write the same twice does no harm, so nobody asks who began it. */
void cache_folder_tag(int dir)
{
	CLEANUP(cleanup_close) int fd = open_tag(dir, O_RDWR | O_CREAT);
	if (fd >= 0 && tag_of(fd) == TAG_BEGUN)
		pwrite_fully(fd, TAG_TEXT, TAG_LEN, 0);
}
