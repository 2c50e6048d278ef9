#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "archive/pack.h"
#include "fetch/base/cache_folder.h"
#include "fetch/base/json_out.h"
#include "fetch/base/log.h"
#include "fetch/base/output_file.h"
#include "fetch/base/ticker.h"
#include "fetch/publication.h"
#include "tools/command.h"
#include "tools/human.h"
#include "tools/mount_watch.h"
#include "tools/mounted.h"
#include "tools/progress.h"
#include "tools/session.h"

#define TICK_NS       (NS_PER_SECOND / 10)
#define CONFLICTS_MAX 3 /* more tries */
/* --reproducible without SOURCE_DATE_EPOCH: 1980-01-01 00:00 UTC, the oldest time that
 * every archive format and file system can hold. */
#define REPRODUCIBLE_EPOCH 315532800

struct commit {
	const struct options *o; /* borrowed */
	struct key_choice keys;  /* owned */
	const char *key;         /* borrowed from keys */
	const char *directory;   /* borrowed */
	int64_t epoch_s;         /* of --reproducible */
	int fd;                  /* owned: directory; the next is its device */
	dev_t device;
	bool has_cache; /* cache_dir is one, or could become one; cache tells which */
	struct stat cache;
	struct word_vec exclude; /* owned, NULL-ended; the patterns borrowed from o */
	struct mount_watch mounts;
	struct session session;
	struct publication *publication; /* owned; set before the ticker starts */
	uint64_t begun_ns;
	struct progress progress;           /* the ticker's, while that runs */
	atomic_uint_fast64_t packed, total; /* bytes of content */

	/* what came of it */
	bool published; /* by us, now */
	bool known;     /* pin tells of the object under the key */
	struct pin pin;
	struct pack_result result; /* when published */
};

static void commit_finish(struct commit *c)
{
	publication_free(c->publication);
	session_finish(&c->session);
	key_choice_finish(&c->keys);
	mount_watch_finish(&c->mounts);
	word_vec_finish(&c->exclude);
	cleanup_close(&c->fd);
}

/* --- before --------------------------------------------------------------------------
 */

static int check_options(const struct options *o, struct error *e)
{
	if (o->force && (o->fail_if_exists || o->unsafe_overwrite))
		return error_set(e, -EINVAL, "--force and %s exclude each other",
			o->fail_if_exists ? "--fail-if-exists" : "--unsafe-overwrite");
	return 0;
}

static int list_excludes(struct commit *c)
{
	const struct options *o = c->o;
	int r = 0;
	for (size_t i = 0; r == 0 && i < o->exclude.len; i++)
		r = word_vec_push(&c->exclude, o->exclude.data[i]);
	return r < 0 ? r : word_vec_push(&c->exclude, NULL);
}

