/*
 * Opening whatever archive an object holds: Larder's own, or a foreign one.
 *
 * A foreign archive is converted, or a plain tar scanned, at the first opening; what
 * comes of it is kept in the cache folder, and found there the next time without a
 * request.
 */
#ifndef LARDER_ARCHIVE_ARCHIVE_OPEN_H
#define LARDER_ARCHIVE_ARCHIVE_OPEN_H

#include "archive/archive.h"

/* All borrowed during the call. */
struct archive_opening {
	struct range_source *source; /* the object */
	const void *tail;            /* its last tail_len bytes */
	size_t tail_len;
	const char *name;      /* for messages */
	const char *cache_dir; /* NULL or "": nothing is kept */
	uint64_t cache_size;   /* bytes that converted archives may take; 0: no limit */
	struct digest origin;  /* which version of which object this is */
	bool unsure; /* origin may stand for other bytes one day: keep nothing */
	void (*warn)(void *arg, const char *sentence); /* NULL: silent */
	/* The call had no time for a conversion that would have been kept. NULL: nobody
	 * wants to know. */
	void (*unfinished)(void *arg);
	void *arg;
};

/* *ret_local (owned by the caller): where the frames are, when they are not in the
 * object's source; NULL when they are. The errors of archive_load() and
 * foreign_convert(), but that a foreign archive is none. */
int archive_open_any(const struct archive_opening *o, const struct call *call,
	struct archive **ret, struct range_source **ret_local, struct error *e);

#endif
