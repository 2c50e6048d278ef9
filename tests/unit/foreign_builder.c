#include "tests/unit/foreign_builder.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct output {
	unsigned char *data;
	size_t len, size;
};

static void must(struct archive *a, int code)
{
	if (code == ARCHIVE_OK || code == ARCHIVE_WARN)
		return;
	fprintf(stderr, "libarchive: %s\n", archive_error_string(a));
	abort();
}

static la_ssize_t on_write(struct archive *a, void *arg, const void *data, size_t len)
{
	struct output *o = arg;
	(void)a;
	if (o->len + len > o->size) {
		o->size = (o->len + len) * 2;
		o->data = realloc(o->data, o->size);
		if (!o->data)
			abort();
	}
	memcpy(o->data + o->len, data, len);
	o->len += len;
	return (la_ssize_t)len;
}

unsigned char foreign_byte(const char *path, uint64_t offset)
{
	uint64_t h = strlen(path) + (unsigned char)path[strlen(path) - 1] + offset;
	h *= UINT64_C(0x9e3779b97f4a7c15);
	h = (h ^ (h >> 31)) * UINT64_C(0xbf58476d1ce4e5b9);
	h = (h ^ (h >> 29)) * UINT64_C(0x94d049bb133111eb);
	return (unsigned char)(h >> 56);
}

static void set_type(struct archive_entry *e, const struct member *m)
{
	switch (m->type) {
	case 'd':
		archive_entry_set_filetype(e, AE_IFDIR);
		break;
	case 'l':
		archive_entry_set_filetype(e, AE_IFLNK);
		archive_entry_set_symlink(e, m->link);
		break;
	case 'h':
		archive_entry_set_filetype(e, AE_IFREG);
		archive_entry_set_hardlink(e, m->link);
		break;
	case 'p':
		archive_entry_set_filetype(e, AE_IFIFO);
		break;
	default:
		archive_entry_set_filetype(e, AE_IFREG);
	}
}

static uint64_t size_of(const struct member *m)
{
	return m->size ? m->size : m->content ? strlen(m->content) : 0;
}

static void write_content(struct archive *a, const struct member *m)
{
	char piece[8192];
	uint64_t size = size_of(m);
	for (uint64_t at = 0; at < size;) {
		size_t len =
			size - at < sizeof(piece) ? (size_t)(size - at) : sizeof(piece);
		for (size_t i = 0; i < len; i++)
			piece[i] = at + i < m->hole ? 0
				   : m->content     ? m->content[at + i - m->hole]
						    : (char)foreign_byte(m->path, at + i);
		if (archive_write_data(a, piece, len) < 0)
			must(a, ARCHIVE_FATAL);
		at += len;
		/* A sparse writer drops what lies in the hole; spare it the work. */
		if (m->hole && at < m->hole && m->hole - at > sizeof(piece))
			break;
	}
}

static void add(struct archive *a, const struct member *m)
{
	struct archive_entry *e = archive_entry_new();
	archive_entry_set_pathname(e, m->path);
	set_type(e, m);
	archive_entry_set_perm(e, m->mode ? m->mode : m->type == 'd' ? 0755 : 0644);
	archive_entry_set_mtime(e, m->mtime_s, m->mtime_ns);
	if (m->xattr)
		archive_entry_xattr_add_entry(e, "user.test", m->xattr, strlen(m->xattr));
	if (m->type == '-')
		archive_entry_set_size(e, (int64_t)size_of(m));
	if (m->hole)
		archive_entry_sparse_add_entry(
			e, (int64_t)m->hole, (int64_t)(size_of(m) - m->hole));
	must(a, archive_write_header(a, e));
	if (m->type == '-')
		write_content(a, m);
	archive_entry_free(e);
}

unsigned char *foreign_build(const char *format, const char *filter, const char *options,
	const struct member *members, size_t *ret_len)
{
	struct output o = {0};
	struct archive *a = archive_write_new();
	must(a, archive_write_set_format_by_name(a, format));
	if (strcmp(filter, "none") != 0)
		must(a, archive_write_add_filter_by_name(a, filter));
	if (options)
		must(a, archive_write_set_options(a, options));
	archive_write_set_bytes_in_last_block(a, 1);
	must(a, archive_write_open(a, &o, NULL, on_write, NULL));
	for (; members->path; members++)
		add(a, members);
	must(a, archive_write_close(a));
	archive_write_free(a);
	*ret_len = o.len;
	return o.data;
}
