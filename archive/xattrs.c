#include "archive/xattrs.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <fcntl.h>

#include "archive/format.h"
#include "fetch/base/buf.h"
#include "fetch/base/bytes.h"
#include "fetch/base/cleanup.h"
#include "fetch/base/vec.h"

#define PAIR_HEADER 8     /* two lengths */
#define LIST_MAX    65536 /* XATTR_LIST_MAX of limits.h */
#define VALUE_MAX   65536 /* XATTR_SIZE_MAX */
#define NAMES_MAX   (LIST_MAX / sizeof("user.x"))

/* Linux 6.13; the numbers are the same on all architectures but Alpha. */
#if !defined(SYS_listxattrat) && !defined(__alpha__)
#define SYS_getxattrat  464
#define SYS_listxattrat 465
#endif

struct xattr_args_ {
	uint64_t value;
	uint32_t size;
	uint32_t flags;
};

/* Where the attributes are read from. */
struct place {
	int dirfd;
	const char *name;
};

DEFINE_VEC(xattr_vec, struct xattr);

bool xattrs_next(const struct xattrs *x, size_t *cursor, struct xattr *ret)
{
	if (!x || *cursor >= x->len)
		return false;
	const uint8_t *p = x->data + *cursor;
	uint32_t name_len = load_le32(p), value_len = load_le32(p + 4);
	*ret = (struct xattr){
		.name = (const char *)p + PAIR_HEADER,
		.name_len = name_len,
		.value = p + PAIR_HEADER + name_len,
		.value_len = value_len,
	};
	*cursor += PAIR_HEADER + name_len + value_len;
	return true;
}

static int compare_names(const void *a, const void *b)
{
	const struct xattr *x = a, *y = b;
	size_t common = x->name_len < y->name_len ? x->name_len : y->name_len;
	int c = memcmp(x->name, y->name, common);
	return c ? c : (x->name_len > y->name_len) - (x->name_len < y->name_len);
}

static uint8_t *put_attribute(uint8_t *p, const struct xattr *a)
{
	store_le32(p, (uint32_t)a->name_len);
	store_le32(p + 4, (uint32_t)a->value_len);
	memcpy(p + PAIR_HEADER, a->name, a->name_len);
	if (a->value_len)
		memcpy(p + PAIR_HEADER + a->name_len, a->value, a->value_len);
	return p + PAIR_HEADER + a->name_len + a->value_len;
}

int xattrs_build(struct xattr *attributes, size_t count, struct xattrs **ret)
{
	size_t len = 0;
	for (size_t i = 0; i < count; i++) {
		len += PAIR_HEADER + attributes[i].name_len + attributes[i].value_len;
		if (len > XATTRS_LIMIT || attributes[i].name_len > XATTR_NAME_LIMIT)
			return -E2BIG;
	}
	struct xattrs *x = malloc(sizeof(*x) + len);
	if (!x)
		return -ENOMEM;
	qsort(attributes, count, sizeof(attributes[0]), compare_names);
	x->count = (uint32_t)count;
	x->len = (uint32_t)len;
	uint8_t *p = x->data;
	for (size_t i = 0; i < count; i++)
		p = put_attribute(p, &attributes[i]);
	*ret = x;
	return 0;
}

bool xattrs_equal(const struct xattrs *a, const struct xattrs *b)
{
	if (!a || !b)
		return a == b;
	return a->len == b->len && !memcmp(a->data, b->data, a->len);
}

static ssize_t list_names(const struct place *p, char *list, size_t size)
{
#ifdef SYS_listxattrat
	if (*p->name)
		return syscall(SYS_listxattrat, p->dirfd, p->name, AT_SYMLINK_NOFOLLOW,
			list, size);
#endif
	return flistxattr(p->dirfd, list, size);
}

