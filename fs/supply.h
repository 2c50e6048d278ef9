/*
 * The supply: what generations are made from, and the opening of what a key's object
 * holds.
 *
 * Belongs to the mount; no locks.
 */
#ifndef LARDER_FS_SUPPLY_H
#define LARDER_FS_SUPPLY_H

#include "archive/archive.h"
#include "archive/prefetcher.h"
#include "fetch/chunk_cache.h"
#include "fetch/store.h"
#include "fs/converter.h"
#include "fs/history.h"
#include "fs/slots.h"

/* All borrowed; they outlive every generation. */
struct supply {
	struct store *store;
	struct chunk_cache *cache; /* NULL: none */
	struct slots *slots;
	size_t frame_budget; /* bytes of decoded frames that each generation keeps */
	struct hoard *hoard; /* of what all of them keep; NULL: without a limit */
	struct decoders *decoders; /* for all, where there is a hoard */
	const char *cache_dir; /* for what foreign archives become; NULL or "": none */
	uint64_t cache_size;   /* bytes; 0: no limit */
	struct prefetcher *prefetcher; /* NULL: nothing is read before it is asked for */
	bool prefetch_all;             /* everything, from the start */
	uint64_t timeout_ns;           /* a prefetched range's patience */
	struct converter *converter;   /* for what takes too long; NULL: none */
	struct history *history;       /* of what is shown; NULL: nobody asks */
	/* Nobody's system call waits yet: a foreign archive may take as long as it takes.
	 * Only changed before there are threads. */
	bool unhurried;
};

/* Opens the archive that a fresh object of the key (borrowed; it has its tail) holds.
 * Where the call has no time for a conversion, the converter is told.
 * archive_open_any()'s results and errors. */
int supply_open_archive(const struct supply *s, const char *key, struct object *object,
	const struct call *call, struct archive **ret, struct range_source **ret_local,
	struct error *e);

/* A convert_fn; arg is a struct supply. Makes a foreign archive ready for the next
 * opening: converts what the key has now, and keeps it. store_open_object()'s errors and
 * those of supply_open_archive(). */
int supply_convert(void *arg, const char *key, const struct call *call, struct error *e);

#endif
