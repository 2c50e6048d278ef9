#include "fetch/chunk_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "fetch/base/call.h"
#include "fetch/base/io.h"
#include "fetch/base/lock.h"
#include "fetch/base/log.h"
#include "fetch/base/thread.h"
#include "fetch/chunk_claims.h"
#include "fetch/chunk_evict.h"
#include "fetch/chunk_folder.h"
#include "fetch/chunk_pack.h"
#include "fetch/chunk_tally.h"

#define CHUNK_NAME_SIZE (3 + DIGEST_HEX_SIZE) /* "xx/", 64 digits, NUL */
#define SWEPT           (-EAGAIN) /* what was being written has been removed */
#define TEMP_PATH_SIZE  (sizeof(CHUNK_FOLDER_TEMP "/") - 1 + TEMP_NAME_SIZE)
#define PACKS_FROM      ((uint64_t)64 << 20) /* a smaller cache keeps chunks singly */
#define PAUSE_NS        (60 * NS_PER_SECOND) /* after a failure nothing is written */
#define USE_SECONDS     60 /* a use is recorded when the last one is older */

struct chunk_cache {
	char *name;                 /* owned: DIR's path */
	struct chunk_folder folder; /* the numbers stay, what they stand for may change */
	struct tally tally;         /* has the folder's `size` */
	uint64_t max;               /* bytes; 0: no limit */
	atomic_bool links;          /* files may have several names here */
	uint64_t session;           /* random: makes our temporary names ours */
	atomic_uint_fast64_t next_temp;

	atomic_uint_fast64_t paused_until_ns; /* when a put may try; 0: writing goes on */
	atomic_int paused_by;                 /* why it pauses, or did last; -errno */
	chunk_cache_pause_fn *on_pause;       /* set before the first put; may be NULL */
	void *on_pause_arg;

	pthread_mutex_t lock;
	bool evicting;     /* under lock: the thread runs, or must not */
	bool wanted;       /* under lock: evicting, once more */
	bool has_thread;   /* under lock: the thread is to be joined */
	pthread_t evictor; /* under lock */
};

static void chunk_name(const struct digest *d, char ret[static CHUNK_NAME_SIZE])
{
	digest_hex(d, ret + 3);
	ret[0] = ret[3];
	ret[1] = ret[4];
	ret[2] = '/';
}

/* --- opening ---------------------------------------------------------------------- */

/* Descriptors or memory may be there again a moment later, and what was swept may be left
 * alone. */
static bool is_passing(int code)
{
	return code == -EMFILE || code == -ENFILE || code == -ENOMEM || code == -EINTR ||
	       code == SWEPT;
}

static void tell(const struct chunk_cache *c, int code)
{
	log_debug("writing to the chunk cache %s: %s", code < 0 ? "pauses" : "goes on",
		strerror(-code));
	if (c->on_pause)
		c->on_pause(c->on_pause_arg, c->name, code);
}

/* The first failure is told. Those that come while writing pauses are the same, as a rule. */
static void pause_writing(struct chunk_cache *c, int code)
{
	uint_fast64_t going_on = 0;
	if (!atomic_compare_exchange_strong(
		    &c->paused_until_ns, &going_on, clock_monotonic_ns() + PAUSE_NS))
		return;
	atomic_store(&c->paused_by, code);
	tell(c, code);
}

static void on_failure(struct chunk_cache *c, int code)
{
	if (!is_passing(code))
		pause_writing(c, code);
}

/* Counts what is there and removes what is too much; holds DIR/lock, and lets it go. */
static void scan(struct chunk_cache *c)
{
	struct evict_result left;
	int64_t now_s = clock_realtime_s();
	uint64_t before = tally_begin_scan(&c->tally);
	int r = chunk_evict(c->folder.chunks, c->max, now_s, &left);
	if (r < 0)
		on_failure(c, r);
	else
		tally_set(&c->tally, before, left.bytes, now_s);
	tally_unlock(c->folder.evict);
}

/* Where there is no sum yet, before anything is added to it. */
static void count(struct chunk_cache *c)
{
	if (!tally_is_counted(&c->tally) && tally_try_lock(c->folder.evict))
		scan(c);
}

/* What only writing needs; a cache that has none of it is still read. */
static int open_for_writing(struct chunk_cache *c)
{
	int r = chunk_folder_open_for_writing(&c->folder);
	if (r < 0) {
		pause_writing(c, r);
		r = chunk_folder_stand_in(&c->folder);
	}
	if (r < 0)
		return r;
	tally_init(&c->tally, steal_fd(&c->folder.size));
	if (chunk_cache_writable(c))
		count(c);
	return 0;
}

