#include "tests/unit/scratch.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "fetch/file_temp.h"
#include "fetch/store_file.h"

#define RACERS 16
#define ROUNDS 10

/* What the file system is like. */
static struct {
	bool no_link_counts;
	bool locked;  /* whatever it is, by somebody else */
	int no_links; /* nor unnamed files, nor a rename that replaces nothing: its word */
	bool no_unnamed; /* files: O_TMPFILE */
} disk;

/* fstat(2), by the name that it has where offsets have 64 bits. */
int __real_fstat64(int fd, struct stat *st);
int __wrap_fstat64(int fd, struct stat *st);
int __wrap_fstat64(int fd, struct stat *st)
{
	int r = __real_fstat64(fd, st);
	if (disk.no_link_counts)
		st->st_nlink = 0;
	return r;
}

int __real_flock(int fd, int operation);
int __wrap_flock(int fd, int operation);
int __wrap_flock(int fd, int operation)
{
	if (!disk.locked)
		return __real_flock(fd, operation);
	errno = EWOULDBLOCK;
	return -1;
}

int __real_linkat(int from, const char *old, int to, const char *new, int flags);
int __wrap_linkat(int from, const char *old, int to, const char *new, int flags);
int __wrap_linkat(int from, const char *old, int to, const char *new, int flags)
{
	if (!disk.no_links)
		return __real_linkat(from, old, to, new, flags);
	errno = disk.no_links;
	return -1;
}

int __real_renameat2(int from, const char *old, int to, const char *new, unsigned flags);
int __wrap_renameat2(int from, const char *old, int to, const char *new, unsigned flags);
int __wrap_renameat2(int from, const char *old, int to, const char *new, unsigned flags)
{
	if (!disk.no_links)
		return __real_renameat2(from, old, to, new, flags);
	errno = disk.no_links;
	return -1;
}

int __real_openat64(int dir, const char *path, int flags, ...);
int __wrap_openat64(int dir, const char *path, int flags, ...);
int __wrap_openat64(int dir, const char *path, int flags, ...)
{
	va_list more;
	va_start(more, flags);
	bool makes = flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE;
	mode_t mode = makes ? va_arg(more, mode_t) : 0;
	va_end(more);
	bool refused = disk.no_links || disk.no_unnamed;
	if (!refused || (flags & O_TMPFILE) != O_TMPFILE)
		return __real_openat64(dir, path, flags, mode);
	errno = EOPNOTSUPP;
	return -1;
}

static struct store *store_at(const char *path)
{
	struct store_url url = {.kind = STORE_FILE, .path = (char *)path};
	struct store *s = NULL;
	assert_int_equal(store_file_new(&url, &s, NULL), 0);
	return s;
}

static struct object *open_key(struct store *s, const char *key, size_t tail)
{
	struct object *o = NULL;
	assert_int_equal(
		store_open_object(s, CALL_PATIENT, key, tail, &o, NULL, NULL), 0);
	return o;
}

static int open_result(struct store *s, const char *key)
{
	struct object *o = NULL;
	struct error e = {0};
	int r = store_open_object(s, CALL_PATIENT, key, 10, &o, NULL, &e);
	assert_int_equal(e.code, r);
	object_free(o);
	return r;
}

static void assert_content(struct store *s, const char *key, const char *want)
{
	CLEANUP(cleanup_object) struct object *o = open_key(s, key, 1000);
	size_t len;
	const char *tail = object_tail(o, &len);
	assert_int_equal(len, strlen(want));
	assert_memory_equal(tail, want, len);
}

/* Publishes text; returns finish()'s or an earlier error. */
static int publish(struct store *s, const char *key, const char *text,
	enum publish_condition condition, struct publish_result *ret, struct error *e)
{
	struct publish_options options = {.condition = condition};
	CLEANUP(cleanup_publication) struct publication *p = NULL;
	int r = publication_begin(s, CALL_PATIENT, key, &options, &p, e);
	if (r == 0)
		r = publication_write(p, CALL_PATIENT, text, strlen(text), e);
	if (r == 0)
		r = publication_finish(p, CALL_PATIENT, NULL, ret, e);
	return r;
}

