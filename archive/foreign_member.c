#include "archive/foreign_member.h"

#include <errno.h>
#include <string.h>

#include "archive/foreign_name.h"
#include "archive/format.h"
#include "archive/libarchive.h"
#include "fetch/base/vec.h"

#define XATTR_COUNT_LIMIT 65536 /* of one member */

DEFINE_VEC(attribute_vec, struct xattr);

int foreign_members_init(struct foreign_members *m, const char *name, bool zip,
	const struct foreign_options *options)
{
	*m = (struct foreign_members){
		.name = name,
		.options = options,
		.tree = foreign_tree_new(),
		.path = BUF_INIT(FOREIGN_NAME_LIMIT + 1),
		.target = BUF_INIT(FOREIGN_NAME_LIMIT + 1),
		.locale = newlocale(LC_CTYPE_MASK, zip ? "C.UTF-8" : "C", (locale_t)0),
	};
	if (m->locale)
		m->before = uselocale(m->locale);
	return m->tree ? 0 : -ENOMEM;
}

void foreign_members_finish(struct foreign_members *m)
{
	if (m->locale) {
		uselocale(m->before);
		freelocale(m->locale);
	}
	foreign_tree_free(m->tree);
	buf_finish(&m->path);
	buf_finish(&m->target);
}

static void warn(const struct foreign_members *m, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* error_set() makes what is not printable harmless. */
static void warn(const struct foreign_members *m, const char *format, ...)
{
	char sentence[ERROR_TEXT_SIZE];
	struct error e;
	if (!m->options->warn)
		return;
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(sentence, sizeof(sentence), format, arguments);
	va_end(arguments);
	error_set(&e, -EINVAL, "%s", sentence);
	m->options->warn(m->options->arg, e.text);
}

static int leave_out(struct foreign_members *m, const char *member, const char *why)
{
	if (m->left_out++ < FOREIGN_WARNINGS)
		warn(m, "'%.300s' of '%.200s' is left out: %s", member, m->name, why);
	return 0;
}

void foreign_members_conclude(const struct foreign_members *m)
{
	if (m->left_out > FOREIGN_WARNINGS)
		warn(m, "%llu more members of '%.200s' were left out",
			(unsigned long long)(m->left_out - FOREIGN_WARNINGS), m->name);
}

/* In the bytes that the archive has, else as UTF-8; NULL: neither can be had. */
static const char *path_of(struct archive_entry *entry)
{
	const char *path = la.entry_pathname(entry);
	return path ? path : la.entry_pathname_utf8(entry);
}

static const char *hard_link_of(struct archive_entry *entry)
{
	const char *path = la.entry_hardlink(entry);
	return path ? path : la.entry_hardlink_utf8(entry);
}

static const char *symlink_of(struct archive_entry *entry)
{
	const char *path = la.entry_symlink(entry);
	return path ? path : la.entry_symlink_utf8(entry);
}

bool foreign_member_has_content(struct archive_entry *entry)
{
	return la.entry_filetype(entry) == AE_IFREG && !hard_link_of(entry);
}

static bool is_user_attribute(const struct xattr *x)
{
	return x->name_len > 5 && x->name_len <= XATTR_NAME_LIMIT &&
	       memcmp(x->name, "user.", 5) == 0 && x->value_len <= XATTR_VALUE_LIMIT;
}

static int compare_attributes(const void *a, const void *b)
{
	const struct xattr *x = a, *y = b;
	size_t len = x->name_len < y->name_len ? x->name_len : y->name_len;
	int r = memcmp(x->name, y->name, len);
	return r ? r : (x->name_len > y->name_len) - (x->name_len < y->name_len);
}

/* A name that comes twice counts once: whichever sorts first. */
static void drop_duplicates(struct attribute_vec *v)
{
	size_t kept = 0;
	qsort(v->data, v->len, sizeof(v->data[0]), compare_attributes);
	for (size_t i = 0; i < v->len; i++)
		if (!kept || compare_attributes(&v->data[kept - 1], &v->data[i]))
			v->data[kept++] = v->data[i];
	v->len = kept;
}

/* *ret is the caller's; NULL: none. -E2BIG: too many. */
static int gather_xattrs(struct archive_entry *entry, struct xattrs **ret)
{
	CLEANUP(attribute_vec_finish)
	struct attribute_vec found = {.max = XATTR_COUNT_LIMIT};
	const char *name;
	struct xattr x;
	int r = 0;
	la.entry_xattr_reset(entry);
	while (r == 0 &&
		la.entry_xattr_next(entry, &name, &x.value, &x.value_len) == ARCHIVE_OK) {
		x.name = name;
		x.name_len = strlen(name);
		if (is_user_attribute(&x))
			r = attribute_vec_push(&found, x);
	}
	*ret = NULL;
	if (r < 0 || !found.len)
		return r;
	drop_duplicates(&found);
	return xattrs_build(found.data, found.len, ret);
}

/* Type and permissions; 0: a type that is left out. */
static uint16_t mode_of(struct archive_entry *entry)
{
	uint16_t permissions = (uint16_t)(la.entry_perm(entry) & 07777);
	switch (la.entry_filetype(entry)) {
	case AE_IFREG:
		return (uint16_t)(S_IFREG | (permissions & 01777));
	case AE_IFLNK:
		return S_IFLNK | 0777;
	case AE_IFDIR:
		return (uint16_t)(S_IFDIR | permissions);
	default:
		return 0;
	}
}

static const char *reason(int r)
{
	switch (r) {
	case -ENOTDIR:
		return "something that is no directory is in its way";
	case -ENOTEMPTY:
		return "a directory that is not empty has its name";
	case -ENOENT:
		return "it is a hard link to something that is not there";
	}
	return NULL;
}

/* What a refusal by the tree means for the archive. */
static int judge(struct foreign_members *m, const char *path, int r, struct error *e)
{
	const char *why = r < 0 ? reason(r) : NULL;
	if (why)
		return leave_out(m, path, why);
	if (r == -E2BIG)
		return error_set(e, -EBADMSG, "it has too many entries");
	return r < 0 ? error_set_errno(e, r, "cannot keep its list of files") : 1;
}

static int add_link(
	struct foreign_members *m, const char *path, const char *target, struct error *e)
{
	enum foreign_name_fault fault;
	int r = foreign_name(target, strlen(target), &m->target, &fault);
	if (r == -EINVAL)
		return leave_out(m, path, "it is a hard link to a name that is refused");
	if (r == 0)
		r = foreign_tree_link(m->tree, buf_str(&m->path), buf_str(&m->target));
	r = judge(m, path, r, e);
	return r < 0 ? r : 0;
}

static int add_inode(struct foreign_members *m, const char *path, uint16_t mode,
	struct archive_entry *entry, uint64_t place, uint32_t *ret, struct error *e)
{
	long ns = la.entry_mtime_is_set(entry) ? la.entry_mtime_nsec(entry) : 0;
	struct foreign_inode inode = {
		.mode = mode,
		.mtime_s = la.entry_mtime_is_set(entry) ? la.entry_mtime(entry) : 0,
		.mtime_ns = ns >= 0 && ns < 1000000000 ? (uint32_t)ns : 0,
		.place = place,
	};
	int r = 0;
	if (S_ISLNK(mode)) {
		inode.target = symlink_of(entry);
		if (!inode.target || !*inode.target ||
			strlen(inode.target) > TARGET_LIMIT)
			return leave_out(m, path, "its target is empty or too long");
	} else {
		r = gather_xattrs(entry, &inode.xattrs);
	}
	if (r == -E2BIG)
		return leave_out(m, path, "it has too many extended attributes");
	if (r == 0)
		r = foreign_tree_put(m->tree, buf_str(&m->path), &inode, ret);
	r = judge(m, path, r, e);
	return r == 1 ? S_ISREG(mode) : r;
}

int foreign_members_add(struct foreign_members *m, struct archive_entry *entry,
	uint64_t place, uint32_t *ret, struct error *e)
{
	const char *path = path_of(entry), *target = hard_link_of(entry);
	enum foreign_name_fault fault;
	if (!path)
		return leave_out(m, "?", "its name cannot be read");
	int r = foreign_name(path, strlen(path), &m->path, &fault);
	if (r == -EINVAL)
		return leave_out(m, path, foreign_name_reason(fault));
	if (r < 0)
		return error_set_errno(e, r, "cannot keep its list of files");
	if (target)
		return add_link(m, path, target, e);
	uint16_t mode = mode_of(entry);
	if (!mode)
		return leave_out(m, path, "it is a device, a FIFO or a socket");
	return add_inode(m, path, mode, entry, place, ret, e);
}
