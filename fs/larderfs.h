/*
 * One mount: everything a request handler needs. libfuse hands it to each handler.
 *
 * Made before the mount is there, freed after it is gone. The parts guard themselves
 * (docs/threads.md); what is plain here is set at the start and then only read.
 */
#ifndef LARDER_FS_LARDERFS_H
#define LARDER_FS_LARDERFS_H

#include <stdatomic.h>

#include "archive/decoders.h"
#include "archive/hoard.h"
#include "fetch/settings.h"
#include "fs/attributes.h"
#include "fs/complaints.h"
#include "fs/feeder.h"
#include "fs/gate.h"
#include "fs/keyspace.h"
#include "fs/notifier.h"
#include "fs/request.h"
#include "fs/setbacks.h"
#include "fs/slots.h"
#include "fs/watcher.h"

struct larderfs {
	struct owner_policy owner;
	uint64_t timeout_ns; /* patience of one request */
	uint64_t started_ns;
	struct timespec since; /* the same by the real clock */

	struct store *store;       /* owned */
	struct chunk_cache *cache; /* owned; NULL: none */
	struct slots slots;
	struct prefetcher *prefetcher; /* owned; NULL: none was wanted */
	struct hoard hoard;            /* what all generations keep */
	struct history history;        /* of what was shown */
	struct decoders decoders;      /* of all generations */
	struct converter converter;    /* of what takes too long to be waited for */
	struct supply supply;          /* what is above, for generations */
	struct doorway_hooks hooks;
	struct keyspace *keyspace; /* owned; NULL until larderfs_show() */

	struct requests requests;
	struct gate gate;
	struct watcher watcher;
	struct setbacks setbacks;
	struct complaints complaints;
	struct notifier *notifier; /* owned; NULL until the session is there */
	struct feeder feeder;

	atomic_uint_least64_t reads;      /* answered */
	atomic_uint_least64_t read_bytes; /* handed to the kernel */
	atomic_uint_least64_t read_errors;
};

enum larderfs_prefetch { PREFETCH_AUTO, PREFETCH_NONE, PREFETCH_ALL };

struct larderfs_options {
	const char *store; /* URL */
	const struct settings *settings;
	const char *covers; /* the mountpoint that people see: no cache can be in it */
	struct owner_policy owner;
	enum larderfs_prefetch prefetch;
};

/* Starts the store's threads and fs's own. Nothing is asked of the store yet.
 * store_new()'s errors; a chunk cache that cannot be used is warned of and done without.
 */
int larderfs_new(
	const struct larderfs_options *o, struct larderfs **ret, struct error *e);

/* Decides what the mount shows: the whole store (key NULL; nothing is asked), or one key,
 * which is opened. doorway_generation()'s errors; after -ENOENT another key may be tried.
 */
int larderfs_show(
	struct larderfs *l, const struct call *call, const char *key, struct error *e);

/* The one key's current generation, with a reference; NULL when it is the whole store. */
struct generation *larderfs_one_key(struct larderfs *l);

/* The session is there: invalidations and contents have somewhere to go. 0 or -errno. */
int larderfs_attach(struct larderfs *l, struct fuse_session *session);

/* Ends all waiting at once, and for ever. */
void larderfs_cancel(struct larderfs *l);

/* Nothing is told any more unasked. The session still exists and still answers. */
void larderfs_detach(struct larderfs *l);

/* No request is under way any more. Accepts NULL. */
void larderfs_free(struct larderfs *l);

#endif