/* --- reading --- */

static void an_object_is_its_tail_and_its_ranges(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_store) struct store *s = store_at(dir.path);
	scratch_write(&dir, "a/key", "0123456789");
	CLEANUP(cleanup_object) struct object *o = open_key(s, "a/key", 4);
	size_t len;
	assert_memory_equal(object_tail(o, &len), "6789", 4);
	assert_int_equal(len, 4);
	char buf[3];
	assert_int_equal(
		range_source_read(object_source(o), CALL_PATIENT, 2, 3, buf, NULL), 0);
	assert_memory_equal(buf, "234", 3);
	assert_int_equal(object_pin(o)->size, 10);
	object_drop_tail(o);
	assert_null(object_tail(o, &len));
	struct store_stats stats;
	store_stats(s, &stats);
	assert_int_equal(stats.received_bytes, 7);
	assert_int_equal(stats.requests, 2);
}

static void a_short_or_empty_object_is_all_tail(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_store) struct store *s = store_at(dir.path);
	scratch_write(&dir, "short", "abc");
	scratch_write(&dir, "empty", "");
	assert_content(s, "short", "abc");
	assert_content(s, "empty", "");
}

static void a_replaced_key_leaves_its_readers_the_old_bytes(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_store) struct store *s = store_at(dir.path);
	struct publish_result result;
	scratch_write(&dir, "key", "old bytes");
	CLEANUP(cleanup_object) struct object *old = open_key(s, "key", 1);
	assert_int_equal(
		publish(s, "key", "NEW BYTES", PUBLISH_OVERWRITE, &result, NULL), 0);
	char buf[9];
	assert_int_equal(
		range_source_read(object_source(old), CALL_PATIENT, 0, 9, buf, NULL), 0);
	assert_memory_equal(buf, "old bytes", 9);
	assert_content(s, "key", "NEW BYTES");
	CLEANUP(cleanup_object) struct object *new = open_key(s, "key", 1);
	assert_string_not_equal(object_pin(old)->etag, object_pin(new)->etag);
}

static void a_key_written_in_place_is_stale(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_store) struct store *s = store_at(dir.path);
	scratch_write(&dir, "key", "old bytes");
	CLEANUP(cleanup_object) struct object *o = open_key(s, "key", 1);
	scratch_write(&dir, "key", "other");
	char buf[2];
	struct error e = {0};
	assert_int_equal(range_source_read(object_source(o), CALL_PATIENT, 0, 2, buf, &e),
		-ESTALE);
	assert_non_null(strstr(e.text, "'key'"));
}

static void what_is_no_regular_file_is_a_miss(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_store) struct store *s = store_at(dir.path);
	scratch_write(&dir, "d/file", "x");
	assert_int_equal(mkfifo(scratch_path(&dir, "fifo"), 0600), 0);
	assert_int_equal(symlink("d/file", scratch_path(&dir, "link")), 0);
	assert_int_equal(symlink("/etc", scratch_path(&dir, "etc")), 0);
	static const char *const misses[] = {
		"none", "d", "d/none", "d/file/below", "fifo", "link", "etc/passwd"};
	for (size_t i = 0; i < sizeof(misses) / sizeof(misses[0]); i++) {
		struct pin pin;
		assert_int_equal(open_result(s, misses[i]), -ENOENT);
		assert_int_equal(
			store_stat_object(s, CALL_PATIENT, misses[i], &pin, NULL, NULL),
			-ENOENT);
	}
	assert_int_equal(open_result(s, "../x"), -EINVAL);
	assert_int_equal(open_result(s, ".larder/tmp/x"), -EINVAL);
}

