#include "fetch/chunk_evict.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fetch/base/cleanup.h"
#include "fetch/base/digest.h"
#include "fetch/inode_set.h"

#define AGES          (64u << 10) /* minutes: 45 days; what is older counts as that old */
#define AGE_SECONDS   60
#define TEMP_LIFETIME 3600 /* seconds */

struct pass {
	int64_t now_s;
	uint64_t *bytes_by_age; /* AGES of them; owned by chunk_evict() */
	struct evict_result sum;
	struct inode_set met; /* files of several names that are in the sum */
	/* of the second pass */
	bool removing;
	unsigned threshold;    /* older than this goes */
	uint64_t of_threshold; /* bytes still to go of that very age */
	struct inode_set going; /* files of several names, of that very age */
	int failed;             /* the first -errno of unlink(2) */
};

typedef void visit_fn(struct pass *p, int dir, const char *name, const struct stat *st);

static unsigned age_of(const struct pass *p, const struct stat *st)
{
	if (st->st_mtim.tv_sec >= p->now_s)
		return 0;
	uint64_t age = (uint64_t)(p->now_s - st->st_mtim.tv_sec) / AGE_SECONDS;
	return age < AGES ? (unsigned)age : AGES - 1;
}

/* A file counts under the first of its names that is met, and whole, for it may have
 * others elsewhere. Without memory it counts under each for a share. */
static uint64_t bytes_of(struct pass *p, const struct stat *st)
{
	int first = st->st_nlink > 1 ? inode_set_add(&p->met, st->st_ino) : 1;
	uint64_t size = (uint64_t)st->st_size;
	return first < 0 ? size / st->st_nlink : first ? size : 0;
}

static void count(struct pass *p, const struct stat *st)
{
	uint64_t bytes = bytes_of(p, st);
	p->sum.bytes += bytes;
	p->sum.chunks++;
	p->bytes_by_age[age_of(p, st)] += bytes;
}

static void remove_chunk(struct pass *p, int dir, const char *name, const struct stat *st)
{
	if (unlinkat(dir, name, 0) < 0 && errno != ENOENT) {
		if (!p->failed)
			p->failed = -errno;
		count(p, st);
		return;
	}
	p->sum.removed++;
}

static bool must_go(struct pass *p, const struct stat *st)
{
	unsigned age = age_of(p, st);
	if (!p->removing || age < p->threshold)
		return false;
	if (age > p->threshold)
		return true;
	if (inode_set_has(&p->going, st->st_ino))
		return true;
	if (!p->of_threshold)
		return false;
	uint64_t size = (uint64_t)st->st_size;
	p->of_threshold -= size < p->of_threshold ? size : p->of_threshold;
	if (st->st_nlink > 1) /* without memory its other names stay for now */
		inode_set_add(&p->going, st->st_ino);
	return true;
}

static void visit_chunk(struct pass *p, int dir, const char *name, const struct stat *st)
{
	struct digest d;
	if (digest_parse(name, &d) < 0)
		return;
	if (must_go(p, st)) {
		remove_chunk(p, dir, name, st);
		return;
	}
	count(p, st);
}

void chunk_temp_name(uint64_t session, uint64_t n, char ret[static TEMP_NAME_SIZE])
{
	snprintf(ret, TEMP_NAME_SIZE, "%016" PRIx64 "-%" PRIx64, session, n);
}

/* Would the numbers in it be named like this? */
static bool is_temp_name(const char *name)
{
	uint64_t session, n;
	char again[TEMP_NAME_SIZE];
	if (sscanf(name, "%16" SCNx64 "-%16" SCNx64, &session, &n) != 2)
		return false;
	chunk_temp_name(session, n, again);
	return !strcmp(name, again);
}

static void visit_temp(struct pass *p, int dir, const char *name, const struct stat *st)
{
	if (is_temp_name(name) && p->now_s - st->st_mtim.tv_sec > TEMP_LIFETIME)
		unlinkat(dir, name, 0);
}

/* Calls visit for each regular file of a directory. 0 or -errno. */
static int visit_files(struct pass *p, int parent, const char *name, visit_fn *visit)
{
	CLEANUP(cleanup_close)
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	CLEANUP(cleanup_closedir) DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d)
		return errno == ENOENT ? 0 : -errno;
	int dir = steal_fd(&fd);
	const struct dirent *entry;
	struct stat st;
	while (errno = 0, (entry = readdir(d)))
		if (entry->d_name[0] != '.' &&
			fstatat(dir, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
			S_ISREG(st.st_mode))
			visit(p, dir, entry->d_name, &st);
	return -errno;
}

static int visit_chunks(struct pass *p, int chunks)
{
	static const char digits[] = "0123456789abcdef";
	p->sum.bytes = p->sum.chunks = 0;
	int r = 0;
	for (unsigned i = 0; r == 0 && i < 256; i++) {
		char name[3] = {digits[i >> 4], digits[i & 15]};
		r = visit_files(p, chunks, name, visit_chunk);
	}
	inode_set_finish(&p->met);
	return r;
}

/* Sets the threshold so that at least `excess` bytes go. */
static void choose(struct pass *p, uint64_t excess)
{
	unsigned age = AGES - 1;
	while (age > 0 && p->bytes_by_age[age] < excess)
		excess -= p->bytes_by_age[age--];
	p->removing = true;
	p->threshold = age;
	p->of_threshold = excess;
	memset(p->bytes_by_age, 0, AGES * sizeof(*p->bytes_by_age));
}

void chunk_evict_temporary(int tmp, int64_t now_s)
{
	struct pass p = {.now_s = now_s};
	visit_files(&p, tmp, ".", visit_temp);
}

int chunk_evict(int chunks, uint64_t limit, int64_t now_s, struct evict_result *ret)
{
	CLEANUP(cleanup_free) uint64_t *ages = calloc(AGES, sizeof(*ages));
	if (!ages)
		return -ENOMEM;
	struct pass p = {.now_s = now_s, .bytes_by_age = ages};
	int r = visit_chunks(&p, chunks);
	if (r == 0 && limit && p.sum.bytes > limit) {
		choose(&p, p.sum.bytes - chunk_evict_target(limit));
		r = visit_chunks(&p, chunks);
		inode_set_finish(&p.going);
		if (r == 0 && p.sum.bytes > limit)
			r = p.failed;
	}
	if (r < 0)
		return r;
	*ret = p.sum;
	return 0;
}
