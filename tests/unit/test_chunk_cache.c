#include "tests/unit/chunks.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "fetch/base/call.h"
#include "fetch/chunk_evict.h"

static int64_t age_of(const char *path)
{
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	return clock_realtime_s() - st.st_mtim.tv_sec;
}

static void what_was_put_is_got_by_all(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_chunk_cache) struct chunk_cache *a = chunks_open(dir.path, 0);
	CLEANUP(cleanup_chunk_cache) struct chunk_cache *b = chunks_open(dir.path, 0);
	assert_int_equal(chunks_get(a, 1), -ENOENT);
	assert_false(chunks_has(a, 1));
	chunks_put(a, 1);
	assert_int_equal(chunks_get(a, 1), 0);
	assert_int_equal(chunks_get(b, 1), 0);
	assert_true(chunks_has(b, 1));
	assert_int_equal(scratch_count(&dir, "tmp"), 0);
	chunks_put(b, 1);
	assert_int_equal(scratch_count(&dir, "chunks"), 1);
	assert_int_equal(access(scratch_path(&dir, "CACHEDIR.TAG"), F_OK), 0);
}

static void a_damaged_chunk_is_found_and_removed(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_chunk_cache) struct chunk_cache *c = chunks_open(dir.path, 0);
	chunks_put(c, 1);
	int fd = open(chunks_path(&dir, 1), O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite_fully(fd, "\xff", 1, CHUNK / 2), 0);
	close(fd);
	assert_int_equal(chunks_get(c, 1), -EBADMSG);
	assert_int_equal(chunks_get(c, 1), -ENOENT);

	chunks_put(c, 1);
	assert_int_equal(truncate(chunks_path(&dir, 1), CHUNK - 1), 0);
	assert_int_equal(chunks_get(c, 1), -EBADMSG);
	chunks_put(c, 1);
	assert_int_equal(truncate(chunks_path(&dir, 1), CHUNK + 1), 0);
	assert_int_equal(chunks_get(c, 1), -EBADMSG);
	chunks_put(c, 1);
	assert_int_equal(chunks_get(c, 1), 0);
}

static void a_use_is_recorded_by_the_minute(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_chunk_cache) struct chunk_cache *c = chunks_open(dir.path, 0);
	chunks_put(c, 1);
	chunks_set_age(chunks_path(&dir, 1), 30);
	assert_int_equal(chunks_get(c, 1), 0);
	assert_true(age_of(chunks_path(&dir, 1)) >= 30);
	chunks_set_age(chunks_path(&dir, 1), 3600);
	assert_int_equal(chunks_get(c, 1), 0);
	assert_true(age_of(chunks_path(&dir, 1)) < 600);
}

static void it_stays_within_its_bound(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	const uint64_t max = 50 * CHUNK;
	struct chunk_cache *c = chunks_open(dir.path, max);
	for (unsigned n = 0; n < 500; n++) {
		chunks_put(c, n);
		if (n % 50 == 0)
			assert_true(chunks_bytes(&dir) <= max + max / 8 + CHUNK);
	}
	assert_true(chunk_cache_writable(c));
	chunk_cache_free(c);
	assert_true(chunks_bytes(&dir) <= max);
	assert_true(chunks_bytes(&dir) > max / 2);
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
		chunks_put(steal_pointer(late), 1000);
	return r;
}

static void what_a_scan_did_not_see_is_not_overlooked(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	late = chunks_open(dir.path, 2 * CHUNK);
	struct chunk_cache *c = late;
	chunks_put(c, 1);
	chunks_put(c, 2); /* has it scanned: more than half the limit is new */
	chunk_cache_free(c);
	assert_null(late);
	assert_true(chunks_bytes(&dir) <= 2 * CHUNK);
}

static void a_chunk_larger_than_the_cache_is_not_kept(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_chunk_cache)
	struct chunk_cache *c = chunks_open(dir.path, CHUNK - 1);
	chunks_put(c, 1);
	assert_false(chunks_has(c, 1));
	assert_true(chunk_cache_writable(c));
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
	CLEANUP(cleanup_chunk_cache) struct chunk_cache *c = chunks_open(dir.path, 0);
	written_in = &dir;
	after_writing = remove_temporary;
	chunks_put(c, 1);
	assert_null(after_writing);
	assert_false(chunks_has(c, 1));
	assert_true(chunk_cache_writable(c));
	chunks_put(c, 1); /* makes tmp anew */
	assert_int_equal(chunks_get(c, 1), 0);
	assert_int_equal(chunks_recorded(scratch_path(&dir, "size")), CHUNK);
}

static void a_cache_that_is_removed_is_not_written_at_once(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	struct chunk_cache *c = chunks_open(dir.path, 0);
	written_in = &dir;
	after_writing = remove_chunks;
	chunks_put(c, 1);
	assert_false(chunk_cache_writable(c));
	assert_int_equal(scratch_count(&dir, "tmp"), 0);
	chunk_cache_free(c);

	c = chunks_open(dir.path, 0);
	scratch_finish(&dir);
	chunks_put(c, 1);
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
		chunks_put(c, n++);
	if (n == 1000 || n < 5 || chunks_has(c, n - 1) || scratch_count(&dir, "tmp"))
		return 2;
	for (unsigned i = 0; i + 1 < n; i++)
		if (chunks_get(c, i) < 0)
			return 3;
	chunk_cache_free(c);

	if (mount("", path, "", MS_REMOUNT | MS_RDONLY, NULL) < 0)
		return 4;
	if (chunk_cache_open(path, CHUNK, &c, NULL) < 0 || chunk_cache_writable(c))
		return 5;
	chunks_put(c, 0);
	if (chunks_get(c, 1) < 0 || chunks_get(c, n + 1) != -ENOENT)
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
		if (chunks_get(w->cache, n) == -EBADMSG)
			w->wrong++;
		chunks_put(w->cache, n);
	}
	return NULL;
}

static void threads_share_it(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_chunk_cache)
	struct chunk_cache *c = chunks_open(dir.path, 40 * CHUNK);
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
		if (chunks_get(c, n) == -EBADMSG)
			return 2;
		chunks_put(c, n);
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
	struct chunk_cache *c = chunks_open(dir.path, 30 * CHUNK);
	for (unsigned n = 0; n < 120; n++)
		assert_int_not_equal(chunks_get(c, n), -EBADMSG);
	/* An eighth above the limit, and what each was at when it was killed or when
	 * others' sums were a moment old. */
	assert_true(chunks_bytes(&dir) <= (30 + 30 / 8 + 3 * HANDS) * CHUNK);
}

/* Two openings stand for two processes: each has descriptions of its own. */
static void what_one_process_claims_others_leave_out(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_chunk_cache) struct chunk_cache *one = chunks_open(dir.path, 0);
	struct chunk_cache *two = chunks_open(dir.path, 0);
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
		cmocka_unit_test(a_damaged_chunk_is_found_and_removed),
		cmocka_unit_test(a_use_is_recorded_by_the_minute),
		cmocka_unit_test(it_stays_within_its_bound),
		cmocka_unit_test(what_a_scan_did_not_see_is_not_overlooked),
		cmocka_unit_test(a_chunk_larger_than_the_cache_is_not_kept),
		cmocka_unit_test(who_loses_a_temporary_file_loses_a_chunk),
		cmocka_unit_test(a_cache_that_is_removed_is_not_written_at_once),
		cmocka_unit_test(a_full_or_read_only_disk_is_only_read),
		cmocka_unit_test(threads_share_it),
		cmocka_unit_test(what_one_process_claims_others_leave_out),
		cmocka_unit_test(killed_processes_do_no_harm),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