static int count_keys(void *arg, const struct list_entry *entry)
{
	(*(unsigned *)arg)++;
	return 0;
}

static void a_folder_that_is_not_there_holds_nothing(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_store) struct store *s = store_at(scratch_path(&dir, "not/yet"));
	struct publish_result result;
	struct error e = {0};
	unsigned count = 0;
	assert_int_equal(open_result(s, "key"), -ENOENT);
	assert_int_equal(
		store_list(s, CALL_PATIENT, "", true, count_keys, &count, &e), -ENOENT);
	assert_non_null(strstr(e.text, "not/yet'"));
	assert_int_equal(publish(s, "key", "x", PUBLISH_IF_ABSENT, &result, NULL), 0);
	assert_int_equal(
		store_list(s, CALL_PATIENT, "", true, count_keys, &count, NULL), 0);
	assert_int_equal(count, 1);
}

/* --- publishing --- */

static void the_first_writer_wins(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_store) struct store *s = store_at(dir.path);
	struct publish_options options = {.condition = PUBLISH_IF_ABSENT};
	struct publish_result first, second;
	struct publication *late = NULL;
	assert_int_equal(
		publication_begin(s, CALL_PATIENT, "a/k", &options, &late, NULL), 0);
	assert_int_equal(publication_write(late, CALL_PATIENT, "late", 4, NULL), 0);
	assert_int_equal(publish(s, "a/k", "first", PUBLISH_IF_ABSENT, &first, NULL), 0);
	assert_int_equal(first.outcome, PUBLISHED);
	assert_int_equal(publication_finish(late, CALL_PATIENT, NULL, &second, NULL), 0);
	assert_int_equal(second.outcome, ALREADY_PUBLISHED);
	assert_string_equal(first.pin.etag, second.pin.etag);
	publication_free(late);
	assert_content(s, "a/k", "first");
	struct pin pin;
	assert_int_equal(store_stat_object(s, CALL_PATIENT, "a/k", &pin, NULL, NULL), 0);
	assert_string_equal(pin.etag, first.pin.etag);
	assert_int_equal(scratch_count(&dir, ""), 1);
}

static void a_published_key_is_seen_before_packing(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_store) struct store *s = store_at(dir.path);
	struct publish_result result;
	struct error e = {0};
	scratch_write(&dir, "key", "x");
	assert_int_equal(publish(s, "key", "y", PUBLISH_IF_ABSENT, &result, &e), -EEXIST);
	assert_int_equal(e.code, -EEXIST);
	assert_int_equal(
		publish(s, "key", "y", PUBLISH_UNSAFE_OVERWRITE, &result, NULL), -EEXIST);
	assert_content(s, "key", "x");
}

static void an_overwrite_replaces_and_leaves_nothing_else(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_store) struct store *s = store_at(dir.path);
	struct publish_result result;
	for (int i = 0; i < 3; i++) {
		const char *text = i % 2 ? "odd" : "even";
		assert_int_equal(
			publish(s, "key", text, PUBLISH_OVERWRITE, &result, NULL), 0);
		assert_int_equal(result.outcome, PUBLISHED);
		assert_content(s, "key", text);
	}
	struct pin pin;
	assert_int_equal(store_stat_object(s, CALL_PATIENT, "key", &pin, NULL, NULL), 0);
	assert_string_equal(pin.etag, result.pin.etag);
	assert_int_equal(scratch_count(&dir, ""), 1);
}

static void what_is_not_finished_leaves_nothing(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_store) struct store *s = store_at(dir.path);
	struct publish_options options = {.condition = PUBLISH_IF_ABSENT};
	struct publication *p = NULL;
	assert_int_equal(publication_begin(s, CALL_PATIENT, "k", &options, &p, NULL), 0);
	assert_int_equal(publication_write(p, CALL_PATIENT, "data", 4, NULL), 0);
	uint64_t written, sent;
	publication_progress(p, &written, &sent);
	assert_int_equal(written, 4);
	assert_int_equal(sent, 4);
	publication_free(p);
	assert_int_equal(scratch_count(&dir, ""), 0);
	assert_int_equal(open_result(s, "k"), -ENOENT);
}