int chunk_cache_open(
	const char *dir, uint64_t max_bytes, struct chunk_cache **ret, struct error *e)
{
	CLEANUP(cleanup_chunk_cache) struct chunk_cache *c = calloc(1, sizeof(*c));
	if (!c)
		return error_set_errno(e, -ENOMEM, "cannot open cache folder '%s'", dir);
	c->folder = CHUNK_FOLDER_NONE;
	c->max = max_bytes;
	atomic_store(&c->links, true);
	pthread_mutex_init(&c->lock, NULL);
	tally_init(&c->tally, -1);
	c->name = strdup(dir);
	if (!c->name)
		return error_set_errno(e, -ENOMEM, "cannot open cache folder '%s'", dir);
	if (getrandom(&c->session, sizeof(c->session), 0) != sizeof(c->session))
		return error_set_errno(e, -EIO, "cannot get random bytes");
	int r = chunk_folder_open(dir, &c->folder, e);
	if (r < 0)
		return r;
	r = open_for_writing(c);
	if (r < 0)
		return error_set_errno(e, r, "cannot open cache folder '%s'", dir);
	*ret = steal_pointer(c);
	return 0;
}

void chunk_cache_free(struct chunk_cache *c)
{
	if (!c)
		return;
	if (c->has_thread)
		pthread_join(c->evictor, NULL);
	tally_finish(&c->tally);
	chunk_folder_finish(&c->folder);
	pthread_mutex_destroy(&c->lock);
	free(c->name);
	free(c);
}

int chunk_cache_on_pause(struct chunk_cache *c, chunk_cache_pause_fn *fn, void *arg)
{
	c->on_pause = fn;
	c->on_pause_arg = arg;
	return chunk_cache_writable(c) ? 0 : atomic_load(&c->paused_by);
}

bool chunk_cache_writable(struct chunk_cache *c)
{
	return !atomic_load(&c->paused_until_ns);
}

uint64_t chunk_cache_room(struct chunk_cache *c)
{
	if (!chunk_cache_writable(c))
		return 0;
	return c->max ? chunk_evict_target(c->max) : UINT64_MAX;
}

size_t chunk_cache_claim(struct chunk_cache *c, uint64_t table, size_t first,
	size_t count, size_t *ret_busy)
{
	return claims_take(c->folder.claims, table, first, count, ret_busy);
}

void chunk_cache_unclaim(
	struct chunk_cache *c, uint64_t table, size_t first, size_t count)
{
	claims_drop(c->folder.claims, table, first, count);
}

/* --- reading ----------------------------------------------------------------------- */

bool chunk_cache_has(struct chunk_cache *c, const struct digest *d)
{
	char name[CHUNK_NAME_SIZE];
	chunk_name(d, name);
	return faccessat(c->folder.chunks, name, F_OK, 0) == 0;
}

static int read_proved(int fd, const struct stat *st, const struct chunk *want, void *buf)
{
	uint64_t size = (uint64_t)st->st_size, offset = 0;
	if (size != want->len &&
		chunk_pack_find(fd, size, want->digest, want->len, &offset) < 0)
		return -EBADMSG;
	if (pread_exactly(fd, buf, want->len, offset) < 0)
		return -EBADMSG;
	int r = chunk_prove(want, buf);
	return r == -ENOMEM ? -ENOENT : r; /* nobody can tell: it stays */
}

static void record_use(int fd, const struct stat *st)
{
	if (clock_realtime_s() - st->st_mtim.tv_sec > USE_SECONDS)
		futimens(fd, NULL);
}

