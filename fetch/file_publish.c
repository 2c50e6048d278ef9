/*
 * Publishing into a folder store.
 *
 * The bytes go into a file without a key (fetch/file_temp.h), which gets the key's name
 * when they are complete: by link(2), which fails when there is one, so that the first
 * writer wins; or by rename(2) to overwrite. There are file systems where only the last
 * can be; there a look comes first, if the caller takes that for enough.
 *
 * A folder cannot hold both the key "a" and the key "a/b"; who comes second is told so.
 * An empty directory in the way is a remnant of keys that were deleted, and is removed.
 */
#include "fetch/store_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "fetch/base/io.h"
#include "fetch/beneath.h"
#include "fetch/file_temp.h"

#define FOLDER_MODE   0777 /* less the umask */
#define PUBLISH_RACES 64   /* tries when others delete what we meet */

struct file_publication {
	struct publication base;
	struct store_file *store; /* borrowed */
	char *key;                /* owned */
	bool overwrite;
	bool unsafe; /* a look is enough */
	int root; /* owned: the store's folder */
	struct file_temp temp;
};

/* Splits the key: its directory's path into dir; returns its last part. */
static const char *split_key(const char *key, char *dir, size_t size)
{
	const char *slash = strrchr(key, '/');
	snprintf(dir, size, "%.*s", slash ? (int)(slash - key) : 0, key);
	return slash ? slash + 1 : key;
}