static void a_cancelled_or_failed_write_leaves_nothing(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_store) struct store *s = store_at(dir.path);
	struct publish_options options = {.condition = PUBLISH_IF_ABSENT};
	struct publish_result result;
	struct publication *p = NULL;
	struct error e = {0};
	struct cancel cancel;
	cancel_init(&cancel);
	cancel_fire(&cancel);
	struct call call = {.deadline_ns = DEADLINE_NONE, .cancel = &cancel};
	assert_int_equal(publication_begin(s, CALL_PATIENT, "k", &options, &p, NULL), 0);
	assert_int_equal(publication_write(p, &call, "data", 4, &e), -ECANCELED);
	publication_free(p);
	assert_int_equal(publication_begin(s, CALL_PATIENT, "k", &options, &p, NULL), 0);
	assert_int_equal(publication_finish(p, &call, NULL, &result, &e), -ECANCELED);
	publication_free(p);
	cancel_finish(&cancel);

	struct rlimit before, small = {.rlim_cur = 2};
	getrlimit(RLIMIT_FSIZE, &before);
	small.rlim_max = before.rlim_max;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(publication_begin(s, CALL_PATIENT, "k", &options, &p, NULL), 0);
	setrlimit(RLIMIT_FSIZE, &small);
	int r = publication_write(p, CALL_PATIENT, "data", 4, &e);
	setrlimit(RLIMIT_FSIZE, &before);
	assert_int_equal(r, -EFBIG);
	assert_non_null(strstr(e.text, "'k'"));
	publication_free(p);
	assert_int_equal(scratch_count(&dir, ""), 0);
}

static void a_key_and_keys_below_it_cannot_both_be(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_store) struct store *s = store_at(dir.path);
	struct publish_result result;
	struct error e = {0};
	scratch_write(&dir, "a/b", "x");
	scratch_write(&dir, "f", "x");
	assert_int_equal(publish(s, "a", "y", PUBLISH_IF_ABSENT, &result, &e), -EISDIR);
	assert_non_null(strstr(e.text, "'a'"));
	assert_int_equal(publish(s, "a", "y", PUBLISH_OVERWRITE, &result, &e), -EISDIR);
	assert_int_equal(
		publish(s, "f/g", "y", PUBLISH_IF_ABSENT, &result, &e), -ENOTDIR);
	assert_non_null(strstr(e.text, "'f/g'"));
	assert_content(s, "a/b", "x");
	assert_content(s, "f", "x");
	assert_int_equal(scratch_count(&dir, ""), 2);
}

static void the_collision_may_come_while_packing(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_store) struct store *s = store_at(dir.path);
	struct publish_options options = {.condition = PUBLISH_IF_ABSENT};
	struct publish_result result;
	struct publication *up = NULL, *down = NULL;
	assert_int_equal(publication_begin(s, CALL_PATIENT, "a", &options, &up, NULL), 0);
	assert_int_equal(
		publication_begin(s, CALL_PATIENT, "b/c", &options, &down, NULL), 0);
	scratch_write(&dir, "a/x", "x");
	scratch_write(&dir, "b", "x");
	assert_int_equal(
		publication_finish(up, CALL_PATIENT, NULL, &result, NULL), -EISDIR);
	assert_int_equal(
		publication_finish(down, CALL_PATIENT, NULL, &result, NULL), -ENOTDIR);
	publication_free(up);
	publication_free(down);
	assert_int_equal(scratch_count(&dir, ""), 2);
}

