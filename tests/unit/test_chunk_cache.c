#include "tests/unit/scratch.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "fetch/base/bytes.h"
#include "fetch/base/call.h"
#include "fetch/chunk_cache.h"
#include "fetch/chunk_evict.h"
#include "fetch/chunk_tally.h"

#define CHUNK 10000 /* bytes */

/* Chunk number n: its content and its digest are made from n. */
static void make_chunk(unsigned n, unsigned char data[static CHUNK], struct digest *ret)
{
	for (unsigned i = 0; i < CHUNK; i++)
		data[i] = (unsigned char)(n * 31 + i * (n + 7) / 3);
	memcpy(data, &n, sizeof(n));
	digest_of(data, CHUNK, ret);
}

static const char *chunk_path(const struct scratch *dir, unsigned n)
{
	unsigned char data[CHUNK];
	struct digest d;
	char hex[DIGEST_HEX_SIZE], name[128];
	make_chunk(n, data, &d);
	digest_hex(&d, hex);
	snprintf(name, sizeof(name), "chunks/%.2s/%s", hex, hex);
	return scratch_path(dir, name);
}

static struct chunk_cache *open_cache(const struct scratch *dir, uint64_t max)
{
	struct chunk_cache *c = NULL;
	struct error e = {0};
	if (chunk_cache_open(dir->path, max, &c, &e) < 0)
		fail_msg("%s", e.text);
	return c;
}

static void put(struct chunk_cache *c, unsigned n)
{
	unsigned char data[CHUNK];
	struct digest d;
	make_chunk(n, data, &d);
	chunk_cache_put(c, &d, data, CHUNK);
}

static int get(struct chunk_cache *c, unsigned n)
{
	unsigned char data[CHUNK], got[CHUNK];
	struct digest d;
	make_chunk(n, data, &d);
	const struct chunk want = {.digest = &d, .len = CHUNK};
	int r = chunk_cache_get(c, &want, got);
	if (r == 0)
		assert_memory_equal(data, got, CHUNK);
	return r;
}

static bool has(struct chunk_cache *c, unsigned n)
{
	unsigned char data[CHUNK];
	struct digest d;
	make_chunk(n, data, &d);
	return chunk_cache_has(c, &d);
}

static void set_age(const char *path, int64_t seconds)
{
	struct timespec t = {.tv_sec = clock_realtime_s() - seconds};
	struct timespec times[2] = {t, t};
	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static int64_t age_of(const char *path)
{
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	return clock_realtime_s() - st.st_mtim.tv_sec;
}

static uint64_t bytes_found_;

static int add_size(const char *path, const struct stat *st, int type, struct FTW *at)
{
	if (type == FTW_F)
		bytes_found_ += (uint64_t)st->st_size;
	return 0;
}

static uint64_t bytes_in(const struct scratch *dir, const char *name)
{
	bytes_found_ = 0;
	nftw(scratch_path(dir, name), add_size, 16, FTW_PHYS);
	return bytes_found_;
}

/* --- reading and writing --- */

static void what_was_put_is_got_by_all(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_chunk_cache) struct chunk_cache *a = open_cache(&dir, 0);
	CLEANUP(cleanup_chunk_cache) struct chunk_cache *b = open_cache(&dir, 0);
	assert_int_equal(get(a, 1), -ENOENT);
	assert_false(has(a, 1));
	put(a, 1);
	assert_int_equal(get(a, 1), 0);
	assert_int_equal(get(b, 1), 0);
	assert_true(has(b, 1));
	assert_int_equal(scratch_count(&dir, "tmp"), 0);
	put(b, 1);
	assert_int_equal(scratch_count(&dir, "chunks"), 1);
	assert_int_equal(access(scratch_path(&dir, "CACHEDIR.TAG"), F_OK), 0);
}

static void a_damaged_chunk_is_found_and_removed(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_chunk_cache) struct chunk_cache *c = open_cache(&dir, 0);
	put(c, 1);
	int fd = open(chunk_path(&dir, 1), O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite_fully(fd, "\xff", 1, CHUNK / 2), 0);
	close(fd);
	assert_int_equal(get(c, 1), -EBADMSG);
	assert_int_equal(get(c, 1), -ENOENT);

	put(c, 1);
	assert_int_equal(truncate(chunk_path(&dir, 1), CHUNK - 1), 0);
	assert_int_equal(get(c, 1), -EBADMSG);
	put(c, 1);
	assert_int_equal(truncate(chunk_path(&dir, 1), CHUNK + 1), 0);
	assert_int_equal(get(c, 1), -EBADMSG);
	put(c, 1);
	assert_int_equal(get(c, 1), 0);
}

