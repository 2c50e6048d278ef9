/*
 * Listing a folder store in the order in which S3 lists: bytewise by full key.
 *
 * Within one directory a subdirectory sorts as its name with '/' behind it, because that
 * is how the keys below it go on: "a-b" before "a/b". An empty directory holds no key and
 * is not listed; nor is one that we may not read, as its keys cannot be opened either.
 */
#include "fetch/store_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "fetch/base/log.h"
#include "fetch/base/vec.h"
#include "fetch/beneath.h"
#include "fetch/key.h"

#define PATH_SIZE (KEY_MAX + 2) /* bytes: '/' behind a directory, NUL */

struct item {
	char *name; /* owned; a directory's ends with '/' */
	bool is_directory;
	uint64_t size; /* bytes; files only */
	int64_t mtime_s;
};

DEFINE_VEC(item_vec, struct item);

static void items_finish(struct item_vec *items)
{
	for (size_t i = 0; i < items->len; i++)
		free(items->data[i].name);
	item_vec_finish(items);
}

static int compare_items(const void *a, const void *b)
{
	return strcmp(((const struct item *)a)->name, ((const struct item *)b)->name);
}

/* One listing under way. Everything is borrowed. */
struct listing {
	const struct store_file *store;
	int root;
	const struct call *call;
	bool deep;
	list_fn *fn;
	void *arg;
	struct error *e;
};

/* Words "dir/name"; false when that cannot be a key. */
static bool join_key(char ret[static PATH_SIZE], const char *dir, const char *name)
{
	int len = snprintf(ret, PATH_SIZE, "%s%s%s", dir, *dir ? "/" : "", name);
	return len < PATH_SIZE && key_check(ret, NULL) == 0;
}