static void an_empty_directory_is_no_obstacle(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_store) struct store *s = store_at(dir.path);
	struct publish_result result;
	scratch_mkdir(&dir, "a");
	scratch_mkdir(&dir, "b");
	assert_int_equal(publish(s, "a", "x", PUBLISH_IF_ABSENT, &result, NULL), 0);
	assert_int_equal(publish(s, "b", "y", PUBLISH_OVERWRITE, &result, NULL), 0);
	assert_content(s, "a", "x");
	assert_content(s, "b", "y");
}

static void a_link_under_the_key_is_not_written_through(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(scratch_finish) struct scratch other = scratch_new();
	CLEANUP(cleanup_store) struct store *s = store_at(dir.path);
	struct publish_result result;
	struct error e = {0};
	assert_int_equal(symlink(other.path, scratch_path(&dir, "out")), 0);
	assert_int_equal(
		publish(s, "out/k", "x", PUBLISH_IF_ABSENT, &result, &e), -ENOTDIR);
	assert_int_equal(publish(s, "out", "x", PUBLISH_IF_ABSENT, &result, &e), -EIO);
	assert_int_equal(scratch_count(&other, ""), 0);
}

/* Nor is it taken for a key that is there. */
static void a_folder_behind_a_link_to_nothing_is_not_made(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	assert_int_equal(symlink("nothing", scratch_path(&dir, "link")), 0);
	static const char *const folders[] = {"link", "link/below"};
	for (size_t i = 0; i < 2; i++) {
		CLEANUP(cleanup_store)
		struct store *s = store_at(scratch_path(&dir, folders[i]));
		struct publish_result result;
		struct error e = {0};
		assert_int_equal(
			publish(s, "k", "x", PUBLISH_IF_ABSENT, &result, &e), -ENOTDIR);
		assert_non_null(strstr(e.text, folders[i]));
	}
	assert_int_equal(scratch_count(&dir, ""), 1);
}

/* --- without hard links --- */

/* CIFS and much of FUSE. */
static const int no_links[] = {EPERM, EOPNOTSUPP, ENOSYS};

static int restore_disk(void **state)
{
	disk.no_links = 0;
	disk.no_unnamed = false;
	return 0;
}

static enum honour honoured(struct store *s)
{
	struct probe_answer answer;
	struct error e = {0};
	if (probe_ask(s, CALL_PATIENT, 0, 0, &answer, &e) < 0)
		fail_msg("%s", e.text);
	return answer.put;
}

static void a_folder_honours_the_condition(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_store) struct store *s = store_at(dir.path);
	CLEANUP(cleanup_store) struct store *none = store_at(scratch_path(&dir, "none"));
	assert_int_equal(honoured(s), HONOUR_ATOMIC);
	disk.no_unnamed = true;
	assert_int_equal(honoured(s), HONOUR_ATOMIC);
	assert_int_equal(scratch_count(&dir, ""), 0);
	assert_int_equal(honoured(none), HONOUR_ATOMIC);
	assert_int_equal(access(scratch_path(&dir, "none"), F_OK), -1);
}

static void without_links_the_first_writer_cannot_win(void **state)
{
	for (size_t i = 0; i < 3; i++) {
		CLEANUP(scratch_finish) struct scratch dir = scratch_new();
		CLEANUP(cleanup_store) struct store *s = store_at(dir.path);
		struct publish_result result;
		struct error e = {0};
		disk.no_links = no_links[i];
		struct publish_options options = {.condition = PUBLISH_IF_ABSENT};
		struct publication *p = NULL;
		assert_int_equal(
			publication_begin(s, CALL_PATIENT, "a/k", &options, &p, &e),
			-EOPNOTSUPP);
		assert_non_null(strstr(e.text, "could overwrite each other unseen"));
		assert_int_equal(scratch_count(&dir, ""), 0);
		assert_int_equal(honoured(s), HONOUR_NO);
		assert_int_equal(
			publish(s, "a/k", "y", PUBLISH_OVERWRITE, &result, NULL), 0);
		assert_content(s, "a/k", "y");
		assert_int_equal(scratch_count(&dir, ""), 1);
	}
}

