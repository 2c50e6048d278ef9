/*
 * Foreign archives: tars, compressed or not, and zips that other programs wrote.
 *
 * foreign_convert() reads one through libarchive, from front to back and once, and writes
 * what it holds as a file that archive_load_local() opens: frames, content digests, a
 * loose index, a seek table. foreign_scan() makes an index of a tar without compression
 * that refers to the bytes where they are, and fetches little more than its headers.
 * docs/foreign.md has the rules for names, duplicates, links and limits.
 *
 * The same bytes always become the same file, with the same identity, by the same release
 * of zstd; and in the same time zone, where a zip has nothing but local times.
 *
 * Memory: the tree (archive/foreign_tree.h), 18 MiB of bytes ahead, and what the
 * decompressor takes (xz: up to 1 GiB when the archive was made so; else some MiB).
 */
#ifndef LARDER_ARCHIVE_FOREIGN_H
#define LARDER_ARCHIVE_FOREIGN_H

#include "fetch/base/buf.h"
#include "fetch/range_source.h"

/* Content may be this many times the object, or FOREIGN_RAW_FLOOR bytes: what deflate can
 * do, and more than honest data does. */
#define FOREIGN_RAW_RATIO 1100
#define FOREIGN_RAW_FLOOR (UINT64_C(16) << 30)

/* Members left out are warned of one by one up to here, then counted. */
#define FOREIGN_WARNINGS 20

/* The object, with what came with the opening. All borrowed during a call. */
struct foreign_object {
	struct range_source *source;
	const void *tail; /* the last tail_len bytes of source */
	size_t tail_len;
	const char *name; /* for messages */
};

struct foreign_options {
	uint64_t max_stored;                           /* bytes of file; 0: no limit */
	void (*warn)(void *arg, const char *sentence); /* NULL: silent */
	void *arg;
};

/* Writes the converted archive to fd, an empty file (borrowed). 0; -EBADMSG: of no kind
 * that is known, damaged, cut off, encrypted, or too large when unpacked; -EDQUOT: past
 * max_stored; -ENOSPC and others of write(2); libarchive_load()'s, libarchive_teach()'s and
 * range_source_read()'s errors; -ENOMEM. */
int foreign_convert(const struct foreign_object *object,
	const struct foreign_options *options, const struct call *call, int fd,
	struct error *e);

/* Appends the stored index of a plain tar to out (for archive_load_plain()). The same
 * errors, and -EAGAIN without a sentence: it is no tar without compression, holds what a
 * plain index cannot say (sparse files), or is so full of small files that converting it
 * fetches no more. */
int foreign_scan(const struct foreign_object *object,
	const struct foreign_options *options, const struct call *call, struct buf *out,
	struct error *e);

#endif