static void only_its_owner_may_use_it(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	struct chunk_cache *c = NULL;
	struct error e = {0};
	assert_int_equal(chmod(dir.path, 0770), 0);
	assert_int_equal(chunk_cache_open(dir.path, 0, &c, &e), -EPERM);
	assert_non_null(strstr(e.text, dir.path));
	assert_int_equal(chmod(dir.path, 0702), 0);
	assert_int_equal(chunk_cache_open(dir.path, 0, &c, &e), -EPERM);

	struct stat st;
	assert_int_equal(chmod(dir.path, 0755), 0);
	c = open_cache(&dir, 0);
	chunk_cache_free(c);
	assert_int_equal(stat(dir.path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);

	if (geteuid() != 0) {
		print_message("not root: somebody else's folder is not tried\n");
		return;
	}
	assert_int_equal(chown(dir.path, 12345, 0), 0);
	assert_int_equal(chunk_cache_open(dir.path, 0, &c, &e), -EPERM);
	assert_non_null(strstr(e.text, "12345"));
}

static void a_folder_of_other_things_is_not_used(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	struct chunk_cache *c = NULL;
	scratch_write(&dir, "tmp/0123456789abcdef-0", "x");
	scratch_write(&dir, "size", "XXL");
	set_age(scratch_path(&dir, "tmp/0123456789abcdef-0"), 7200);
	assert_int_equal(chunk_cache_open(dir.path, 0, &c, NULL), -EPERM);
	assert_int_equal(scratch_count(&dir, ""), 2);
	assert_int_equal(bytes_in(&dir, "size"), 3);
}

static void a_file_in_its_place_is_an_error(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	struct chunk_cache *c = NULL;
	scratch_write(&dir, "file", "x");
	assert_int_equal(
		chunk_cache_open(scratch_path(&dir, "file"), 0, &c, NULL), -ENOTDIR);
	assert_int_equal(chunk_cache_open(scratch_path(&dir, "file/below"), 0, &c, NULL),
		-ENOTDIR);
}

static void a_use_is_recorded_by_the_minute(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_chunk_cache) struct chunk_cache *c = open_cache(&dir, 0);
	put(c, 1);
	set_age(chunk_path(&dir, 1), 30);
	assert_int_equal(get(c, 1), 0);
	assert_true(age_of(chunk_path(&dir, 1)) >= 30);
	set_age(chunk_path(&dir, 1), 3600);
	assert_int_equal(get(c, 1), 0);
	assert_true(age_of(chunk_path(&dir, 1)) < 600);
}

/* --- packs --- */

#define RUN 10

static void put_run(struct chunk_cache *c, unsigned first, unsigned count)
{
	static unsigned char data[100 * CHUNK];
	struct digest digests[100];
	uint64_t offsets[101];
	for (unsigned i = 0; i <= count; i++)
		offsets[i] = 777 + (uint64_t)i * CHUNK;
	for (unsigned i = 0; i < count; i++)
		make_chunk(first + i, data + (size_t)i * CHUNK, &digests[i]);
	chunk_cache_put_run(c, digests, offsets, count, data);
}

static nlink_t names_of(const struct scratch *dir, unsigned n)
{
	struct stat st;
	assert_int_equal(stat(chunk_path(dir, n), &st), 0);
	return st.st_nlink;
}

static void overwrite(const char *path, off_t at, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, text, strlen(text), at), strlen(text));
	close(fd);
}

static void a_run_is_one_file_under_each_name(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_chunk_cache) struct chunk_cache *c = open_cache(&dir, 0);
	put_run(c, 0, RUN);
	for (unsigned i = 0; i < RUN; i++) {
		assert_int_equal(names_of(&dir, i), RUN);
		assert_int_equal(get(c, i), 0);
	}
	assert_int_equal(get(c, RUN), -ENOENT);
}

/* What is there is not written again: it parts the run. */
static void what_is_there_parts_a_run(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_chunk_cache) struct chunk_cache *c = open_cache(&dir, 0);
	put(c, 3);
	put_run(c, 0, RUN);
	assert_int_equal(names_of(&dir, 2), 3);
	assert_int_equal(names_of(&dir, 3), 1);
	assert_int_equal(names_of(&dir, 4), RUN - 4);
	put_run(c, 20, 80); /* more than a pack holds */
	assert_int_equal(names_of(&dir, 20), 64);
	assert_int_equal(names_of(&dir, 99), 16);
	for (unsigned i = 0; i < RUN; i++)
		assert_int_equal(get(c, i), 0);
	assert_int_equal(get(c, 83), 0);
	assert_int_equal(get(c, 84), 0);
}