/* Below the folder there may be another file system. */
static void that_there_are_no_links_may_show_at_the_end(void **state)
{
	for (size_t i = 0; i < 3; i++) {
		CLEANUP(scratch_finish) struct scratch dir = scratch_new();
		CLEANUP(cleanup_store) struct store *s = store_at(dir.path);
		CLEANUP(cleanup_publication) struct publication *p = NULL;
		struct publish_options options = {.condition = PUBLISH_IF_ABSENT};
		struct publish_result result;
		disk.no_links = 0;
		disk.no_unnamed = true;
		assert_int_equal(
			publication_begin(s, CALL_PATIENT, "k", &options, &p, NULL), 0);
		disk.no_links = no_links[i];
		assert_int_equal(publication_finish(p, CALL_PATIENT, NULL, &result, NULL),
			-EOPNOTSUPP);
	}
}

static void without_links_a_look_may_do(void **state)
{
	for (size_t i = 0; i < 3; i++) {
		CLEANUP(scratch_finish) struct scratch dir = scratch_new();
		CLEANUP(cleanup_store) struct store *s = store_at(dir.path);
		CLEANUP(cleanup_publication) struct publication *late = NULL;
		struct publish_options options = {.condition = PUBLISH_UNSAFE_OVERWRITE};
		struct publish_result result;
		disk.no_links = no_links[i];
		assert_int_equal(publication_begin(
					 s, CALL_PATIENT, "a/k", &options, &late, NULL),
			0);
		assert_int_equal(
			publication_write(late, CALL_PATIENT, "late", 4, NULL), 0);
		assert_int_equal(publish(s, "a/k", "first", PUBLISH_UNSAFE_OVERWRITE,
					 &result, NULL),
			0);
		assert_int_equal(result.outcome, PUBLISHED);
		assert_int_equal(
			publication_finish(late, CALL_PATIENT, NULL, &result, NULL), 0);
		assert_int_equal(result.outcome, ALREADY_PUBLISHED);
		assert_content(s, "a/k", "first");
	}
}

/* --- racing --- */

struct racer {
	struct store *store;
	const char *key;
	pthread_barrier_t *barrier;
	char text[32];
	struct publish_result result;
	int code;
};

static void *race(void *arg)
{
	struct racer *r = arg;
	struct publish_options options = {.condition = PUBLISH_IF_ABSENT};
	CLEANUP(cleanup_publication) struct publication *p = NULL;
	r->code = publication_begin(r->store, CALL_PATIENT, r->key, &options, &p, NULL);
	if (r->code == 0)
		r->code = publication_write(
			p, CALL_PATIENT, r->text, strlen(r->text), NULL);
	pthread_barrier_wait(r->barrier);
	if (r->code == 0)
		r->code = publication_finish(p, CALL_PATIENT, NULL, &r->result, NULL);
	return NULL;
}

static void of_16_threads_one_wins(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_store) struct store *s = store_at(dir.path);
	for (int round = 0; round < ROUNDS; round++) {
		char key[32];
		snprintf(key, sizeof(key), "deep/%d/key", round);
		struct racer racers[RACERS];
		pthread_t threads[RACERS];
		pthread_barrier_t barrier;
		pthread_barrier_init(&barrier, NULL, RACERS);
		for (int i = 0; i < RACERS; i++) {
			racers[i] = (struct racer){s, key, &barrier};
			snprintf(racers[i].text, sizeof(racers[i].text), "racer %d", i);
			assert_int_equal(
				pthread_create(&threads[i], NULL, race, &racers[i]), 0);
		}
		const struct racer *winner = NULL;
		for (int i = 0; i < RACERS; i++) {
			pthread_join(threads[i], NULL);
			assert_int_equal(racers[i].code, 0);
			if (racers[i].result.outcome != PUBLISHED)
				continue;
			assert_null(winner);
			winner = &racers[i];
		}
		pthread_barrier_destroy(&barrier);
		assert_non_null(winner);
		assert_content(s, key, winner->text);
		for (int i = 0; i < RACERS; i++)
			assert_string_equal(
				racers[i].result.pin.etag, winner->result.pin.etag);
	}
	assert_int_equal(scratch_count(&dir, ""), ROUNDS);
}

