/*
 * larder verify: reads a whole object and proves every frame against the identity.
 *
 * Several threads read runs of neighbouring frames, past the chunk cache: it is the store
 * that is on trial. Whatever is damaged is named and the rest is still looked at.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "fetch/base/crew.h"
#include "fetch/base/json_out.h"
#include "fetch/base/lock.h"
#include "fetch/base/log.h"
#include "tools/command.h"
#include "tools/human.h"
#include "tools/open_archive.h"
#include "tools/progress.h"
#include "fetch/base/ticker.h"

#define TICK_NS     (NS_PER_SECOND / 10)
#define RUN_BYTES   (4u << 20) /* one range; a frame that is larger is read alone */
#define THREADS_MAX 16

struct verification {
	const struct options *o;
	struct key_choice keys; /* owned */
	char *key;              /* owned: the one that was found */
	struct session session;
	struct object *object;       /* owned */
	struct archive *archive;     /* owned */
	struct range_source *local;  /* owned; of a foreign archive, converted; else NULL */
	struct range_source *frames; /* local, or the object's */
	struct range_source *source; /* owned: proves what it reads */
	struct chunk_table table;
	uint64_t begun_ns;
	uint64_t beside;           /* damaged parts that are no frames */
	struct progress progress;  /* the ticker's, while that runs */
	atomic_uint_fast64_t done; /* bytes */

	pthread_mutex_t lock;
	/* under lock: */
	size_t next;        /* the first frame that nobody has taken */
	uint64_t damaged;   /* frames */
	int failed;         /* the first error that is not damage; ends all */
	struct error error; /* of that */
};

static void verification_finish(struct verification *v)
{
	range_source_free(v->source);
	range_source_free(v->local);
	archive_free(v->archive);
	object_free(v->object);
	session_finish(&v->session);
	key_choice_finish(&v->keys);
	free(v->key);
	pthread_mutex_destroy(&v->lock);
}

static size_t bytes_of(const struct verification *v, size_t first, size_t end)
{
	return (size_t)(v->table.offsets[end] - v->table.offsets[first]);
}

/* Takes the next run of frames: false when there is none, or something has failed. */
static bool take_run(struct verification *v, size_t *ret_first, size_t *ret_end)
{
	LOCK_SCOPE(&v->lock);
	if (v->failed || v->next == v->table.count)
		return false;
	size_t end = v->next + 1;
	while (end < v->table.count && bytes_of(v, v->next, end + 1) <= RUN_BYTES)
		end++;
	*ret_first = v->next;
	*ret_end = v->next = end;
	return true;
}

static void note_failure(struct verification *v, int r, const struct error *e)
{
	LOCK_SCOPE(&v->lock);
	if (v->failed)
		return;
	v->failed = r;
	error_copy(&v->error, e);
}

static void note_damage(struct verification *v, const struct error *e)
{
	if (v->progress.terminal && !v->progress.silent)
		fputs("\r\033[K", stderr);
	log_error("%s", e->text);
	LOCK_SCOPE(&v->lock);
	v->damaged++;
}

/* 0, or -errno that ends everything; damage is noted. */
static int read_frames(struct verification *v, const struct call *call, size_t first,
	size_t end, void *buf)
{
	struct error e = {0};
	int r = range_source_read(v->source, call, v->table.offsets[first],
		bytes_of(v, first, end), buf, &e);
	if (r == -EBADMSG && end - first > 1) { /* which ones? */
		r = 0;
		for (size_t i = first; r == 0 && i < end; i++)
			r = read_frames(v, call, i, i + 1, buf);
		return r;
	}
	atomic_fetch_add(&v->done, bytes_of(v, first, end));
	if (r == -EBADMSG) {
		note_damage(v, &e);
		return 0;
	}
	if (r < 0)
		note_failure(v, r, &e);
	return r;
}

static void work(void *arg, unsigned number, const struct call *call)
{
	struct verification *v = arg;
	size_t first, end;
	while (take_run(v, &first, &end)) {
		CLEANUP(cleanup_free) void *buf = malloc(bytes_of(v, first, end));
		if (!buf)
			note_failure(v, -ENOMEM, &(struct error){.code = -ENOMEM});
		else
			read_frames(v, call, first, end, buf);
	}
}

static void report(void *arg)
{
	struct verification *v = arg;
	progress_show(
		&v->progress, atomic_load(&v->done), v->table.offsets[v->table.count]);
}

/* Where no other thread is to be had, the calling one works. */
static void work_in_parallel(struct verification *v)
{
	unsigned wanted = v->o->settings.concurrency;
	if (wanted > THREADS_MAX)
		wanted = THREADS_MAX;
	if (!crew_run(&v->session.call, wanted, work, v))
		work(v, 0, &v->session.call);
}

static int open_key(void *arg, const char *key, struct error *e)
{
	struct verification *v = arg;
	int r = session_open_object(
		&v->session, key, ARCHIVE_TAIL_SIZE, &v->object, e);
	if (r < 0)
		return r;
	v->key = strdup(key);
	return v->key ? 0 : error_set_errno(e, -ENOMEM, "key '%s'", key);
}