static void damage_in_a_pack_costs_the_chunk_alone(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_chunk_cache) struct chunk_cache *c = open_cache(&dir, 0);
	put_run(c, 0, RUN);
	overwrite(chunk_path(&dir, 7), 4 * CHUNK + 5, "???");
	assert_int_equal(get(c, 4), -EBADMSG);
	assert_int_equal(get(c, 4), -ENOENT);
	assert_int_equal(get(c, 5), 0);
	put(c, 4);
	assert_int_equal(get(c, 4), 0);
	assert_int_equal(names_of(&dir, 4), 1);
}

static void damage_of_a_table_is_found(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_chunk_cache) struct chunk_cache *c = open_cache(&dir, 0);
	struct stat st;
	put_run(c, 0, 3);
	assert_int_equal(stat(chunk_path(&dir, 0), &st), 0);
	assert_int_equal(st.st_size, 3 * CHUNK + 3 * 48 + 16);
	/* the last chunk's row claims to lie behind the end; its digest says who it is */
	overwrite(chunk_path(&dir, 0), st.st_size - 16 - 10, "\xff\xff");
	assert_int_equal(get(c, 2), -EBADMSG);
	assert_int_equal(get(c, 1), 0);
	overwrite(chunk_path(&dir, 0), st.st_size - 16, "\xff\xff\xff\xff");
	assert_int_equal(get(c, 1), -EBADMSG);
	put_run(c, 10, 3);
	assert_int_equal(truncate(chunk_path(&dir, 10), 5), 0);
	assert_int_equal(get(c, 11), -EBADMSG);
	put_run(c, 20, 3);
	overwrite(chunk_path(&dir, 20), st.st_size - 1, "X");
	assert_int_equal(get(c, 21), -EBADMSG);
}

static uint64_t tally_of(const struct scratch *dir)
{
	unsigned char record[32];
	int fd = open(scratch_path(dir, "size"), O_RDONLY | O_CLOEXEC);
	assert_int_equal(read(fd, record, sizeof(record)), sizeof(record));
	close(fd);
	return load_le64(record + 8);
}

/* Its names go one by one, its bytes with the last. */
static void a_pack_that_goes_is_taken_off_the_sum_once(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_chunk_cache) struct chunk_cache *c = open_cache(&dir, 0);
	struct stat st;
	put(c, 90);
	put_run(c, 0, RUN);
	assert_int_equal(stat(chunk_path(&dir, 0), &st), 0);
	assert_int_equal(tally_of(&dir), CHUNK + st.st_size);
	assert_int_equal(truncate(chunk_path(&dir, 0), 5), 0);
	overwrite(chunk_path(&dir, 0), st.st_size - 1, "X"); /* of the same size again */
	for (unsigned i = 0; i < RUN; i++) {
		assert_int_equal(tally_of(&dir), CHUNK + st.st_size);
		assert_int_equal(get(c, i), -EBADMSG);
	}
	assert_int_equal(tally_of(&dir), CHUNK);
}