static ssize_t get_value(
	const struct place *p, const char *name, void *value, size_t size)
{
#ifdef SYS_getxattrat
	if (*p->name) {
		struct xattr_args_ args = {
			.value = (uint64_t)(uintptr_t)value,
			.size = (uint32_t)size,
		};
		return syscall(SYS_getxattrat, p->dirfd, p->name, AT_SYMLINK_NOFOLLOW,
			name, &args, sizeof(args));
	}
#endif
	return fgetxattr(p->dirfd, name, value, size);
}

/* Appends name's value to values. An attribute removed meanwhile is no error here: the
 * inode's ctime tells that it changed. */
static int read_value(const struct place *p, const char *name, struct xattr_vec *all,
	struct buf *values)
{
	int r = buf_reserve(values, VALUE_MAX);
	if (r < 0)
		return r == -EMSGSIZE ? -E2BIG : r;
	ssize_t len = get_value(p, name, values->data + values->len, VALUE_MAX);
	if (len < 0)
		return errno == ENODATA ? 0 : -errno;
	struct xattr a = {
		.name = name,
		.name_len = strlen(name),
		.value_len = (size_t)len,
	};
	r = xattr_vec_push(all, a);
	if (r == 0)
		values->len += (size_t)len;
	return r;
}

/* The values lie one behind the other in the order of the attributes. */
static void point_to_values(struct xattr_vec *all, const struct buf *values)
{
	size_t at = 0;
	for (size_t i = 0; i < all->len; i++) {
		all->data[i].value = values->data + at;
		at += all->data[i].value_len;
	}
}

static int read_listed(
	const struct place *p, const char *list, size_t len, struct xattrs **ret)
{
	CLEANUP(xattr_vec_finish) struct xattr_vec all = {.max = NAMES_MAX};
	CLEANUP(buf_finish) struct buf values = BUF_INIT(XATTRS_LIMIT + VALUE_MAX);
	for (const char *name = list; name < list + len; name += strlen(name) + 1) {
		if (strncmp(name, "user.", 5) != 0)
			continue;
		int r = read_value(p, name, &all, &values);
		if (r < 0)
			return r;
	}
	*ret = NULL;
	if (!all.len)
		return 0;
	point_to_values(&all, &values);
	return xattrs_build(all.data, all.len, ret);
}

static int read_long_list(const struct place *p, struct xattrs **ret)
{
	CLEANUP(cleanup_free) char *list = malloc(LIST_MAX);
	if (!list)
		return -ENOMEM;
	ssize_t len = list_names(p, list, LIST_MAX);
	if (len < 0)
		return errno == ERANGE ? -E2BIG : -errno;
	return read_listed(p, list, (size_t)len, ret);
}

static int read_at(const struct place *p, struct xattrs **ret)
{
	char list[512];
	ssize_t len = list_names(p, list, sizeof(list));
	if (len > 0)
		return read_listed(p, list, (size_t)len, ret);
	if (len < 0 && errno == ERANGE)
		return read_long_list(p, ret);
	if (len < 0 && errno != ENOTSUP)
		return -errno;
	*ret = NULL;
	return 0;
}

/* For kernels that have no getxattrat(). */
static int read_opened(int dirfd, const char *name, struct xattrs **ret)
{
	int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
	CLEANUP(cleanup_close) int fd = openat(dirfd, name, flags);
	if (fd < 0)
		return -errno;
	return read_at(&(struct place){.dirfd = fd, .name = ""}, ret);
}

int xattrs_read(int dirfd, const char *name, struct xattrs **ret)
{
	struct place p = {.dirfd = dirfd, .name = name};
	if (!*name)
		return read_at(&p, ret);
#ifdef SYS_getxattrat
	static atomic_bool missing;
	if (atomic_load_explicit(&missing, memory_order_relaxed))
		return read_opened(dirfd, name, ret);
	int r = read_at(&p, ret);
	if (r != -ENOSYS && r != -EPERM)
		return r;
	/* Older container runtimes answer EPERM to any call that they do not know. */
	atomic_store_explicit(&missing, true, memory_order_relaxed);
#endif
	return read_opened(dirfd, name, ret);
}
