#include "tools/file_checksum.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "archive/glob.h"
#include "fetch/base/cleanup.h"
#include "fetch/base/vec.h"

#define READ_SIZE (64u << 10)

DEFINE_VEC(path_vec, char *);

static void paths_finish(struct path_vec *paths)
{
	for (size_t i = 0; i < paths->len; i++)
		free(paths->data[i]);
	path_vec_finish(paths);
}

static int compare_paths(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort_and_unite(struct path_vec *paths)
{
	if (!paths->len)
		return;
	qsort(paths->data, paths->len, sizeof(*paths->data), compare_paths);
	size_t kept = 1;
	for (size_t i = 1; i < paths->len; i++)
		if (strcmp(paths->data[kept - 1], paths->data[i]) != 0)
			paths->data[kept++] = paths->data[i];
		else
			free(paths->data[i]);
	paths->len = kept;
}

/* --- searching -----------------------------------------------------------------------
 */

struct search {
	int dirfd;
	const char *pattern;
	unsigned depth; /* most slashes of a path */
	struct path_vec *found;
	struct error *e;
	char path[PATH_MAX]; /* what is looked at: one for all levels, which may be many */
};

static unsigned count_slashes(const char *text)
{
	unsigned n = 0;
	for (; *text; text++)
		n += *text == '/';
	return n;
}

static int add(const struct search *s)
{
	char *copy = strdup(s->path);
	int r = copy ? path_vec_push(s->found, copy) : -ENOMEM;
	if (r == 0)
		return 0;
	free(copy);
	return error_set_errno(s->e, r, "cannot search for '%s'", s->pattern);
}

static int search_directory(struct search *s);

/* After stat(2): 0 when there is nothing, or no longer. Whatever else it says may hide a
 * file that belongs to the sum. */
static int fail_unless_gone(const struct search *s)
{
	int r = -errno;
	if (r == -ENOENT || r == -ENOTDIR || r == -ELOOP)
		return 0;
	return error_set_errno(s->e, r, "cannot look at '%s'", s->path);
}

/* A link to a file counts as the file, a link to a directory or to nothing as nothing. */
static int look_at(struct search *s)
{
	struct stat st;
	if (fstatat(s->dirfd, s->path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return fail_unless_gone(s);
	if (S_ISDIR(st.st_mode))
		return count_slashes(s->path) < s->depth ? search_directory(s) : 0;
	if (!glob_match(s->pattern, s->path))
		return 0;
	if (S_ISLNK(st.st_mode) && fstatat(s->dirfd, s->path, &st, 0) < 0)
		return fail_unless_gone(s);
	return S_ISREG(st.st_mode) ? add(s) : 0;
}

static int search_failed(const struct search *s, int r)
{
	return error_set_errno(s->e, r, "cannot search the directory '%s'",
		*s->path ? s->path : ".");
}

static int look_at_child(struct search *s, const char *name)
{
	size_t len = strlen(s->path);
	const char *slash = len && strcmp(s->path, "/") != 0 ? "/" : "";
	if (!strcmp(name, ".") || !strcmp(name, ".."))
		return 0;
	if (len + strlen(slash) + strlen(name) >= sizeof(s->path))
		return search_failed(s, -ENAMETOOLONG);
	stpcpy(stpcpy(s->path + len, slash), name);
	int r = look_at(s);
	s->path[len] = '\0';
	return r;
}

/* s->path: "" or with a slash only where it is the root; the same afterwards. */
static int search_directory(struct search *s)
{
	CLEANUP(cleanup_close)
	int fd = openat(s->dirfd, *s->path ? s->path : ".",
		O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP(cleanup_closedir) DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d && errno == ENOENT)
		return 0;
	if (!d)
		return search_failed(s, -errno);
	steal_fd(&fd);
	int r = 0;
	while (r == 0) {
		errno = 0;
		const struct dirent *entry = readdir(d);
		if (!entry)
			return errno ? search_failed(s, -errno) : 0;
		r = look_at_child(s, entry->d_name);
	}
	return r;
}

static bool is_literal(const char *pattern)
{
	return !strpbrk(pattern, "*?[\\");
}

/* The directory before the first wildcard: "a/b" of "a/b/x*"; all of it when there is none.
 * A pattern that escapes something is searched for from the top. */
static int split_pattern(const char *pattern, char ret[static PATH_MAX])
{
	size_t fixed = strcspn(pattern, "*?[\\");
	if (!is_literal(pattern)) {
		while (fixed && pattern[fixed - 1] != '/')
			fixed--;
		if (fixed > 1)
			fixed--;
	}
	if (fixed >= PATH_MAX)
		return -ENAMETOOLONG;
	memcpy(ret, pattern, fixed);
	ret[fixed] = '\0';
	return 0;
}

static int find(int dirfd, const char *pattern, struct path_vec *found, struct error *e)
{
	while (!strncmp(pattern, "./", 2))
		pattern += 2;
	unsigned depth = strstr(pattern, "**") ? UINT_MAX : count_slashes(pattern);
	struct search s = {dirfd, pattern, depth, found, e, ""};
	size_t before = found->len;
	int r = split_pattern(pattern, s.path);
	if (r < 0)
		return error_set_errno(e, r, "'%s'", pattern);
	r = is_literal(pattern) ? look_at(&s) : search_directory(&s);
	if (r == 0 && found->len == before)
		return error_set(e, -ENOENT, "no file matches '%s'", pattern);
	return r;
}

/* --- hashing --------------------------------------------------------------------------
 */

static int hash_stream(int fd, struct hasher *h, struct digest *ret)
{
	CLEANUP(cleanup_free) char *buf = malloc(READ_SIZE);
	if (!buf)
		return -ENOMEM;
	for (;;) {
		ssize_t n = read(fd, buf, READ_SIZE);
		if (n < 0 && errno == EINTR)
			continue;
		int r = n < 0 ? -errno : hasher_update(h, buf, (size_t)n);
		if (r < 0)
			return r;
		if (n == 0)
			return hasher_finish(h, ret);
	}
}

DEFINE_CLEANUP(cleanup_hasher, struct hasher, hasher_free);

static int hash_file(int dirfd, const char *path, struct digest *ret, struct error *e)
{
	CLEANUP(cleanup_hasher) struct hasher *h = hasher_new();
	CLEANUP(cleanup_close) int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
	int r = fd < 0 ? -errno : h ? hash_stream(fd, h, ret) : -ENOMEM;
	if (r == -ENOENT)
		r = -EIO; /* it was there a moment ago */
	return r < 0 ? error_set_errno(e, r, "cannot read '%s'", path) : 0;
}

static int hash_line(struct hasher *list, const struct digest *d, const char *path)
{
	char hex[DIGEST_HEX_SIZE];
	digest_hex(d, hex);
	int r = hasher_update(list, hex, DIGEST_HEX_SIZE - 1);
	if (r == 0)
		r = hasher_update(list, "  ", 2);
	if (r == 0)
		r = hasher_update(list, path, strlen(path));
	return r < 0 ? r : hasher_update(list, "\n", 1);
}

static int hash_list(
	int dirfd, const struct path_vec *paths, struct digest *ret, struct error *e)
{
	CLEANUP(cleanup_hasher) struct hasher *list = hasher_new();
	int r = list ? 0 : error_set_errno(e, -ENOMEM, "cannot hash files");
	for (size_t i = 0; r == 0 && i < paths->len; i++) {
		struct digest d;
		r = hash_file(dirfd, paths->data[i], &d, e);
		if (r == 0)
			r = hash_line(list, &d, paths->data[i]);
	}
	return r < 0 ? r : hasher_finish(list, ret);
}

int file_checksum(int dirfd, const char *const *patterns, size_t count,
	struct digest *ret, struct error *e)
{
	CLEANUP(paths_finish) struct path_vec paths = {.max = FILE_CHECKSUM_FILES};
	for (size_t i = 0; i < count; i++) {
		int r = find(dirfd, patterns[i], &paths, e);
		if (r < 0)
			return r;
	}
	sort_and_unite(&paths);
	if (paths.len == 1)
		return hash_file(dirfd, paths.data[0], ret, e);
	return hash_list(dirfd, &paths, ret, e);
}