/* The child's part: waits for the starting gun (end of file on the pipe), then races. */
static int race_in_child(const char *path, int gun, int number)
{
	char text[32], byte;
	struct publish_result result;
	struct store *s = store_at(path);
	struct publish_options options = {.condition = PUBLISH_IF_ABSENT};
	struct publication *p = NULL;
	snprintf(text, sizeof(text), "racer %d", number);
	int r = publication_begin(s, CALL_PATIENT, "x/key", &options, &p, NULL);
	if (r == 0)
		r = publication_write(p, CALL_PATIENT, text, strlen(text), NULL);
	while (read(gun, &byte, 1) > 0)
		;
	if (r == 0)
		r = publication_finish(p, CALL_PATIENT, NULL, &result, NULL);
	bool late = r == -EEXIST; /* begin() saw the winner's key already */
	if (r < 0 && !late)
		return 99;
	publication_free(p);
	store_free(s);
	return late || result.outcome == ALREADY_PUBLISHED ? 1 : 0;
}

static void of_16_processes_one_wins(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_store) struct store *s = store_at(dir.path);
	int gun[2], winner = -1;
	pid_t pids[RACERS];
	assert_int_equal(pipe2(gun, O_CLOEXEC), 0);
	for (int i = 0; i < RACERS; i++) {
		pids[i] = fork();
		assert_true(pids[i] >= 0);
		if (pids[i] == 0) {
			close(gun[1]);
			_exit(race_in_child(dir.path, gun[0], i));
		}
	}
	close(gun[0]);
	close(gun[1]);
	for (int i = 0; i < RACERS; i++) {
		int status;
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) <= 1);
		if (WEXITSTATUS(status) == 1)
			continue;
		assert_int_equal(winner, -1);
		winner = i;
	}
	char text[32];
	snprintf(text, sizeof(text), "racer %d", winner);
	assert_content(s, "x/key", text);
	assert_int_equal(scratch_count(&dir, ""), 1);
}

/* --- temporary files --- */

static int root_of(const struct scratch *dir)
{
	int fd = open(dir->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static void the_dead_are_swept_and_the_living_are_not(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_close) int root = root_of(&dir);
	CLEANUP(file_temp_finish) struct file_temp live = FILE_TEMP_INIT;
	assert_int_equal(file_temp_new(root, true, &live), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct file_temp dead;
		_exit(file_temp_new(root, true, &dead) == 0 ? 0 : 1);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(scratch_count(&dir, ".larder"), 2);
	file_temp_sweep(root);
	assert_int_equal(scratch_count(&dir, ".larder"), 1);
	assert_int_equal(access(scratch_path(&dir, ".larder/tmp"), F_OK), 0);
	assert_int_equal(faccessat(live.dir, live.name, F_OK, 0), 0);
}

static void publishing_sweeps(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_store) struct store *s = store_at(dir.path);
	struct publish_result result;
	scratch_write(&dir, ".larder/tmp/0123", "left by a dead process");
	assert_int_equal(publish(s, "k", "x", PUBLISH_IF_ABSENT, &result, NULL), 0);
	assert_int_equal(scratch_count(&dir, ""), 1);
}

/* Some FUSE file systems count none. */
static void a_file_without_a_count_of_links_is_kept(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_close) int root = root_of(&dir);
	CLEANUP(file_temp_finish) struct file_temp t = FILE_TEMP_INIT;
	disk.no_link_counts = true;
	int r = file_temp_new(root, true, &t);
	disk.no_link_counts = false;
	assert_int_equal(r, 0);
	assert_int_equal(scratch_count(&dir, ".larder"), 1);
	assert_int_equal(file_temp_link(&t, root, "k"), 0);
}