static int open_directory(const struct listing *l, const char *dir, DIR **ret)
{
	CLEANUP(cleanup_close)
	int fd = beneath_open(l->root, dir, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return fd;
	DIR *d = fdopendir(fd);
	if (!d)
		return -errno;
	steal_fd(&fd);
	*ret = d;
	return 0;
}

static bool is_gone(int code)
{
	return code == -ENOENT || code == -ENOTDIR || code == -ELOOP;
}

/* The type, where the file system tells it with the name, spares a look. */
static bool type_of(DIR *d, const struct dirent *entry, mode_t *ret)
{
	struct stat st;
	if (entry->d_type != DT_UNKNOWN)
		*ret = DTTOIF(entry->d_type);
	else if (fstatat(dirfd(d), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		*ret = st.st_mode & S_IFMT;
	else
		return false;
	return true;
}

static int push_item(struct item_vec *items, const char *name, struct item item)
{
	if (asprintf(&item.name, "%s%s", name, item.is_directory ? "/" : "") < 0)
		return -ENOMEM;
	int r = item_vec_push(items, item);
	if (r < 0)
		free(item.name);
	return r;
}

/* Adds what is a key, or may hold some. Vanished meanwhile: passed over. */
static int collect_entry(const char *dir, const char *prefix, DIR *d,
	const struct dirent *entry, struct item_vec *items)
{
	const char *name = entry->d_name;
	char path[PATH_SIZE];
	mode_t type = 0;
	struct stat st;
	if (strncmp(name, prefix, strlen(prefix)) || !join_key(path, dir, name) ||
		!type_of(d, entry, &type))
		return 0;
	if (S_ISDIR(type))
		return push_item(items, name, (struct item){.is_directory = true});
	if (!S_ISREG(type) || fstatat(dirfd(d), name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	return push_item(items, name,
		(struct item){
			.size = (uint64_t)st.st_size, .mtime_s = st.st_mtim.tv_sec});
}

/* The entries of one directory whose names begin with prefix, sorted. */
static int collect(const struct listing *l, const char *dir, const char *prefix,
	struct item_vec *items)
{
	CLEANUP(cleanup_closedir) DIR *d = NULL;
	int r = open_directory(l, dir, &d);
	while (r == 0) {
		errno = 0;
		const struct dirent *entry = readdir(d);
		if (!entry) {
			r = -errno;
			break;
		}
		r = collect_entry(dir, prefix, d, entry, items);
		if (r == 0)
			r = call_check(l->call);
	}
	if (r == 0 && items->len)
		qsort(items->data, items->len, sizeof(*items->data), compare_items);
	return r;
}

/* 1: there is a key somewhere below; 0: none; -errno. */
static int holds_keys(const struct listing *l, const char *dir)
{
	CLEANUP(cleanup_closedir) DIR *d = NULL;
	int found = open_directory(l, dir, &d);
	while (found == 0) {
		errno = 0;
		const struct dirent *entry = readdir(d);
		char path[PATH_SIZE];
		mode_t type;
		if (!entry) {
			found = -errno;
			break;
		}
		if (!join_key(path, dir, entry->d_name) || !type_of(d, entry, &type))
			continue;
		found = call_check(l->call);
		if (found == 0 && S_ISDIR(type))
			found = holds_keys(l, path);
		else if (found == 0)
			found = S_ISREG(type);
	}
	return is_gone(found) || found == -EACCES ? 0 : found;
}

/* What a directory that cannot be read means: vanished meanwhile, or closed to us below
 * the one that was asked for: it holds no key for us. */
static int forgive(const struct listing *l, const char *dir, bool top, int code)
{
	if (is_gone(code) || (code == -EACCES && !top)) {
		log_debug("listing '%s': '%s' is left out: %s", l->store->path, dir,
			strerror(-code));
		return 0;
	}
	return error_set_errno(
		l->e, code, "cannot list '%s%s%s'", l->store->path, *dir ? "/" : "", dir);
}

static int list_directory(
	const struct listing *l, const char *dir, const char *prefix, bool top);

static int emit_directory(const struct listing *l, const char *path)
{
	if (l->deep)
		return list_directory(l, path, "", false);
	char name[PATH_SIZE + 1];
	snprintf(name, sizeof(name), "%s/", path);
	int r = holds_keys(l, path);
	if (r <= 0)
		return r < 0 ? forgive(l, path, false, r) : 0;
	return l->fn(l->arg, &(struct list_entry){.key = name, .is_directory = true});
}

static int emit(const struct listing *l, const char *dir, struct item *item)
{
	char path[PATH_SIZE];
	if (item->is_directory)
		item->name[strlen(item->name) - 1] = '\0';
	if (!join_key(path, dir, item->name))
		return 0;
	if (item->is_directory)
		return emit_directory(l, path);
	return l->fn(l->arg,
		&(struct list_entry){
			.key = path, .size = item->size, .mtime_s = item->mtime_s});
}

static int list_directory(
	const struct listing *l, const char *dir, const char *prefix, bool top)
{
	CLEANUP(items_finish) struct item_vec items = {0};
	int r = collect(l, dir, prefix, &items);
	if (r < 0)
		return forgive(l, dir, top, r);
	for (size_t i = 0; r == 0 && i < items.len; i++)
		r = emit(l, dir, &items.data[i]);
	return r;
}

/* Splits "a/b-c" into the directory "a" and the beginning "b-c" of the names in it.
 * False when no key can begin so. */
static bool split_prefix(const char *prefix, char dir[static PATH_SIZE], const char **ret)
{
	const char *slash = strrchr(prefix, '/');
	size_t len = slash ? (size_t)(slash - prefix) : 0;
	if (len >= PATH_SIZE)
		return false;
	memcpy(dir, prefix, len);
	dir[len] = '\0';
	*ret = slash ? slash + 1 : prefix;
	return !slash || key_check(dir, NULL) == 0;
}

int store_file_list(struct store *base, const struct call *call, const char *prefix,
	bool deep, list_fn *fn, void *arg, struct error *e)
{
	struct store_file *s = (struct store_file *)base;
	char dir[PATH_SIZE];
	const char *names;
	atomic_fetch_add(&s->requests, 1);
	CLEANUP(cleanup_close) int root = store_file_root(s, e);
	if (root < 0)
		return root;
	if (!split_prefix(prefix, dir, &names))
		return 0;
	struct listing l = {s, root, call, deep, fn, arg, e};
	return list_directory(&l, dir, names, true);
}