/* cp -al: half of each file's names are not in the cache. */
static void what_is_linked_elsewhere_counts_whole(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_chunk_cache) struct chunk_cache *c = open_cache(&dir, 0);
	char elsewhere[64];
	struct stat st;
	put_run(c, 0, RUN);
	for (unsigned n = 20; n < 40; n++)
		put(c, n);
	for (unsigned n = 0; n < 40; n += n == RUN - 1 ? RUN + 1 : 1) {
		snprintf(elsewhere, sizeof(elsewhere), "copy-%u", n);
		assert_int_equal(
			link(chunk_path(&dir, n), scratch_path(&dir, elsewhere)), 0);
	}
	assert_int_equal(stat(chunk_path(&dir, 0), &st), 0);
	assert_int_equal(st.st_nlink, 2 * RUN);
	int chunks =
		open(scratch_path(&dir, "chunks"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct evict_result left;
	assert_int_equal(chunk_evict(chunks, 0, clock_realtime_s(), &left), 0);
	assert_int_equal(left.bytes, 20 * CHUNK + st.st_size);
	assert_int_equal(chunk_evict(chunks, 20 * CHUNK, clock_realtime_s(), &left), 0);
	assert_in_range(left.bytes, 1, 18 * CHUNK);
	close(chunks);
}

/* Each file once, whatever its names. */
static uint64_t bytes_in_files(const struct scratch *dir)
{
	uint64_t sum = 0;
	for (unsigned i = 0; i < 50; i++) {
		struct stat st;
		if (stat(chunk_path(dir, i * RUN), &st) == 0)
			sum += (uint64_t)st.st_size;
	}
	return sum;
}

/* Space is free only once the last name has gone. */
static void packs_are_evicted_whole(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_chunk_cache) struct chunk_cache *c = open_cache(&dir, 0);
	for (unsigned i = 0; i < 50; i++)
		put_run(c, i * RUN, RUN);
	int chunks =
		open(scratch_path(&dir, "chunks"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct evict_result left;
	uint64_t limit = 25 * RUN * CHUNK;
	assert_int_equal(chunk_evict(chunks, limit, clock_realtime_s(), &left), 0);
	close(chunks);
	assert_true(left.bytes <= limit / 10 * 9);
	assert_in_range(bytes_in_files(&dir), left.bytes, left.bytes + 50 * RUN);
	unsigned kept = 0;
	for (unsigned i = 0; i < 50; i++) {
		unsigned names = 0;
		for (unsigned n = i * RUN; n < (i + 1) * RUN; n++)
			names += has(c, n);
		assert_true(names == 0 || names == RUN);
		kept += names == RUN;
	}
	assert_int_equal(kept, 22);
}

/* --- evicting --- */

static int chunks_of(const struct scratch *dir)
{
	int fd = open(scratch_path(dir, "chunks"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static void the_least_recently_used_go(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_chunk_cache) struct chunk_cache *c = open_cache(&dir, 0);
	for (unsigned n = 0; n < 20; n++) {
		put(c, n);
		set_age(chunk_path(&dir, n), 100000 - n * 120);
	}
	set_age(chunk_path(&dir, 0), 10); /* was used again */
	set_age(chunk_path(&dir, 1), INT64_C(86400) * 365 * 20);
	CLEANUP(cleanup_close) int chunks = chunks_of(&dir);
	struct evict_result left;
	assert_int_equal(chunk_evict(chunks, 10 * CHUNK, clock_realtime_s(), &left), 0);
	assert_int_equal(left.removed, 11);
	assert_int_equal(left.chunks, 9);
	assert_int_equal(left.bytes, 9 * CHUNK);
	for (unsigned n = 0; n < 20; n++)
		assert_int_equal(has(c, n), n == 0 || n >= 12);
	assert_int_equal(chunk_evict(chunks, 10 * CHUNK, clock_realtime_s(), &left), 0);
	assert_int_equal(left.removed, 0);
}

static void of_one_age_no_more_go_than_must(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_chunk_cache) struct chunk_cache *c = open_cache(&dir, 0);
	for (unsigned n = 0; n < 20; n++)
		put(c, n);
	CLEANUP(cleanup_close) int chunks = chunks_of(&dir);
	struct evict_result left;
	assert_int_equal(chunk_evict(chunks, 0, clock_realtime_s(), &left), 0);
	assert_int_equal(left.chunks, 20);
	assert_int_equal(chunk_evict(chunks, 10 * CHUNK, clock_realtime_s(), &left), 0);
	assert_int_equal(left.chunks, 9);
}

static void foreign_files_are_left_alone(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_chunk_cache) struct chunk_cache *c = open_cache(&dir, 0);
	put(c, 1);
	scratch_write(&dir, "chunks/00/README", "not a chunk");
	CLEANUP(cleanup_close) int chunks = chunks_of(&dir);
	struct evict_result left;
	assert_int_equal(chunk_evict(chunks, 1, clock_realtime_s() + 9999, &left), 0);
	assert_int_equal(left.bytes, 0);
	assert_false(has(c, 1));
	assert_int_equal(access(scratch_path(&dir, "chunks/00/README"), F_OK), 0);
}

static void it_stays_within_its_bound(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	const uint64_t max = 50 * CHUNK;
	struct chunk_cache *c = open_cache(&dir, max);
	for (unsigned n = 0; n < 500; n++) {
		put(c, n);
		if (n % 50 == 0)
			assert_true(bytes_in(&dir, "chunks") <= max + max / 8 + CHUNK);
	}
	assert_true(chunk_cache_writable(c));
	chunk_cache_free(c);
	assert_true(bytes_in(&dir, "chunks") <= max);
	assert_true(bytes_in(&dir, "chunks") > max / 2);
	assert_int_equal(scratch_count(&dir, "tmp"), 0);
}

/* The cache that is put into once, when a scan of it has just ended. */
static struct chunk_cache *late;

int __real_chunk_evict(
	int chunks, uint64_t limit, int64_t now_s, struct evict_result *ret);
int __wrap_chunk_evict(
	int chunks, uint64_t limit, int64_t now_s, struct evict_result *ret);
int __wrap_chunk_evict(
	int chunks, uint64_t limit, int64_t now_s, struct evict_result *ret)
{
	int r = __real_chunk_evict(chunks, limit, now_s, ret);
	if (late)
		put(steal_pointer(late), 1000);
	return r;
}

static void what_a_scan_did_not_see_is_not_overlooked(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	late = open_cache(&dir, 2 * CHUNK);
	struct chunk_cache *c = late;
	put(c, 1);
	put(c, 2); /* has it scanned: more than half the limit is new */
	chunk_cache_free(c);
	assert_null(late);
	assert_true(bytes_in(&dir, "chunks") <= 2 * CHUNK);
}

static void a_chunk_larger_than_the_cache_is_not_kept(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_chunk_cache) struct chunk_cache *c = open_cache(&dir, CHUNK - 1);
	put(c, 1);
	assert_false(has(c, 1));
	assert_true(chunk_cache_writable(c));
}

/* What the file says, or UINT64_MAX. */
static uint64_t recorded(const struct scratch *dir)
{
	uint8_t raw[32];
	CLEANUP(cleanup_close)
	int fd = open(scratch_path(dir, "size"), O_RDONLY | O_CLOEXEC);
	if (fd < 0 || pread_exactly(fd, raw, sizeof(raw), 0) < 0)
		return UINT64_MAX;
	return load_le64(raw + 8);
}

static void a_lost_sum_is_counted_again(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	struct chunk_cache *c = open_cache(&dir, 1000 * CHUNK);
	for (unsigned n = 0; n < 20; n++)
		put(c, n);
	chunk_cache_free(c);
	assert_int_equal(unlink(scratch_path(&dir, "size")), 0);
	c = open_cache(&dir, 1000 * CHUNK);
	put(c, 20);
	chunk_cache_free(c);
	/* Chunk 20 may have been counted by the scan and again for itself. */
	assert_in_range(recorded(&dir), 21 * CHUNK, 22 * CHUNK);
}

static void a_wrong_sum_is_corrected(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	struct chunk_cache *c = open_cache(&dir, 100 * CHUNK);
	put(c, 1);
	chunk_cache_free(c);
	uint8_t raw[32] = "LARDERSZ";
	store_le64(raw + 8, 100000 * CHUNK);
	store_le64(raw + 24, (uint64_t)clock_realtime_s());
	CLEANUP(cleanup_close) int fd = open(scratch_path(&dir, "size"), O_WRONLY);
	assert_int_equal(pwrite_fully(fd, raw, sizeof(raw), 0), 0);
	c = open_cache(&dir, 100 * CHUNK);
	put(c, 2); /* is dropped, and starts a scan */
	chunk_cache_free(c);
	assert_int_equal(recorded(&dir), CHUNK);
}

/* --- the tally --- */

#define NOW 1000000 /* seconds since the epoch */

static int size_file(const struct scratch *dir)
{
	int fd = open(scratch_path(dir, "size"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	return fd;
}

static void processes_count_together(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	struct tally a, b;
	tally_init(&a, size_file(&dir));
	assert_true(tally_wants_scan(&a, 1000, NOW));
	tally_set(&a, tally_begin_scan(&a), 100, NOW);
	assert_false(tally_wants_scan(&a, 1000, NOW + 86400));
	assert_true(tally_wants_scan(&a, 1000, NOW + 86401));
	tally_init(&b, size_file(&dir));
	tally_change(&b, 50);
	tally_change(&a, -20);
	assert_int_equal(tally_total(&a), 130);
	tally_change(&b, 0);
	assert_int_equal(tally_total(&b), 130);
	tally_change(&b, 600);
	assert_true(tally_wants_scan(&b, 1000, NOW));
	tally_set(&b, 730, 500, NOW);
	assert_false(tally_wants_scan(&b, 1000, NOW));
	assert_int_equal(tally_total(&b), 500);
	tally_change(&a, -9999);
	assert_int_equal(tally_total(&a), 0);
	tally_finish(&a);
	tally_finish(&b);
}

static void nobody_waits_for_a_suspended_process(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_close) int other = size_file(&dir);
	struct tally t;
	tally_init(&t, size_file(&dir));
	tally_set(&t, tally_begin_scan(&t), 100, NOW);
	assert_int_equal(flock(other, LOCK_EX), 0);
	tally_change(&t, 10);
	tally_change(&t, 10);
	assert_int_equal(tally_total(&t), 120);
	assert_int_equal(recorded(&dir), 100);
	assert_int_equal(flock(other, LOCK_UN), 0);
	tally_change(&t, 5);
	assert_int_equal(recorded(&dir), 125);
	assert_int_equal(flock(other, LOCK_EX), 0);
	tally_change(&t, 5);
	assert_int_equal(flock(other, LOCK_UN), 0);
	tally_finish(&t);
	assert_int_equal(recorded(&dir), 130);
}

static void what_is_added_during_a_scan_counts(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	struct tally a, b;
	tally_init(&a, size_file(&dir));
	tally_set(&a, tally_begin_scan(&a), 100, NOW);
	tally_init(&b, size_file(&dir));
	tally_change(&b, -40);
	uint64_t before = tally_begin_scan(&a);
	assert_int_equal(before, 60);
	tally_change(&b, 30);
	tally_set(&a, before, 55, NOW);
	assert_int_equal(tally_total(&a), 85);
	tally_finish(&a);
	tally_finish(&b);
}

/* --- disks and deaths --- */

/* Of a dead writer; a short name and a long one. */
#define OLD      "tmp/0123456789abcdef-0"
#define VERY_OLD "tmp/fedcba9876543210-fedcba9876543210"
#define YOUNG    "tmp/0123456789abcdef-1"

static void old_temporary_files_are_swept(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	chunk_cache_free(open_cache(&dir, 0));
	scratch_write(&dir, OLD, "x");
	scratch_write(&dir, VERY_OLD, "x");
	scratch_write(&dir, YOUNG, "x");
	set_age(scratch_path(&dir, OLD), 7200);
	set_age(scratch_path(&dir, VERY_OLD), 720000);
	chunk_cache_free(open_cache(&dir, 0));
	assert_int_equal(access(scratch_path(&dir, OLD), F_OK), -1);
	assert_int_equal(access(scratch_path(&dir, VERY_OLD), F_OK), -1);
	assert_int_equal(access(scratch_path(&dir, YOUNG), F_OK), 0);
}

static void what_is_not_named_so_is_not_swept(void **state)
{
	static const char *const names[] = {"tmp/thesis.txt", "tmp/0-1",
		"tmp/0123456789ABCDEF-1", "tmp/0123456789abcdef-01",
		"tmp/0123456789abcdef-1~", "tmp/0123456789abcdef-",
		"tmp/0123456789abcdef-fedcba98765432100"};
	const unsigned count = sizeof(names) / sizeof(names[0]);
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	chunk_cache_free(open_cache(&dir, 0));
	for (unsigned i = 0; i < count; i++) {
		scratch_write(&dir, names[i], "x");
		set_age(scratch_path(&dir, names[i]), 7200);
	}
	chunk_cache_free(open_cache(&dir, 0));
	assert_int_equal(scratch_count(&dir, "tmp"), count);
}

/* Called once, when something has just been written. */
static void (*after_writing)(const struct scratch *);
static const struct scratch *written_in;

int __real_write_fully(int fd, const void *buf, size_t len);
int __wrap_write_fully(int fd, const void *buf, size_t len);
int __wrap_write_fully(int fd, const void *buf, size_t len)
{
	int r = __real_write_fully(fd, buf, len);
	if (after_writing)
		steal_pointer(after_writing)(written_in);
	return r;
}

static void remove_temporary(const struct scratch *dir)
{
	assert_int_equal(scratch_count(dir, "tmp"), 1);
	nftw(scratch_path(dir, "tmp"), scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void remove_chunks(const struct scratch *dir)
{
	assert_int_equal(rmdir(scratch_path(dir, "chunks")), 0);
}

/* Its writer was suspended for an hour, or somebody else cleans up. */
static void who_loses_a_temporary_file_loses_a_chunk(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_chunk_cache) struct chunk_cache *c = open_cache(&dir, 0);
	written_in = &dir;
	after_writing = remove_temporary;
	put(c, 1);
	assert_null(after_writing);
	assert_false(has(c, 1));
	assert_true(chunk_cache_writable(c));
	put(c, 1); /* makes tmp anew */
	assert_int_equal(get(c, 1), 0);
	assert_int_equal(tally_of(&dir), CHUNK);
}

static void a_cache_that_is_removed_is_not_written_at_once(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	struct chunk_cache *c = open_cache(&dir, 0);
	written_in = &dir;
	after_writing = remove_chunks;
	put(c, 1);
	assert_false(chunk_cache_writable(c));
	assert_int_equal(scratch_count(&dir, "tmp"), 0);
	chunk_cache_free(c);

	c = open_cache(&dir, 0);
	scratch_finish(&dir);
	put(c, 1);
	assert_false(chunk_cache_writable(c));
	chunk_cache_free(c);
}

/* In a child with a mount table of its own, so that nothing stays mounted. */
static int on_small_disk(const char *path)
{
	if (unshare(CLONE_NEWNS) < 0 ||
		mount("", "/", "", MS_REC | MS_PRIVATE, NULL) < 0 ||
		mount("tmpfs", path, "tmpfs", 0, "size=256k,mode=0700") < 0)
		return 77;
	struct scratch dir;
	snprintf(dir.path, sizeof(dir.path), "%s", path);
	struct chunk_cache *c = NULL;
	if (chunk_cache_open(path, 0, &c, NULL) < 0)
		return 1;
	unsigned n = 0;
	while (n < 1000 && chunk_cache_writable(c))
		put(c, n++);
	if (n == 1000 || n < 5 || has(c, n - 1) || scratch_count(&dir, "tmp"))
		return 2;
	for (unsigned i = 0; i + 1 < n; i++)
		if (get(c, i) < 0)
			return 3;
	chunk_cache_free(c);

	if (mount("", path, "", MS_REMOUNT | MS_RDONLY, NULL) < 0)
		return 4;
	if (chunk_cache_open(path, CHUNK, &c, NULL) < 0 || chunk_cache_writable(c))
		return 5;
	put(c, 0);
	if (get(c, 1) < 0 || get(c, n + 1) != -ENOENT)
		return 6;
	chunk_cache_free(c);
	char below[PATH_MAX];
	snprintf(below, sizeof(below), "%s/new", path);
	return chunk_cache_open(below, 0, &c, NULL) == -EROFS ? 0 : 7;
}

static void a_full_or_read_only_disk_is_only_read(void **state)
{
	if (geteuid() != 0) {
		print_message("not root: no small disk can be mounted\n");
		skip();
	}
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(on_small_disk(dir.path));
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77) {
		print_message("mounting is not allowed here: no small disk\n");
		skip();
	}
	assert_int_equal(WEXITSTATUS(status), 0);
}

struct worker {
	struct chunk_cache *cache;
	unsigned seed;
	unsigned wrong;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	for (unsigned i = 0; i < 300; i++) {
		unsigned n = (w->seed + i * 7) % 100;
		if (get(w->cache, n) == -EBADMSG)
			w->wrong++;
		put(w->cache, n);
	}
	return NULL;
}

static void threads_share_it(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_chunk_cache)
	struct chunk_cache *c = open_cache(&dir, 40 * CHUNK);
	struct worker workers[8];
	pthread_t threads[8];
	for (unsigned i = 0; i < 8; i++) {
		workers[i] = (struct worker){c, i * 13, 0};
		assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
	}
	for (unsigned i = 0; i < 8; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(workers[i].wrong, 0);
	}
	assert_true(chunk_cache_writable(c));
}

/* Puts and gets for ever, telling of each by a byte. */
static int labour(const char *path, int out, unsigned seed)
{
	struct chunk_cache *c = NULL;
	if (chunk_cache_open(path, 30 * CHUNK, &c, NULL) < 0)
		return 1;
	for (unsigned i = 0;; i++) {
		unsigned n = (seed + i) % 120;
		if (get(c, n) == -EBADMSG)
			return 2;
		put(c, n);
		if (write(out, "", 1) != 1)
			return 3;
	}
}

static pid_t hire(const char *path, const int out[2], unsigned seed)
{
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(out[0]);
		_exit(labour(path, out[1], seed));
	}
	return pid;
}

