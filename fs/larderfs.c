#include "fs/larderfs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/base/path_within.h"

#define FRAME_BUDGET     (32u << 20)  /* bytes of decoded frames for each generation */
#define HOARD_LIMIT      (128u << 20) /* and for all */
#define AHEAD_LIMIT      (HOARD_LIMIT / 2) /* bytes of them that nobody has asked for */
#define PREFETCH_THREADS 16

static void on_succeeded(
	void *arg, uint64_t inode, struct generation *old, struct generation *fresh)
{
	struct larderfs *l = arg;
	char identity[DIGEST_HEX_SIZE];
	digest_hex(generation_identity(fresh), identity);
	log_warning("'%s' was overwritten: new lookups see identity %s",
		doorway_key(doorway_of(fresh)), identity);
	if (l->notifier)
		notifier_succession(l->notifier, inode, old, fresh);
}

/* The attributes that the kernel was told of a key that was only listed are at an end. */
static void on_opened(void *arg, uint64_t inode, struct generation *g)
{
	struct larderfs *l = arg;
	struct pin pin;
	generation_pin(g, &pin);
	log_info("opened '%s': %u entries, %llu bytes, ETag %s",
		doorway_key(doorway_of(g)), index_count(generation_index(g)),
		(unsigned long long)pin.size, pin.etag);
	if (l->notifier && inode)
		notifier_expire(l->notifier, inode, clock_monotonic_ns());
}

static void on_denied(void *arg, const char *key)
{
	struct larderfs *l = arg;
	char sentence[ERROR_TEXT_SIZE];
	snprintf(sentence, sizeof(sentence),
		"the store denies access to '%s': taken for a key that is not there",
		key);
	complain_once(&l->complaints, LOG_WARNING, key, -EACCES, sentence);
}

static void on_cache_pause(void *arg, const char *dir, int code)
{
	struct larderfs *l = arg;
	char sentence[ERROR_TEXT_SIZE];
	if (code == 0) {
		log_info("cache folder '%s' is written again", dir);
		return;
	}
	snprintf(sentence, sizeof(sentence),
		"nothing more is kept in cache folder '%s' for now: %s", dir,
		strerror(-code));
	complain(&l->complaints, LOG_WARNING, dir, code, sentence);
}

/* One that is read-only from the start was laid so. */
static void watch_cache(struct larderfs *l, const char *dir)
{
	int r = chunk_cache_on_pause(l->cache, on_cache_pause, l);
	if (r < 0 && r != -EROFS)
		on_cache_pause(l, dir, r);
}

/* The cache is a help, not a need. In the mountpoint it would be out of reach once the
 * mount is there, and after a miss it would lie in what has to stay empty. */
static void open_cache(struct larderfs *l, const struct larderfs_options *o)
{
	struct error e = {0};
	const char *directory = o->settings->cache_dir;
	if (!directory || !*directory)
		return;
	if (path_within(directory, o->covers))
		log_warning("going on without the chunk cache: '%s' is in the mountpoint "
			    "'%s'; give another with --cache-dir",
			directory, o->covers);
	else if (chunk_cache_open(directory, o->settings->cache_size, &l->cache, &e) < 0)
		log_warning("going on without the chunk cache: %s", e.text);
	else
		watch_cache(l, directory);
}

/* As many ranges ahead as there are connections, less one that demands find free. */
static int start_prefetcher(
	struct larderfs *l, const struct larderfs_options *o, struct error *e)
{
	if (o->prefetch == PREFETCH_NONE)
		return 0;
	unsigned threads = o->settings->concurrency;
	threads = threads > PREFETCH_THREADS ? PREFETCH_THREADS : threads;
	return prefetcher_new(
		threads > 1 ? threads - 1 : 1, AHEAD_LIMIT, &l->prefetcher, e);
}

static int start(struct larderfs *l, const struct larderfs_options *o, struct error *e)
{
	int r = store_new(o->store, o->settings, &l->store, e);
	if (r < 0)
		return r;
	open_cache(l, o);
	r = start_prefetcher(l, o, e);
	if (r < 0)
		return r;
	l->supply = (struct supply){
		.store = l->store,
		.cache = l->cache,
		.slots = &l->slots,
		.frame_budget = FRAME_BUDGET,
		.hoard = &l->hoard,
		.history = &l->history,
		.decoders = &l->decoders,
		.cache_dir = l->cache ? o->settings->cache_dir : NULL,
		.cache_size = o->settings->cache_size,
		.prefetcher = l->prefetcher,
		.prefetch_all = o->prefetch == PREFETCH_ALL,
		.timeout_ns = o->settings->timeout_ns,
		.converter = &l->converter,
	};
	const struct crowd crowds[] = {
		requests_crowd(&l->requests),
		gate_crowd(&l->gate),
	};
	r = watcher_start(&l->watcher, crowds, 2);
	return r < 0 ? error_set_errno(e, r, "cannot start a thread") : 0;
}