static int open_object(struct verification *v, struct error *e)
{
	int r = session_find(&v->session, &v->keys, open_key, v, e);
	if (r < 0)
		return r;
	r = open_archive(&v->session, &v->o->settings, v->key, v->object, true,
		&v->archive, &v->local, e);
	if (r < 0)
		return r;
	v->frames = v->local ? v->local : object_source(v->object);
	archive_chunks(v->archive, &v->table);
	return chunk_source_new(v->frames, &v->table, NULL, v->key, &v->source, e);
}

/* What lies outside the frames. */
static int verify_sections(const struct verification *v, struct error *e)
{
	uint8_t(*digests)[16] = NULL;
	int r = archive_content_digests(
		v->archive, v->frames, &v->session.call, &digests, e);
	free(digests);
	return r == -ENOENT ? 0 : r;
}

/* The identity in the metadata is a hint to caches; a wrong one leads them astray. */
static int verify_metadata(const struct verification *v, struct error *e)
{
	const struct pin *pin = object_pin(v->object);
	if (!pin->has_identity ||
		digest_equal(&pin->identity, archive_identity(v->archive)))
		return 0;
	return error_set(e, -EBADMSG,
		"the metadata of key '%s' names another identity than its index has",
		v->key);
}

typedef int part_fn(const struct verification *v, struct error *e);

/* 0, or -errno that ends everything; damage is noted. */
static int verify_beside(struct verification *v, struct error *e)
{
	static part_fn *const parts[] = {verify_metadata, verify_sections};
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		struct error damage = {0};
		int r = parts[i](v, &damage);
		if (r == -EBADMSG) {
			log_error("%s", damage.text);
			v->beside++;
		} else if (r < 0) {
			error_copy(e, &damage);
			return r;
		}
	}
	return 0;
}

static void verify_frames(struct verification *v)
{
	struct ticker ticker;
	progress_init(&v->progress, "verifying", v->o->quiet);
	ticker_start(&ticker, TICK_NS, report, v);
	work_in_parallel(v);
	ticker_stop(&ticker);
	progress_finish(&v->progress);
}

static uint64_t all_damage(const struct verification *v)
{
	return v->damaged + v->beside;
}

static int conclude(const struct verification *v, struct error *e)
{
	if (!all_damage(v))
		return 0;
	char beside[48] = "";
	if (v->beside)
		snprintf(beside, sizeof(beside), ", and %llu part%s beside them",
			(unsigned long long)v->beside, v->beside == 1 ? "" : "s");
	return error_set(e, -EBADMSG,
		"key '%s': %llu of %zu frames are damaged%s; 'larder commit --force' "
		"publishes it anew",
		v->key, (unsigned long long)v->damaged, v->table.count, beside);
}

static int verify(struct verification *v, struct error *e)
{
	int r = verify_beside(v, e);
	if (r < 0)
		return r;
	verify_frames(v);
	if (!v->failed)
		return conclude(v, e);
	error_copy(e, &v->error);
	return v->failed;
}

static void print_words(const struct verification *v)
{
	char identity[DIGEST_HEX_SIZE], size[HUMAN_SIZE], time[HUMAN_SIZE];
	digest_hex(archive_identity(v->archive), identity);
	human_bytes(object_pin(v->object)->size, size);
	human_duration(clock_monotonic_ns() - v->begun_ns, time);
	printf("%s: sound: %zu frames, %s, identity %s, %s\n", v->key, v->table.count,
		size, identity, time);
}

/* Without its index nothing is known of the frames. */
static void print_json(const struct verification *v, bool sound)
{
	const struct pin *pin = object_pin(v->object);
	printf("{\"key\":");
	json_string(stdout, v->key);
	printf(",\"sound\":%s", sound ? "true" : "false");
	if (v->archive) {
		char identity[DIGEST_HEX_SIZE];
		digest_hex(archive_identity(v->archive), identity);
		printf(",\"frames\":%zu,\"damaged\":%llu,\"identity\":\"%s\"",
			v->table.count, (unsigned long long)all_damage(v), identity);
	}
	printf(",\"size\":%llu,\"etag\":", (unsigned long long)pin->size);
	json_string(stdout, pin->etag);
	puts("}");
}

static void print_result(const struct verification *v, bool sound)
{
	if (v->o->json)
		print_json(v, sound);
	else if (!v->o->quiet && sound)
		print_words(v);
}

int cmd_verify(const struct options *o, struct error *e)
{
	CLEANUP(verification_finish)
	struct verification v = {
		.o = o,
		.begun_ns = clock_monotonic_ns(),
		.lock = PTHREAD_MUTEX_INITIALIZER,
	};
	int r = session_keys(o, &v.keys, e);
	if (r == 0)
		r = session_open(&v.session, o, 1, false, e);
	if (r == 0)
		r = open_object(&v, e);
	if (r == 0) {
		r = verify(&v, e);
		r = r == -ENOENT ? -EIO : r; /* it vanished meanwhile */
	}
	bool damaged = all_damage(&v) || (r == -EBADMSG && v.key);
	if (r == 0 || damaged)
		print_result(&v, !damaged);
	return r;
}
