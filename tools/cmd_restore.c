/*
 * larder restore: a key's tree, unpacked.
 *
 *     unpack_archive -> chunk source (digests, cache) -> pinned source (412: reopen) ->
 * store
 *
 * When the key is overwritten with other content meanwhile, the tree begun is thrown away
 * and the new version restored, at most --retries times.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "archive/unpack.h"
#include "fetch/base/json_out.h"
#include "fetch/base/log.h"
#include "fetch/base/output_file.h"
#include "fetch/base/path_within.h"
#include "fetch/chunk_cache.h"
#include "fetch/pinned_source.h"
#include "tools/command.h"
#include "tools/human.h"
#include "tools/mounted.h"
#include "tools/open_archive.h"
#include "tools/progress.h"

/* One version of the key, on its way to the disk. */
struct attempt {
	struct object *object;       /* owned until the pinned source takes it over */
	struct archive *archive;     /* owned */
	struct range_source *local;  /* owned; of a foreign archive, converted; else NULL */
	struct range_source *pinned; /* owned */
	struct range_source *source; /* owned: proves what it reads */
	struct pin pin;
	struct chunk_stats stats;
};

struct restore {
	const struct options *o; /* borrowed */
	const char *target;      /* borrowed */
	struct key_choice keys;  /* owned: those asked for */
	const char *wanted;      /* borrowed from keys: the first of them */
	struct object *object;   /* owned: what was found, until an attempt takes it */
	char *found;             /* owned: the key there is; NULL: a miss */
	struct session session;
	struct chunk_cache *cache; /* owned; NULL: none */
	bool uncached; /* nothing is kept, not even what a foreign archive becomes */
	uint64_t begun_ns;
	struct progress progress;
	struct unpack_progress last;
};

static void attempt_finish(struct attempt *a)
{
	range_source_free(a->source);
	range_source_free(a->pinned);
	range_source_free(a->local);
	object_free(a->object);
	archive_free(a->archive);
}

static void restore_finish(struct restore *r)
{
	chunk_cache_free(r->cache);
	object_free(r->object);
	session_finish(&r->session);
	key_choice_finish(&r->keys);
	free(r->found);
}

/* --- which key -------------------------------------------------------------------------
 */

static int open_key(void *arg, const char *key, struct error *e)
{
	struct restore *r = arg;
	int code = session_open_object(
		&r->session, key, ARCHIVE_TAIL_SIZE, &r->object, e);
	if (code < 0)
		return code;
	free(r->found);
	r->found = strdup(key);
	return r->found ? 0 : error_set_errno(e, -ENOMEM, "cannot open key '%s'", key);
}

/* --- one version -----------------------------------------------------------------------
 */

/* pinned_judge_fn: is the object that is there now the same content? */
static int judge(
	void *arg, const struct call *call, struct object **fresh, struct error *e)
{
	const struct attempt *a = arg;
	struct digest identity;
	size_t len;
	const void *tail = object_tail(*fresh, &len);
	int r = archive_identify(
		object_source(*fresh), call, tail, len, &identity, NULL, e);
	if (r == 0 && !digest_equal(&identity, archive_identity(a->archive)))
		r = error_set(e, -ESTALE, "the key was overwritten with other content");
	return r == -EBADMSG ? -ESTALE : r; /* no archive any more: other content too */
}

static int load(struct restore *r, struct attempt *a, struct error *e)
{
	int code = open_archive(&r->session, &r->o->settings, r->found, a->object,
		r->uncached, &a->archive, &a->local, e);
	if (code < 0)
		return code;
	object_drop_tail(a->object);
	a->pin = *object_pin(a->object);
	code = pinned_source_new(r->session.store, r->found, steal_pointer(a->object),
		ARCHIVE_TAIL_SIZE, judge, a, &a->pinned);
	if (code < 0)
		return error_set_errno(e, code, "cannot open key '%s'", r->found);
	struct chunk_table table;
	archive_chunks(a->archive, &table);
	return chunk_source_new(a->local ? a->local : a->pinned, &table,
		a->local ? NULL : r->cache, r->found, &a->source, e);
}

static void warn(void *arg, const char *sentence)
{
	const struct restore *r = arg;
	if (r->progress.terminal && !r->progress.silent)
		fputs("\r\033[K", stderr);
	log_warning("%s", sentence);
}

static void show(void *arg, const struct unpack_progress *p)
{
	struct restore *r = arg;
	r->last = *p;
	progress_show(&r->progress, p->bytes, p->total_bytes);
}

static int unpack(struct restore *r, struct attempt *a, struct error *e)
{
	int code = load(r, a, e);
	if (code < 0)
		return code;
	const struct unpack_options options = {
		.preserve_owner = r->o->preserve_owner,
		.warn = warn,
		.progress = show,
		.arg = r,
	};
	progress_init(&r->progress, "restoring", r->o->quiet);
	code = unpack_archive(
		a->archive, a->source, &r->session.call, r->target, &options, e);
	progress_finish(&r->progress);
	chunk_source_stats(a->source, &a->stats);
	return code;
}

/* --- afterwards ------------------------------------------------------------------------
 */

/* Names, as `larder commit` counts them: several may be of one inode. */
static uint64_t count_files(const struct attempt *a)
{
	const struct index *ix = archive_index(a->archive);
	uint64_t count = 0;
	for (uint32_t i = 0; i < index_count(ix); i++)
		count += S_ISREG(index_mode(ix, i));
	return count;
}