/* What lies under the key? 0 and *ret; -ENOENT: nothing. */
static int look_at(const struct file_publication *p, struct stat *ret)
{
	char dir[PATH_MAX];
	const char *name = split_key(p->key, dir, sizeof(dir));
	CLEANUP(cleanup_close) int at = beneath_open(p->root, dir, O_PATH | O_DIRECTORY);
	if (at < 0)
		return at;
	return fstatat(at, name, ret, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

static int remove_empty_directory(const struct file_publication *p, struct error *e)
{
	char dir[PATH_MAX];
	const char *name = split_key(p->key, dir, sizeof(dir));
	CLEANUP(cleanup_close) int at = beneath_open(p->root, dir, O_PATH | O_DIRECTORY);
	if (at < 0 || unlinkat(at, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	return error_set(e, -EISDIR,
		"cannot publish key '%s': it is a directory of other keys in '%s', "
		"and a folder cannot hold both",
		p->key, p->store->path);
}

static int say_not_a_directory(const struct file_publication *p, struct error *e)
{
	return error_set(e, -ENOTDIR,
		"cannot publish key '%s': a part of it before a '/' is itself a key in "
		"'%s', and a folder cannot hold both",
		p->key, p->store->path);
}

/* Clears the way to the key. 0: nothing is there; -EEXIST: a key, and *ret tells of it;
 * others fill e. */
static int clear_the_way(
	const struct file_publication *p, struct stat *ret, struct error *e)
{
	int r = look_at(p, ret);
	if (r == -ENOENT)
		return 0;
	if (r == -ENOTDIR || r == -ELOOP)
		return say_not_a_directory(p, e);
	if (r < 0)
		return error_set_errno(e, r, "cannot look for key '%s'", p->key);
	if (S_ISDIR(ret->st_mode))
		return remove_empty_directory(p, e);
	if (S_ISREG(ret->st_mode) || p->overwrite)
		return -EEXIST;
	return error_set(e, -EIO, "what lies at key '%s' in '%s' is not a regular file",
		p->key, p->store->path);
}

static int look_and_replace(struct file_publication *p, int dir, const char *name)
{
	struct stat st;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return -EEXIST;
	return errno == ENOENT ? file_temp_replace(&p->temp, p->root, dir, name) : -errno;
}

static int give_name(struct file_publication *p, int dir, const char *name)
{
	if (p->overwrite)
		return file_temp_replace(&p->temp, p->root, dir, name);
	int r = file_temp_link(&p->temp, dir, name);
	return r == -EOPNOTSUPP && p->unsafe ? look_and_replace(p, dir, name) : r;
}

static int refuse_condition(const struct file_publication *p, struct error *e)
{
	return error_set(e, -EOPNOTSUPP,
		"the file system of '%s' has neither hard links nor a rename that "
		"replaces nothing, so two writers of '%s' could overwrite each other "
		"unseen",
		p->store->path, p->key);
}

/* One try to give the file its name. 0, -EEXIST, -ENOENT; others fill e. */
static int try_to_publish(struct file_publication *p, struct error *e)
{
	char path[PATH_MAX];
	const char *name = split_key(p->key, path, sizeof(path));
	CLEANUP(cleanup_close) int dir = beneath_make_directory(p->root, path);
	if (dir == -ENOTDIR || dir == -ELOOP)
		return say_not_a_directory(p, e);
	int r = dir < 0 ? dir : give_name(p, dir, name);
	if (r == -EISDIR)
		r = -EEXIST;
	if (r == 0 || r == -EEXIST || r == -ENOENT)
		return r;
	if (r == -EOPNOTSUPP && !p->overwrite && !p->unsafe)
		return refuse_condition(p, e);
	return error_recode(error_set_errno(e, r, "cannot publish key '%s' in '%s'",
				    p->key, p->store->path),
		e);
}

/* 0: published; -EEXIST: somebody was first, *ret is of theirs; -EAGAIN: what was in the
 * way is gone; others fill e. */
static int attempt(struct file_publication *p, const struct call *call, struct stat *ret,
	struct error *e)
{
	int r = call_check(call);
	if (r < 0)
		return error_set_errno(e, r, "cannot publish key '%s'", p->key);
	r = try_to_publish(p, e);
	if (r == 0 && fstat(p->temp.fd, ret) < 0)
		return error_set_errno(e, -errno, "cannot look at key '%s'", p->key);
	if (r == -EEXIST) {
		r = clear_the_way(p, ret, e);
		return r == 0 || (r == -EEXIST && p->overwrite) ? -EAGAIN : r;
	}
	return r == -ENOENT ? -EAGAIN : r;
}

static int file_finish(struct publication *base, const struct call *call,
	const struct digest *identity, struct publish_result *ret, struct error *e)
{
	struct file_publication *p = (struct file_publication *)base;
	struct stat st;
	int r = -EAGAIN;
	for (int i = 0; r == -EAGAIN && i < PUBLISH_RACES; i++)
		r = attempt(p, call, &st, e);
	if (r == -EAGAIN)
		return error_set(e, -EIO,
			"key '%s' keeps appearing and vanishing in '%s'", p->key,
			p->store->path);
	if (r < 0 && r != -EEXIST)
		return r;
	ret->outcome = r == 0 ? PUBLISHED : ALREADY_PUBLISHED;
	store_file_pin(&st, &ret->pin);
	return 0;
}

static int file_write(struct publication *base, const struct call *call, const void *data,
	size_t len, struct error *e)
{
	struct file_publication *p = (struct file_publication *)base;
	int r = call_check(call);
	if (r == 0)
		r = write_fully(p->temp.fd, data, len);
	if (r < 0)
		return error_set_errno(
			e, r, "cannot write key '%s' into '%s'", p->key, p->store->path);
	atomic_fetch_add(&p->store->sent, len);
	__atomic_add_fetch(&p->base.sent, len, __ATOMIC_RELAXED);
	return 0;
}

static void file_publication_free(struct publication *base)
{
	struct file_publication *p = (struct file_publication *)base;
	file_temp_finish(&p->temp);
	cleanup_close(&p->root);
	free(p->key);
	free(p);
}

static const struct publication_ops file_publication_ops = {
	.write = file_write,
	.finish = file_finish,
	.free = file_publication_free,
};

/* The folder, made if it is not there. */
static int open_folder(const struct store_file *s, struct error *e)
{
	int r = make_directories(s->path, FOLDER_MODE);
	if (r < 0)
		return error_set_errno(
			e, r, "cannot make the store's folder '%s'", s->path);
	return store_file_root(s, e);
}

static int begin(struct file_publication *p, struct error *e)
{
	struct stat st;
	p->root = open_folder(p->store, e);
	if (p->root < 0)
		return p->root;
	int r = clear_the_way(p, &st, e);
	if (r == -EEXIST && !p->overwrite)
		return error_set(e, r, "key '%s' is already published in '%s'", p->key,
			p->store->path);
	if (r < 0 && r != -EEXIST)
		return r;
	file_temp_sweep(p->root);
	r = file_temp_new(p->root, false, &p->temp);
	if (r < 0)
		return error_set_errno(e, r, "cannot write into '%s'", p->store->path);
	if (!p->overwrite && !p->unsafe && file_temp_try_link(p->root) == -EOPNOTSUPP)
		return refuse_condition(p, e);
	return 0;
}

/* A folder that is yet to be made is taken to be like most. */
int store_file_probe(struct store *base, const struct call *call, unsigned racers,
	unsigned rounds, struct probe_answer *ret, struct error *e)
{
	const struct store_file *s = (const struct store_file *)base;
	struct error why = {0};
	CLEANUP(cleanup_close) int root = store_file_root(s, &why);
	int r = root == -ENOENT ? 0 : root < 0 ? root : file_temp_try_link(root);
	if (r < 0 && r != -EOPNOTSUPP) {
		if (root >= 0)
			error_set_errno(&why, r, "cannot write into '%s'", s->path);
		error_copy(e, &why);
		return r;
	}
	*ret = (struct probe_answer){.put = r == 0 ? HONOUR_ATOMIC : HONOUR_NO};
	return 0;
}

int store_file_publish(struct store *base, const struct call *call, const char *key,
	const struct publish_options *options, struct publication **ret, struct error *e)
{
	struct file_publication *p = calloc(1, sizeof(*p));
	if (!p)
		return error_set_errno(e, -ENOMEM, "cannot publish key '%s'", key);
	*p = (struct file_publication){
		.base.ops = &file_publication_ops,
		.store = (struct store_file *)base,
		.key = strdup(key),
		.overwrite = options->condition == PUBLISH_OVERWRITE,
		.unsafe = options->condition == PUBLISH_UNSAFE_OVERWRITE,
		.root = -1,
		.temp = FILE_TEMP_INIT,
	};
	CLEANUP(cleanup_publication) struct publication *owned = &p->base;
	atomic_fetch_add(&p->store->requests, 1);
	int r = p->key ? begin(p, e)
		       : error_set_errno(e, -ENOMEM, "cannot publish key '%s'", key);
	if (r < 0)
		return r;
	*ret = steal_pointer(owned);
	return 0;
}
