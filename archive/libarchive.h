/*
 * libarchive, which reads what other programs packed. It is not linked but loaded when
 * the first such archive is met: it brings ten libraries that nothing else here needs,
 * and loading those would be a good part of every start.
 *
 *     la.read_new()    is    archive_read_new()
 *
 * Every other function stands in the table below in the same way. As ever, a reader is
 * for one thread at a time, and any number of threads may have one each.
 */
#ifndef LARDER_ARCHIVE_LIBARCHIVE_H
#define LARDER_ARCHIVE_LIBARCHIVE_H

#include <archive.h>
#include <archive_entry.h>
#include <stddef.h>

#include "fetch/base/error.h"

/* clang-format off */
#define LIBARCHIVE_FUNCTIONS(X)                                                          \
	X(entry_filetype) X(entry_hardlink) X(entry_hardlink_utf8)                       \
	X(entry_is_encrypted) X(entry_mtime) X(entry_mtime_is_set)                       \
	X(entry_mtime_nsec) X(entry_pathname) X(entry_pathname_utf8)                     \
	X(entry_perm) X(entry_size) X(entry_size_is_set) X(entry_sparse_count)           \
	X(entry_symlink) X(entry_symlink_utf8) X(entry_xattr_next)                       \
	X(entry_xattr_reset)                                                             \
	X(error_string) X(filter_bytes) X(filter_code) X(format)                         \
	X(read_data_block) X(read_free) X(read_header_position) X(read_new)              \
	X(read_next_header) X(read_open1) X(read_set_callback_data)                      \
	X(read_set_read_callback) X(read_set_seek_callback)                              \
	X(read_set_skip_callback)                                                        \
	X(read_support_filter_bzip2) X(read_support_filter_compress)                     \
	X(read_support_filter_gzip) X(read_support_filter_lz4)                           \
	X(read_support_filter_lzma) X(read_support_filter_none)                          \
	X(read_support_filter_xz) X(read_support_filter_zstd)                            \
	X(read_support_format_tar) X(read_support_format_zip) X(set_error)
/* clang-format on */

struct libarchive {
#define LIBARCHIVE_MEMBER(name) __typeof__(archive_##name) *name;
	LIBARCHIVE_FUNCTIONS(LIBARCHIVE_MEMBER)
#undef LIBARCHIVE_MEMBER
};

/* Filled by libarchive_load(), for ever; to be used after that has succeeded. */
extern struct libarchive la;

/* 0; -ELIBACC, with what to install: there is none, or it lacks a function. What came of
 * the first call is what every later one says. */
int libarchive_load(struct error *e);

/* Something that a reader can be made to know: one of la's read_support_. */
struct libarchive_skill {
	const char *name; /* for messages */
	int (*teach)(struct archive *reader);
};

/* Teaches them all. -ENOMEM without a sentence; -ELIBACC: this libarchive was built
 * without one. Some it would then leave to a program that it starts: that is refused as
 * well, for what is in our environment is nobody else's. */
int libarchive_teach(struct archive *reader, const struct libarchive_skill *skills,
	size_t count, struct error *e);

#endif