int chunk_cache_get(struct chunk_cache *c, const struct chunk *want, void *buf)
{
	char name[CHUNK_NAME_SIZE];
	struct stat st;
	chunk_name(want->digest, name);
	CLEANUP(cleanup_close)
	int fd = openat(c->folder.chunks, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -ENOENT;
	int r = read_proved(fd, &st, want, buf);
	if (r == 0)
		record_use(fd, &st);
	if (r != -EBADMSG)
		return r;
	/* A file goes with its last name; one that is elsewhere is for a scan to see. */
	if (unlinkat(c->folder.chunks, name, 0) == 0 && st.st_nlink <= 1)
		tally_change(&c->tally, -(int64_t)st.st_size);
	return r;
}

/* --- evicting ---------------------------------------------------------------------- */

static bool is_due(struct chunk_cache *c)
{
	return c->max && (tally_total(&c->tally) > c->max ||
				 tally_wants_scan(&c->tally, c->max, clock_realtime_s()));
}

/* Has anybody found it due meanwhile? What is put behind a scan's back is not overlooked
 * so. True: DIR/lock is held again. */
static bool is_wanted_again(struct chunk_cache *c)
{
	LOCK_SCOPE(&c->lock);
	c->evicting = c->wanted && tally_try_lock(c->folder.evict);
	c->wanted = false;
	return c->evicting;
}

static void *evict(void *arg)
{
	struct chunk_cache *c = arg;
	scan(c);
	while (is_wanted_again(c)) {
		if (is_due(c))
			scan(c);
		else
			tally_unlock(c->folder.evict);
	}
	return NULL;
}

/* One evictor in this process, and by DIR/lock one among all. */
static void start_eviction(struct chunk_cache *c)
{
	LOCK_SCOPE(&c->lock);
	c->wanted = c->evicting;
	if (c->evicting || !tally_try_lock(c->folder.evict))
		return;
	if (c->has_thread)
		pthread_join(c->evictor, NULL); /* it has ended */
	c->evicting = thread_start(&c->evictor, evict, c) == 0;
	c->has_thread = c->evicting;
	if (!c->evicting)
		tally_unlock(c->folder.evict);
}

/* Is there room for len more bytes? While others evict, an eighth above the limit. */
static bool has_room(struct chunk_cache *c, size_t len)
{
	return !c->max ||
	       (len <= c->max && tally_total(&c->tally) <= c->max + c->max / 8);
}

/* --- going on after a pause --------------------------------------------------------- */

/* Nobody evicts, in this process, until allow_eviction(). False: somebody does. */
static bool forbid_eviction(struct chunk_cache *c)
{
	LOCK_SCOPE(&c->lock);
	if (c->evicting)
		return false;
	c->evicting = true;
	return true;
}

static void allow_eviction(struct chunk_cache *c)
{
	LOCK_SCOPE(&c->lock);
	c->evicting = false;
}

/* DIR may be another one by now. Its sum moves first: that is what may have to wait. */
static int reopen(struct chunk_cache *c)
{
	CLEANUP(chunk_folder_finish) struct chunk_folder fresh = CHUNK_FOLDER_NONE;
	int r = chunk_folder_open(c->name, &fresh, NULL);
	if (r == 0)
		r = chunk_folder_open_for_writing(&fresh);
	if (r < 0)
		return r;
	if (!forbid_eviction(c))
		return -EBUSY;
	r = tally_move(&c->tally, fresh.size);
	if (r == 0)
		r = chunk_folder_replace(&c->folder, &fresh);
	if (r == 0)
		count(c);
	allow_eviction(c);
	return r;
}

/* One put, when the pause is over, and the next one a pause later, unless this one is
 * written. */
static bool try_again(struct chunk_cache *c)
{
	uint_fast64_t until = atomic_load(&c->paused_until_ns);
	uint64_t now_ns = clock_monotonic_ns();
	return until && now_ns >= until &&
	       atomic_compare_exchange_strong(
		       &c->paused_until_ns, &until, now_ns + PAUSE_NS) &&
	       reopen(c) == 0;
}

static void go_on_writing(struct chunk_cache *c)
{
	atomic_store(&c->paused_until_ns, 0);
	tell(c, 0);
}

/* --- writing ----------------------------------------------------------------------- */

/* Chunks that lie one behind the other, none of them in the cache. All borrowed. */
struct chunk_run {
	const struct digest *digests;
	const uint64_t *offsets; /* count + 1 */
	size_t count;
	const unsigned char *data; /* from offsets[0] on */
};

/* Whoever cleans empty directories away takes this one too: it is made when missed. */
static int open_temp(struct chunk_cache *c, const char *temp)
{
	const int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;
	int fd = openat(c->folder.dir, temp, flags, 0600);
	if (fd < 0 && errno == ENOENT &&
		(mkdirat(c->folder.dir, CHUNK_FOLDER_TEMP, 0700) == 0 || errno == EEXIST))
		fd = openat(c->folder.dir, temp, flags, 0600);
	return fd < 0 ? -errno : fd;
}

static int write_temp(struct chunk_cache *c, const char *temp,
	const struct chunk_run *run, size_t *ret_size)
{
	CLEANUP(cleanup_close) int fd = open_temp(c, temp);
	if (fd < 0)
		return fd;
	*ret_size = (size_t)(run->offsets[run->count] - run->offsets[0]);
	int r = run->count == 1 ? write_fully(fd, run->data, *ret_size)
				: chunk_pack_write(fd, run->digests, run->offsets,
					  run->count, run->data, ret_size);
	if (r == 0 && close(steal_fd(&fd)) < 0)
		r = -errno;
	return r;
}

typedef int name_fn(int from_dir, const char *from, int to_dir, const char *to);

static int give_second_name(int from_dir, const char *from, int to_dir, const char *to)
{
	return linkat(from_dir, from, to_dir, to, 0);
}

/* Renames or links to a chunk's name. The directory of its first two digits is made when
 * it is missed. */
static int give_name(struct chunk_cache *c, name_fn *rename_or_link, const char *temp,
	const char *name)
{
	char dir[3] = {name[0], name[1]};
	int from = c->folder.dir, to = c->folder.chunks;
	if (rename_or_link(from, temp, to, name) == 0)
		return 0;
	if (errno != ENOENT || (mkdirat(to, dir, 0700) < 0 && errno != EEXIST))
		return -errno;
	return rename_or_link(from, temp, to, name) < 0 ? -errno : 0;
}

/* A chunk that gets no name is not in the cache, that is all. */
static void name_others(
	struct chunk_cache *c, const char *temp, const struct chunk_run *run)
{
	for (size_t i = 1; i < run->count; i++) {
		char name[CHUNK_NAME_SIZE];
		chunk_name(&run->digests[i], name);
		int r = give_name(c, give_second_name, temp, name);
		if (r < 0 && r != -EEXIST && r != -ENOENT) {
			atomic_store(&c->links, false);
			return;
		}
	}
}

/* It is renamed last: what is missing has been swept. */
static int rename_temp(struct chunk_cache *c, const char *temp, const char *name)
{
	int r = give_name(c, renameat, temp, name);
	return r == -ENOENT && faccessat(c->folder.dir, temp, F_OK, 0) < 0 ? SWEPT : r;
}

static int write_run(struct chunk_cache *c, const struct chunk_run *run, size_t *ret_size)
{
	char temp[TEMP_PATH_SIZE] = CHUNK_FOLDER_TEMP "/", name[CHUNK_NAME_SIZE];
	chunk_name(&run->digests[0], name);
	chunk_temp_name(c->session, atomic_fetch_add(&c->next_temp, 1),
		temp + strlen(CHUNK_FOLDER_TEMP "/"));
	int r = write_temp(c, temp, run, ret_size);
	if (r == 0) {
		name_others(c, temp, run);
		r = rename_temp(c, temp, name);
	}
	/* It is there still when that failed, or the name was this file's already. */
	unlinkat(c->folder.dir, temp, 0);
	return r;
}

/* True when it has been written. */
static bool put_run(struct chunk_cache *c, const struct chunk_run *run)
{
	size_t size;
	bool room = has_room(c, (size_t)(run->offsets[run->count] - run->offsets[0]));
	if (room) {
		int r = write_run(c, run, &size);
		if (r < 0) {
			on_failure(c, r);
			return false;
		}
		tally_change(&c->tally, (int64_t)size);
	}
	if (is_due(c))
		start_eviction(c);
	return room;
}

/* How many of the chunks from `first` on go into one file. */
static size_t absent_run(
	struct chunk_cache *c, const struct digest *digests, size_t first, size_t count)
{
	bool packs = atomic_load(&c->links) && !(c->max && c->max < PACKS_FROM);
	size_t most = packs ? PACK_CHUNKS_MAX : 1, n = 0;
	while (n < most && first + n < count && !chunk_cache_has(c, &digests[first + n]))
		n++;
	return n;
}

void chunk_cache_put_run(struct chunk_cache *c, const struct digest *digests,
	const uint64_t *offsets, size_t count, const void *data)
{
	bool again = !chunk_cache_writable(c);
	if (again && !try_again(c))
		return;
	for (size_t i = 0, n; i < count && (again || chunk_cache_writable(c));
		i += n ? n : 1) {
		n = absent_run(c, digests, i, count);
		const struct chunk_run run = {
			.digests = digests + i,
			.offsets = offsets + i,
			.count = n,
			.data = (const unsigned char *)data + (offsets[i] - offsets[0]),
		};
		if (!n)
			continue;
		bool written = put_run(c, &run);
		if (again && !written)
			return;
		if (again)
			go_on_writing(c);
		again = false;
	}
}

void chunk_cache_put(
	struct chunk_cache *c, const struct digest *d, const void *data, size_t len)
{
	const uint64_t offsets[2] = {0, len};
	chunk_cache_put_run(c, d, offsets, 1, data);
}
