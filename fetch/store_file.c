#include "fetch/store_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "fetch/beneath.h"

int store_file_root(const struct store_file *s, struct error *e)
{
	int fd = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	if (errno == ENOENT)
		return error_set(
			e, -ENOENT, "the store's folder '%s' does not exist", s->path);
	if (errno == ENOTDIR)
		return error_set(e, -ENOTDIR, "the store '%s' is not a folder", s->path);
	return error_set_errno(e, -errno, "cannot open the store's folder '%s'", s->path);
}

void store_file_pin(const struct stat *st, struct pin *ret)
{
	*ret = (struct pin){.size = (uint64_t)st->st_size, .mtime_s = st->st_mtim.tv_sec};
	snprintf(ret->etag, sizeof(ret->etag),
		"\"%" PRIx64 "-%" PRIx64 "-%" PRIx64 "-%" PRIx64 ".%lx-%" PRIx64 ".%lx\"",
		(uint64_t)st->st_dev, (uint64_t)st->st_ino, (uint64_t)st->st_size,
		(uint64_t)st->st_mtim.tv_sec, (unsigned long)st->st_mtim.tv_nsec,
		(uint64_t)st->st_ctim.tv_sec, (unsigned long)st->st_ctim.tv_nsec);
}

/* A directory, a link or a device under the key is no object: a miss, as on S3. */
static bool is_miss(int code)
{
	return code == -ENOENT || code == -ENOTDIR || code == -ELOOP || code == -EISDIR ||
	       code == -ENXIO;
}

static int open_key(struct store_file *s, const char *key, int flags, struct stat *ret,
	struct error *e)
{
	CLEANUP(cleanup_close) int root = store_file_root(s, e);
	if (root < 0)
		return root;
	CLEANUP(cleanup_close)
	int fd = beneath_open(root, key, flags);
	if (fd < 0 && !is_miss(fd))
		return error_set_errno(
			e, fd, "cannot open key '%s' in '%s'", key, s->path);
	if (fd >= 0 && fstat(fd, ret) < 0)
		return error_set_errno(e, -errno, "cannot look at key '%s'", key);
	if (fd < 0 || !S_ISREG(ret->st_mode))
		return error_set(
			e, -ENOENT, "there is no key '%s' in '%s'", key, s->path);
	return steal_fd(&fd);
}

static int file_stat_object(struct store *base, const struct call *call, const char *key,
	struct pin *ret, bool *ret_denied, struct error *e)
{
	struct store_file *s = (struct store_file *)base;
	struct stat st;
	atomic_fetch_add(&s->requests, 1);
	CLEANUP(cleanup_close) int fd = open_key(s, key, O_PATH, &st, e);
	if (fd < 0)
		return fd;
	store_file_pin(&st, ret);
	return 0;
}

struct file_object {
	struct object base;
	struct range_source *file; /* owned */
	struct store_file *store;  /* borrowed: counts */
	char *key;                 /* owned: for messages */
};

static int object_read(struct range_source *source, const struct call *call,
	uint64_t offset, size_t len, void *buf, struct error *e)
{
	struct file_object *o = (struct file_object *)source;
	atomic_fetch_add(&o->store->requests, 1);
	int r = range_source_read(o->file, call, offset, len, buf, e);
	if (r < 0)
		return error_prefix(e, "key '%s': ", o->key), r;
	atomic_fetch_add(&o->store->received, len);
	return 0;
}

static void object_free_file(struct range_source *source)
{
	struct file_object *o = (struct file_object *)source;
	range_source_free(o->file);
	free(o->base.tail);
	free(o->key);
	free(o);
}

static const struct range_source_ops object_ops = {
	.read = object_read,
	.free = object_free_file,
};

/* Takes over fd. The pin is looked up behind the source's own look and before the first
 * read's: a file that changes between them is found out by that read. */
static int object_new(struct store_file *s, const char *key, int fd,
	struct file_object **ret, struct error *e)
{
	CLEANUP(cleanup_range_source) struct range_source *file = NULL;
	struct stat st;
	int r = file_source_new(fd, &file, e);
	if (r == 0 && fstat(fd, &st) < 0)
		r = error_set_errno(e, -errno, "cannot look at key '%s'", key);
	if (r < 0)
		return r;
	struct file_object *o = calloc(1, sizeof(*o));
	char *copy = strdup(key);
	if (!o || !copy) {
		free(o);
		free(copy);
		return error_set_errno(e, -ENOMEM, "cannot open key '%s'", key);
	}
	o->base.source = (struct range_source){.ops = &object_ops, .size = file->size};
	o->store = s;
	o->key = copy;
	o->file = steal_pointer(file);
	store_file_pin(&st, &o->base.pin);
	*ret = o;
	return 0;
}

static int read_tail(
	struct file_object *o, const struct call *call, size_t tail_len, struct error *e)
{
	uint64_t size = o->base.source.size;
	size_t len = tail_len < size ? tail_len : (size_t)size;
	o->base.tail = malloc(len ? len : 1);
	if (!o->base.tail)
		return error_set_errno(e, -ENOMEM, "cannot open key '%s'", o->key);
	o->base.tail_len = len;
	return range_source_read(&o->base.source, call, size - len, len, o->base.tail, e);
}

static int file_open_object(struct store *base, const struct call *call, const char *key,
	size_t tail_len, struct object **ret, bool *ret_denied, struct error *e)
{
	struct store_file *s = (struct store_file *)base;
	struct stat st;
	CLEANUP(cleanup_close)
	int fd = open_key(s, key, O_RDONLY | O_NONBLOCK | O_NOCTTY, &st, e);
	if (fd < 0)
		return fd;
	struct file_object *o = NULL;
	int r = object_new(s, key, steal_fd(&fd), &o, e);
	if (r < 0)
		return r;
	CLEANUP(cleanup_object) struct object *object = &o->base;
	r = read_tail(o, call, tail_len, e);
	if (r < 0)
		return r;
	*ret = steal_pointer(object);
	return 0;
}

static void file_stats(struct store *base, struct store_stats *ret)
{
	struct store_file *s = (struct store_file *)base;
	ret->requests = atomic_load(&s->requests);
	ret->received_bytes = atomic_load(&s->received);
	ret->sent_bytes = atomic_load(&s->sent);
}

static void file_free(struct store *base)
{
	struct store_file *s = (struct store_file *)base;
	free(s->path);
	free(s);
}

static const struct store_ops file_ops = {
	.open_object = file_open_object,
	.stat_object = file_stat_object,
	.list = store_file_list,
	.publish = store_file_publish,
	.probe = store_file_probe,
	.stats = file_stats,
	.free = file_free,
};

int store_file_new(const struct store_url *url, struct store **ret, struct error *e)
{
	struct store_file *s = calloc(1, sizeof(*s));
	char *path = strdup(url->path);
	if (!s || !path) {
		free(s);
		free(path);
		return error_set_errno(e, -ENOMEM, "cannot open the store");
	}
	s->base.ops = &file_ops;
	s->path = path;
	*ret = &s->base;
	return 0;
}