static int open_directory(struct commit *c, struct error *e)
{
	struct stat st;
	int r = mounted_demand_alive(c->directory, e);
	if (r < 0)
		return r;
	c->fd = open(c->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (c->fd >= 0 && fstat(c->fd, &st) == 0) {
		c->device = st.st_dev;
		return 0;
	}
	r = errno == ENOENT || errno == ENOTDIR ? -EINVAL : error_recode(-errno, NULL);
	return error_set(e, r, "cannot open the directory '%s': %s", c->directory,
		strerror(errno));
}

static int read_epoch(int64_t *ret, struct error *e)
{
	const char *text = getenv("SOURCE_DATE_EPOCH");
	*ret = REPRODUCIBLE_EPOCH;
	if (!text || !*text)
		return 0;
	char *end;
	errno = 0;
	long long value = strtoll(text, &end, 10);
	if (errno || *end || end == text || value < 0)
		return error_set(e, -EINVAL,
			"SOURCE_DATE_EPOCH wants seconds since 1970, not '%s'", text);
	*ret = value;
	return 0;
}

/* --- while it runs --------------------------------------------------------------------
 */

/* On the ticker's thread: how far reading is, and then how far sending is. */
static void report(void *arg)
{
	struct commit *c = arg;
	uint64_t packed = atomic_load(&c->packed), total = atomic_load(&c->total);
	if (!total || packed < total) {
		progress_show(&c->progress, packed, total);
		return;
	}
	uint64_t written, sent;
	publication_progress(c->publication, &written, &sent);
	c->progress.verb = "publishing";
	progress_show(&c->progress, sent, written);
}

static void note_progress(void *arg, const struct pack_progress *p)
{
	struct commit *c = arg;
	atomic_store(&c->packed, p->packed_bytes);
	atomic_store(&c->total, p->total_bytes);
}

static void warn(void *arg, const char *sentence)
{
	const struct commit *c = arg;
	if (c->progress.terminal && !c->progress.silent)
		fputs("\r\033[K", stderr);
	log_warning("%s", sentence);
}

static int write_archive(void *arg, const void *data, size_t len, struct error *e)
{
	struct commit *c = arg;
	return publication_write(c->publication, &c->session.call, data, len, e);
}

static int pack(struct commit *c, struct error *e)
{
	const struct options *o = c->o;
	const struct pack_options options = {
		.level = (int)o->level,
		.preserve_owner = o->preserve_owner,
		.reproducible = o->reproducible,
		.reproducible_mtime_s = c->epoch_s,
		.exclude = c->exclude.data,
		.cache = c->has_cache ? &c->cache : NULL,
		.warn = warn,
		.progress = note_progress,
		.arg = c,
	};
	return pack_directory(c->fd, c->directory, &options, &c->session.call,
		write_archive, c, &c->result, e);
}

static int begin_watch(struct commit *c, struct error *e)
{
	const char *cache_dir = c->o->settings.cache_dir;
	c->has_cache = cache_folder_find(cache_dir, &c->cache);
	return mount_watch_begin(&c->mounts, c->directory, c->device, c->exclude.data,
		c->has_cache ? cache_dir : "", e);
}

static int pack_and_publish(struct commit *c, struct error *e)
{
	struct publish_result published;
	int r = pack(c, e);
	if (r == 0)
		r = mount_watch_end(&c->mounts, e);
	if (r == -ECANCELED)
		return error_set(e, r, "interrupted; key '%s' is not published", c->key);
	if (r == 0)
		r = publication_finish(c->publication, &c->session.call,
			&c->result.identity, &published, e);
	if (r < 0)
		return r;
	c->published = published.outcome == PUBLISHED;
	c->pin = published.pin;
	c->known = true;
	return 0;
}

/* Somebody was first, before packing began: what is there? Not knowing does no harm. */
static int look_at_theirs(struct commit *c)
{
	c->known = store_stat_object(c->session.store, &c->session.call, c->key, &c->pin,
			   NULL, NULL) == 0;
	return 0;
}

/* Says what there is to be done about a store that honours no condition. */
static int add_advice(const struct commit *c, int r, struct error *e)
{
	bool taken = c->o->force || c->o->unsafe_overwrite;
	if (r == -EOPNOTSUPP && e && !taken) {
		const struct error found = *e;
		error_set(e, r, "%s; --unsafe-overwrite publishes all the same",
			found.text);
	}
	return r;
}

static int publish_once(struct commit *c, struct error *e)
{
	const struct options *o = c->o;
	const struct publish_options options = {
		.condition = o->force              ? PUBLISH_OVERWRITE
			     : o->unsafe_overwrite ? PUBLISH_UNSAFE_OVERWRITE
						   : PUBLISH_IF_ABSENT,
	};
	int r = publication_begin(
		c->session.store, &c->session.call, c->key, &options, &c->publication, e);
	if (r == -EEXIST)
		return look_at_theirs(c);
	if (r == 0)
		r = begin_watch(c, e);
	if (r < 0)
		return r;
	struct ticker ticker;
	progress_init(&c->progress, "packing", o->quiet);
	ticker_start(&ticker, TICK_NS, report, c);
	r = pack_and_publish(c, e);
	ticker_stop(&ticker);
	progress_finish(&c->progress);
	return r;
}

/* A conflict with another write uses up what was uploaded, so it is packed once more. */
static int publish(struct commit *c, struct error *e)
{
	int r = publish_once(c, e);
	for (unsigned i = 0; r == -EAGAIN && i < CONFLICTS_MAX; i++) {
		publication_free(steal_pointer(c->publication));
		r = publish_once(c, e);
	}
	return r < 0 ? add_advice(c, r, e) : 0;
}

/* --- afterwards ------------------------------------------------------------------------
 */

/* The identity of what is under the key now, as far as it is known: else "". */
static void word_identity(const struct commit *c, char ret[static DIGEST_HEX_SIZE])
{
	ret[0] = '\0';
	if (c->published)
		digest_hex(&c->result.identity, ret);
	else if (c->known && c->pin.has_identity)
		digest_hex(&c->pin.identity, ret);
}

static uint64_t object_size(const struct commit *c)
{
	return c->published ? c->result.stored_bytes : c->pin.size;
}

static void print_json(const struct commit *c, const char *identity)
{
	printf("{\"key\":");
	json_string(stdout, c->key);
	printf(",\"store\":");
	json_string(stdout, store_name(c->session.store));
	printf(",\"outcome\":\"%s\"", c->published ? "published" : "already-published");
	if (*identity)
		printf(",\"identity\":\"%s\"", identity);
	if (c->known && c->pin.etag[0]) {
		printf(",\"etag\":");
		json_string(stdout, c->pin.etag);
	}
	if (c->known)
		printf(",\"size\":%llu", (unsigned long long)object_size(c));
	if (c->published)
		printf(",\"entries\":%llu,\"files\":%llu,\"content_bytes\":%llu,"
		       "\"left_out\":%llu,\"seconds\":%.3f",
			(unsigned long long)c->result.entries,
			(unsigned long long)c->result.files,
			(unsigned long long)c->result.content_bytes,
			(unsigned long long)c->result.left_out,
			(double)(clock_monotonic_ns() - c->begun_ns) / 1e9);
	puts("}");
}

static void print_words(const struct commit *c)
{
	char size[HUMAN_SIZE], content[HUMAN_SIZE], time[HUMAN_SIZE];
	human_bytes(object_size(c), size);
	human_bytes(c->result.content_bytes, content);
	human_duration(clock_monotonic_ns() - c->begun_ns, time);
	if (c->published)
		printf("%s: published: %llu file%s, %s in %s, %s\n", c->key,
			(unsigned long long)c->result.files,
			c->result.files == 1 ? "" : "s", content, size, time);
	else if (c->known)
		printf("%s: already published (%s); left as it is\n", c->key, size);
	else
		printf("%s: already published; left as it is\n", c->key);
}

static int conclude(const struct commit *c, struct error *e)
{
	char identity[DIGEST_HEX_SIZE];
	word_identity(c, identity);
	const struct output_facts facts = {
		.hit = !c->published,
		.key = c->key,
		.identity = identity,
		.etag = c->known ? c->pin.etag : NULL,
		.size = c->known ? object_size(c) : 0,
	};
	if (c->o->json)
		print_json(c, identity);
	else if (!c->o->quiet && (c->published || !c->o->fail_if_exists))
		print_words(c);
	int r = output_append(c->o->output, &facts, e);
	if (r == 0 && !c->published && c->o->fail_if_exists)
		return error_set(e, -EEXIST, "key '%s' is already published in '%s'",
			c->key, store_name(c->session.store));
	return r;
}

int cmd_commit(const struct options *o, struct error *e)
{
	CLEANUP(commit_finish)
	struct commit c = {
		.o = o,
		.directory = o->arguments.data[o->arguments.len - 1],
		.fd = -1,
		.begun_ns = clock_monotonic_ns(),
	};
	int r = check_options(o, e);
	if (r == 0 && o->reproducible)
		r = read_epoch(&c.epoch_s, e);
	if (r == 0)
		r = session_keys(o, &c.keys, e);
	if (r < 0)
		return r;
	c.key = key_choice_own(&c.keys);
	r = list_excludes(&c);
	if (r == 0)
		r = open_directory(&c, e);
	if (r == 0)
		r = session_open(&c.session, o, 2, false, e);
	if (r == 0)
		r = publish(&c, e);
	if (r == 0)
		r = conclude(&c, e);
	return r == -ENOENT ? -EIO : r; /* whatever is not there: it is no miss */
}