static void who_loses_every_file_gives_up_and_leaves_none(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_close) int root = root_of(&dir);
	CLEANUP(file_temp_finish) struct file_temp t = FILE_TEMP_INIT;
	disk.locked = true;
	int r = file_temp_new(root, true, &t);
	disk.locked = false;
	assert_int_equal(r, -EIO);
	assert_int_equal(scratch_count(&dir, ".larder"), 0);
}

/* What file systems without O_TMPFILE get. */
static void a_named_file_is_published_the_same_way(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_store) struct store *s = store_at(dir.path);
	CLEANUP(cleanup_close) int root = root_of(&dir);
	CLEANUP(file_temp_finish) struct file_temp a = FILE_TEMP_INIT;
	CLEANUP(file_temp_finish) struct file_temp b = FILE_TEMP_INIT;
	assert_int_equal(file_temp_new(root, true, &a), 0);
	assert_int_equal(file_temp_new(root, true, &b), 0);
	assert_int_equal(write_fully(a.fd, "one", 3), 0);
	assert_int_equal(write_fully(b.fd, "two", 3), 0);
	assert_int_equal(file_temp_link(&a, root, "k"), 0);
	assert_int_equal(file_temp_link(&b, root, "k"), -EEXIST);
	assert_content(s, "k", "one");
	assert_int_equal(file_temp_replace(&b, root, root, "k"), 0);
	assert_content(s, "k", "two");
	file_temp_finish(&a);
	file_temp_finish(&b);
	assert_int_equal(scratch_count(&dir, ""), 1);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_object_is_its_tail_and_its_ranges),
		cmocka_unit_test(a_short_or_empty_object_is_all_tail),
		cmocka_unit_test(a_replaced_key_leaves_its_readers_the_old_bytes),
		cmocka_unit_test(a_key_written_in_place_is_stale),
		cmocka_unit_test(what_is_no_regular_file_is_a_miss),
		cmocka_unit_test(a_folder_that_is_not_there_holds_nothing),
		cmocka_unit_test(the_first_writer_wins),
		cmocka_unit_test(a_published_key_is_seen_before_packing),
		cmocka_unit_test(an_overwrite_replaces_and_leaves_nothing_else),
		cmocka_unit_test(what_is_not_finished_leaves_nothing),
		cmocka_unit_test(a_cancelled_or_failed_write_leaves_nothing),
		cmocka_unit_test(a_key_and_keys_below_it_cannot_both_be),
		cmocka_unit_test(the_collision_may_come_while_packing),
		cmocka_unit_test(an_empty_directory_is_no_obstacle),
		cmocka_unit_test(a_link_under_the_key_is_not_written_through),
		cmocka_unit_test(a_folder_behind_a_link_to_nothing_is_not_made),
		cmocka_unit_test_teardown(a_folder_honours_the_condition, restore_disk),
		cmocka_unit_test_teardown(
			without_links_the_first_writer_cannot_win, restore_disk),
		cmocka_unit_test_teardown(
			that_there_are_no_links_may_show_at_the_end, restore_disk),
		cmocka_unit_test_teardown(without_links_a_look_may_do, restore_disk),
		cmocka_unit_test(of_16_threads_one_wins),
		cmocka_unit_test(of_16_processes_one_wins),
		cmocka_unit_test(the_dead_are_swept_and_the_living_are_not),
		cmocka_unit_test(publishing_sweeps),
		cmocka_unit_test(a_file_without_a_count_of_links_is_kept),
		cmocka_unit_test(who_loses_every_file_gives_up_and_leaves_none),
		cmocka_unit_test(a_named_file_is_published_the_same_way),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