static void print_json(const struct restore *r, const struct attempt *a)
{
	printf("{\"key\":");
	json_string(stdout, r->wanted);
	printf(",\"hit\":%s", a && key_choice_is_exact(&r->keys, r->found) ? "true" : "false");
	if (a) {
		char identity[DIGEST_HEX_SIZE];
		digest_hex(archive_identity(a->archive), identity);
		printf(",\"matched_key\":");
		json_string(stdout, r->found);
		printf(",\"identity\":\"%s\",\"etag\":", identity);
		json_string(stdout, a->pin.etag);
		printf(",\"size\":%llu,\"fetched_bytes\":%llu,\"files\":%llu,\"content_"
		       "bytes\":%llu,"
		       "\"seconds\":%.3f",
			(unsigned long long)a->pin.size,
			(unsigned long long)a->stats.fetched_bytes,
			(unsigned long long)count_files(a),
			(unsigned long long)r->last.total_bytes,
			(double)(clock_monotonic_ns() - r->begun_ns) / 1e9);
	}
	puts("}");
}

static void print_words(const struct restore *r, const struct attempt *a)
{
	char content[HUMAN_SIZE], fetched[HUMAN_SIZE], time[HUMAN_SIZE];
	if (!a) {
		printf("%s: not there; nothing was restored\n", r->wanted);
		return;
	}
	human_bytes(r->last.total_bytes, content);
	human_bytes(a->stats.fetched_bytes, fetched);
	human_duration(clock_monotonic_ns() - r->begun_ns, time);
	bool exact = key_choice_is_exact(&r->keys, r->found);
	uint64_t files = count_files(a);
	printf("%s: restored%s%s%s: %llu file%s, %s, of which %s were fetched, %s\n",
		r->found, exact ? "" : " in place of '", exact ? "" : r->wanted,
		exact ? "" : "'", (unsigned long long)files, files == 1 ? "" : "s", content,
		fetched, time);
}

/* a: what was restored; NULL: a miss. */
static int conclude(const struct restore *r, const struct attempt *a, struct error *e)
{
	char identity[DIGEST_HEX_SIZE] = "";
	if (a)
		digest_hex(archive_identity(a->archive), identity);
	const struct output_facts facts = {
		.hit = a && key_choice_is_exact(&r->keys, r->found),
		.key = a ? r->found : NULL,
		.identity = identity,
		.etag = a ? a->pin.etag : NULL,
		.size = a ? a->pin.size : 0,
	};
	if (r->o->json)
		print_json(r, a);
	else if (!r->o->quiet && (a || !r->o->fail_on_miss))
		print_words(r, a);
	int code = output_append(r->o->output, &facts, e);
	if (code == 0 && !a && r->o->fail_on_miss)
		return error_set(e, -ENOENT, "there is no key '%s' in '%s'", r->wanted,
			store_name(r->session.store));
	return code;
}

/* One try: 0, or -ESTALE when the key was overwritten meanwhile. */
static int restore_once(struct restore *r, struct error *e)
{
	CLEANUP(attempt_finish) struct attempt a = {0};
	int code = session_find(&r->session, &r->keys, open_key, r, e);
	a.object = steal_pointer(r->object);
	if (code == -ENOENT)
		return conclude(r, NULL, e);
	if (code == 0)
		code = unpack(r, &a, e);
	if (code == -ENOENT)
		return -EIO; /* it vanished meanwhile */
	if (code == -ENOTEMPTY || code == -ENOTDIR)
		return -EINVAL; /* the wrong directory */
	return code < 0 ? code : conclude(r, &a, e);
}

/* Without a cache everything is fetched: no reason to fail. One in the target would be:
 * that has to be empty. */
static void open_cache(struct restore *r)
{
	const struct settings *s = &r->o->settings;
	struct error e = {0};
	if (!s->cache_dir || !*s->cache_dir)
		return;
	r->uncached = path_within(s->cache_dir, r->target);
	if (r->uncached)
		log_warning("going on without the chunk cache: '%s' is in the directory "
			    "'%s'; give another with --cache-dir",
			s->cache_dir, r->target);
	else if (chunk_cache_open(s->cache_dir, s->cache_size, &r->cache, &e) < 0)
		log_warning("%s; going on without a cache", e.text);
}

int cmd_restore(const struct options *o, struct error *e)
{
	CLEANUP(restore_finish)
	struct restore r = {
		.o = o,
		.target = o->arguments.data[o->arguments.len - 1],
		.begun_ns = clock_monotonic_ns(),
	};
	int code = session_keys(o, &r.keys, e);
	if (code == 0)
		code = mounted_demand_alive(r.target, e);
	if (code == 0)
		code = mounted_demand_none(r.target, e);
	if (code < 0)
		return code;
	r.wanted = key_choice_own(&r.keys);
	code = session_open(&r.session, o, 2, false, e);
	if (code < 0)
		return code;
	open_cache(&r);
	code = restore_once(&r, e);
	for (unsigned i = 0; code == -ESTALE && i < o->settings.retries; i++) {
		log_info(
			"key '%s' was overwritten; restoring what is there now", r.found);
		code = restore_once(&r, e);
	}
	return code;
}