int larderfs_new(const struct larderfs_options *o, struct larderfs **ret, struct error *e)
{
	struct larderfs *l = calloc(1, sizeof(*l));
	if (!l)
		return error_set_errno(e, -ENOMEM, "cannot start");
	l->owner = o->owner;
	l->timeout_ns = o->settings->timeout_ns;
	l->started_ns = clock_monotonic_ns();
	l->since = clock_realtime();
	l->hooks = (struct doorway_hooks){
		.succeeded = on_succeeded,
		.opened = on_opened,
		.denied = on_denied,
		.arg = l,
	};
	slots_init(&l->slots);
	hoard_init(&l->hoard, HOARD_LIMIT);
	history_init(&l->history);
	decoders_init(&l->decoders);
	converter_init(&l->converter, supply_convert, &l->supply);
	requests_init(&l->requests, &l->watcher);
	gate_init(&l->gate, &l->watcher);
	setbacks_init(&l->setbacks);
	complaints_init(&l->complaints);
	feeder_init(&l->feeder);
	int r = start(l, o, e);
	if (r < 0) {
		larderfs_free(l);
		return r;
	}
	*ret = l;
	return 0;
}

static int open_one_key(struct larderfs *l, const struct call *call, struct error *e)
{
	struct shown top;
	CLEANUP(cleanup_generation) struct generation *g = NULL;
	keyspace_node(l->keyspace, 0, &top);
	return doorway_generation(top.doorway, call, &g, e);
}

int larderfs_show(
	struct larderfs *l, const struct call *call, const char *key, struct error *e)
{
	int r = keyspace_new(&l->supply, &l->hooks, key, &l->keyspace);
	if (r < 0)
		return error_set_errno(e, r, "cannot start");
	if (key) {
		l->supply.unhurried = true;
		r = open_one_key(l, call, e);
		l->supply.unhurried = false;
	}
	if (r < 0) {
		keyspace_free(l->keyspace);
		l->keyspace = NULL;
	}
	return r;
}

struct generation *larderfs_one_key(struct larderfs *l)
{
	struct shown top;
	if (keyspace_node(l->keyspace, 0, &top) < 0 || !top.doorway)
		return NULL;
	return doorway_current(top.doorway);
}

int larderfs_attach(struct larderfs *l, struct fuse_session *session)
{
	struct notifier_ops ops;
	notifier_session_ops(session, &ops);
	feeder_attach(&l->feeder, session);
	return notifier_new(&ops, &l->notifier);
}

void larderfs_cancel(struct larderfs *l)
{
	requests_cancel_all(&l->requests);
	gate_cancel_waiting(&l->gate);
}

void larderfs_detach(struct larderfs *l)
{
	feeder_stop(&l->feeder);
	watcher_stop(&l->watcher);
	notifier_stop(l->notifier);
}

/* The kernel forgets nothing when it is cut off. */
static void forget_everything(struct larderfs *l)
{
	for (uint32_t slot = 1; slot < slots_end(&l->slots); slot++) {
		struct generation *g = slots_get(&l->slots, slot);
		if (g)
			generation_forget_all(g);
	}
}

void larderfs_free(struct larderfs *l)
{
	if (!l)
		return;
	converter_finish(&l->converter);
	notifier_free(l->notifier);
	forget_everything(l);
	keyspace_free(l->keyspace);
	watcher_finish(&l->watcher);
	requests_finish(&l->requests);
	feeder_finish(&l->feeder);
	setbacks_finish(&l->setbacks);
	gate_finish(&l->gate);
	slots_finish(&l->slots);
	hoard_finish(&l->hoard);
	history_finish(&l->history);
	decoders_finish(&l->decoders);
	prefetcher_free(l->prefetcher);
	chunk_cache_free(l->cache);
	complaints_finish(&l->complaints);
	store_free(l->store);
	free(l);
}