static void await_bytes(int fd, unsigned n)
{
	char byte;
	while (n--)
		assert_int_equal(read(fd, &byte, 1), 1);
}

static void killed_processes_do_no_harm(void **state)
{
	enum { HANDS = 4, KILLS = 40 };
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	pid_t pids[HANDS];
	int out[2], status;
	assert_int_equal(pipe(out), 0);
	for (unsigned i = 0; i < HANDS; i++)
		pids[i] = hire(dir.path, out, i * 31);
	for (unsigned i = 0; i < KILLS; i++) {
		await_bytes(out[0], 20 + i * 7 % 50);
		pid_t *victim = &pids[i % HANDS];
		assert_int_equal(kill(*victim, SIGKILL), 0);
		assert_int_equal(waitpid(*victim, &status, 0), *victim);
		assert_true(WIFSIGNALED(status));
		*victim = hire(dir.path, out, i * 17);
	}
	for (unsigned i = 0; i < HANDS; i++) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], &status, 0);
		assert_true(WIFSIGNALED(status)); /* 2 would mean: a damaged chunk */
	}
	close(out[0]);
	close(out[1]);
	CLEANUP(cleanup_chunk_cache)
	struct chunk_cache *c = open_cache(&dir, 30 * CHUNK);
	for (unsigned n = 0; n < 120; n++)
		assert_int_not_equal(get(c, n), -EBADMSG);
	/* An eighth above the limit, and what each was at when it was killed or when
	 * others' sums were a moment old. */
	assert_true(bytes_in(&dir, "chunks") <= (30 + 30 / 8 + 3 * HANDS) * CHUNK);
}

