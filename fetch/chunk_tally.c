#include "fetch/chunk_tally.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "fetch/base/bytes.h"
#include "fetch/base/cleanup.h"
#include "fetch/base/io.h"
#include "fetch/base/lock.h"

#define RECORD_SIZE  32
#define RECORD_MAGIC "LARDERSZ"
#define LOCK_TRIES   100 /* it is held for two system calls */
#define SCAN_SECONDS 86400

struct record {
	uint64_t total;
	uint64_t unscanned;
	uint64_t scanned_s;
};

bool tally_try_lock(int fd)
{
	return flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK;
}

void tally_unlock(int fd)
{
	flock(fd, LOCK_UN);
}

static bool lock_record(int fd)
{
	for (unsigned i = 0; i < LOCK_TRIES; i++) {
		if (tally_try_lock(fd))
			return true;
		sched_yield();
	}
	return false;
}

static bool record_read(int fd, struct record *ret)
{
	uint8_t raw[RECORD_SIZE];
	if (pread_exactly(fd, raw, sizeof(raw), 0) < 0 ||
		memcmp(raw, RECORD_MAGIC, 8) != 0)
		return false;
	ret->total = load_le64(raw + 8);
	ret->unscanned = load_le64(raw + 16);
	ret->scanned_s = load_le64(raw + 24);
	return true;
}

static void record_write(int fd, const struct record *r)
{
	uint8_t raw[RECORD_SIZE];
	memcpy(raw, RECORD_MAGIC, 8);
	store_le64(raw + 8, r->total);
	store_le64(raw + 16, r->unscanned);
	store_le64(raw + 24, r->scanned_s);
	pwrite_fully(fd, raw, sizeof(raw), 0); /* a lost sum is found by the next scan */
}

static uint64_t shift(uint64_t sum, int64_t by)
{
	if (by < 0)
		return sum > (uint64_t)-by ? sum - (uint64_t)-by : 0;
	return sum + (uint64_t)by;
}

static void see(struct tally *t, const struct record *r)
{
	t->counted = true;
	t->total = r->total;
	t->unscanned = r->unscanned;
	t->scanned_s = r->scanned_s;
}

void tally_init(struct tally *t, int fd)
{
	struct record r;
	*t = (struct tally){.fd = fd, .lock = PTHREAD_MUTEX_INITIALIZER};
	if (fd >= 0 && record_read(fd, &r))
		see(t, &r);
}

void tally_finish(struct tally *t)
{
	tally_change(t, 0);
	cleanup_close(&t->fd);
	pthread_mutex_destroy(&t->lock);
}

/* What a thread brings to the file. */
struct errand {
	int64_t bytes;
	struct tally_scan scan;
};

/* The right to go to the file; who has it takes along what is waiting. */
static bool enter(struct tally *t, int64_t more, struct errand *ret)
{
	LOCK_SCOPE(&t->lock);
	t->pending += more;
	if (t->busy || t->fd < 0)
		return false;
	t->busy = true;
	*ret = (struct errand){t->pending, t->scan};
	t->pending = 0;
	t->scan.done = false;
	return true;
}

/* now: what the file holds; NULL: nothing could be brought there. */
static void leave(struct tally *t, const struct errand *errand, const struct record *now)
{
	LOCK_SCOPE(&t->lock);
	t->busy = false;
	if (now) {
		see(t, now);
		return;
	}
	t->pending += errand->bytes;
	if (!t->scan.done)
		t->scan = errand->scan;
}

/* What was added while a scan went on may have been seen by it or not: it is counted, so
 * that the sum errs upwards. False when there is no sum to add to. */
static bool apply(const struct errand *errand, bool there, struct record *r)
{
	uint64_t added = errand->bytes > 0 ? (uint64_t)errand->bytes : 0;
	uint64_t total = shift(there ? r->total : 0, errand->bytes);
	const struct tally_scan *scan = &errand->scan;
	if (scan->done)
		*r = (struct record){
			.total = scan->found +
				 (total > scan->before ? total - scan->before : 0),
			.scanned_s = (uint64_t)scan->when_s,
		};
	else if (there)
		*r = (struct record){total, r->unscanned + added, r->scanned_s};
	return there || scan->done;
}

void tally_change(struct tally *t, int64_t bytes)
{
	struct errand errand;
	struct record r = {0};
	if (!enter(t, bytes, &errand))
		return;
	bool done = false;
	if (lock_record(t->fd)) {
		done = apply(&errand, record_read(t->fd, &r), &r);
		if (done)
			record_write(t->fd, &r);
		tally_unlock(t->fd);
	}
	leave(t, &errand, done ? &r : NULL);
}

uint64_t tally_total(struct tally *t)
{
	LOCK_SCOPE(&t->lock);
	return shift(t->total, t->pending);
}

int tally_move(struct tally *t, int fresh)
{
	struct errand forgotten;
	struct record r = {0};
	tally_change(t, 0);
	if (!enter(t, 0, &forgotten))
		return -EBUSY;
	int code = dup3(fresh, t->fd, O_CLOEXEC) < 0 ? -errno : 0;
	bool there = record_read(t->fd, &r);
	LOCK_SCOPE(&t->lock);
	t->busy = false;
	see(t, &r);
	t->counted = there;
	return code;
}

bool tally_wants_scan(struct tally *t, uint64_t limit, int64_t now_s)
{
	LOCK_SCOPE(&t->lock);
	return !t->counted || t->unscanned > limit / 2 ||
	       (uint64_t)now_s > t->scanned_s + SCAN_SECONDS;
}

/* Read without the lock: a sum that is a moment old will do. */
uint64_t tally_begin_scan(struct tally *t)
{
	struct record r;
	bool there = t->fd >= 0 && record_read(t->fd, &r);
	LOCK_SCOPE(&t->lock);
	if (there)
		see(t, &r);
	return shift(t->total, t->pending);
}

void tally_set(struct tally *t, uint64_t before, uint64_t found, int64_t now_s)
{
	pthread_mutex_lock(&t->lock);
	t->scan = (struct tally_scan){true, before, found, now_s};
	pthread_mutex_unlock(&t->lock);
	tally_change(t, 0);
}

bool tally_is_counted(struct tally *t)
{
	LOCK_SCOPE(&t->lock);
	return t->counted;
}