/* Two openings stand for two processes: each has descriptions of its own. */
static void what_one_process_claims_others_leave_out(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_chunk_cache) struct chunk_cache *one = open_cache(&dir, 0);
	struct chunk_cache *two = open_cache(&dir, 0);
	const uint64_t table = UINT64_C(0xfedcba9876543210), other = ~table;
	size_t busy;
	assert_int_equal(chunk_cache_claim(one, table, 100, 50, &busy), 50);
	assert_int_equal(busy, 0);
	assert_int_equal(chunk_cache_claim(two, other, 100, 50, &busy), 50);
	assert_int_equal(chunk_cache_claim(two, table, 80, 40, &busy), 20);
	assert_int_equal(busy, 20);
	assert_int_equal(chunk_cache_claim(two, table, 110, 60, &busy), 0);
	assert_int_equal(busy, 40);
	assert_int_equal(chunk_cache_claim(two, table, 150, 10, &busy), 10);
	chunk_cache_unclaim(one, table, 100, 30);
	assert_int_equal(chunk_cache_claim(two, table, 100, 50, &busy), 30);
	assert_int_equal(busy, 20);
	assert_int_equal(chunk_cache_claim(one, table, 0, 200, &busy), 80);
	assert_int_equal(busy, 50);
	chunk_cache_free(two);
	assert_int_equal(chunk_cache_claim(one, table, 0, 200, &busy), 200);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_put_is_got_by_all),
		cmocka_unit_test(a_run_is_one_file_under_each_name),
		cmocka_unit_test(what_is_there_parts_a_run),
		cmocka_unit_test(damage_in_a_pack_costs_the_chunk_alone),
		cmocka_unit_test(damage_of_a_table_is_found),
		cmocka_unit_test(a_pack_that_goes_is_taken_off_the_sum_once),
		cmocka_unit_test(what_is_linked_elsewhere_counts_whole),
		cmocka_unit_test(packs_are_evicted_whole),
		cmocka_unit_test(a_damaged_chunk_is_found_and_removed),
		cmocka_unit_test(only_its_owner_may_use_it),
		cmocka_unit_test(a_folder_of_other_things_is_not_used),
		cmocka_unit_test(a_file_in_its_place_is_an_error),
		cmocka_unit_test(a_use_is_recorded_by_the_minute),
		cmocka_unit_test(the_least_recently_used_go),
		cmocka_unit_test(of_one_age_no_more_go_than_must),
		cmocka_unit_test(foreign_files_are_left_alone),
		cmocka_unit_test(it_stays_within_its_bound),
		cmocka_unit_test(what_a_scan_did_not_see_is_not_overlooked),
		cmocka_unit_test(a_chunk_larger_than_the_cache_is_not_kept),
		cmocka_unit_test(a_lost_sum_is_counted_again),
		cmocka_unit_test(a_wrong_sum_is_corrected),
		cmocka_unit_test(processes_count_together),
		cmocka_unit_test(nobody_waits_for_a_suspended_process),
		cmocka_unit_test(what_is_added_during_a_scan_counts),
		cmocka_unit_test(old_temporary_files_are_swept),
		cmocka_unit_test(what_is_not_named_so_is_not_swept),
		cmocka_unit_test(who_loses_a_temporary_file_loses_a_chunk),
		cmocka_unit_test(a_cache_that_is_removed_is_not_written_at_once),
		cmocka_unit_test(a_full_or_read_only_disk_is_only_read),
		cmocka_unit_test(threads_share_it),
		cmocka_unit_test(what_one_process_claims_others_leave_out),
		cmocka_unit_test(killed_processes_do_no_harm),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
