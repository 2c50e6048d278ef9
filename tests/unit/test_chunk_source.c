#include "tests/unit/scratch.h"

#include <errno.h>

#include "fetch/chunk_cache.h"
#include "fetch/chunk_source.h"

#define CHUNKS 8
#define SIZE   360 /* bytes: chunk i has 10 * (i + 1) */

/* Linked with --wrap: a digest may lack memory. */
static bool digests_fail;

int __real_digest_of(const void *data, size_t len, struct digest *ret);
int __wrap_digest_of(const void *data, size_t len, struct digest *ret);
int __wrap_digest_of(const void *data, size_t len, struct digest *ret)
{
	return digests_fail ? -ENOMEM : __real_digest_of(data, len, ret);
}

/* The inner source: a recording of what is asked of it, and faults to order. */
struct inner {
	struct range_source base;
	unsigned char data[SIZE + 40]; /* longer than the table, as an archive is */
	unsigned reads;
	uint64_t last_offset;
	size_t last_len;
	unsigned wrong_reads; /* so many reads come out with a flipped bit */
	uint64_t wrong_at;
	int fails; /* with this code, if not 0 */
};

static int inner_read(struct range_source *s, const struct call *call, uint64_t offset,
	size_t len, void *buf, struct error *e)
{
	struct inner *in = (struct inner *)s;
	in->reads++;
	in->last_offset = offset;
	in->last_len = len;
	if (in->fails)
		return error_set(e, in->fails, "ordered to fail");
	memcpy(buf, in->data + offset, len);
	if (in->wrong_reads && in->wrong_at >= offset && in->wrong_at < offset + len) {
		in->wrong_reads--;
		((unsigned char *)buf)[in->wrong_at - offset] ^= 4;
	}
	return 0;
}

static void inner_free(struct range_source *s)
{
}

static const struct range_source_ops inner_ops = {.read = inner_read, .free = inner_free};

struct fixture {
	struct scratch dir;
	struct chunk_cache *cache;
	struct inner inner;
	uint64_t offsets[CHUNKS + 1];
	struct digest digests[CHUNKS];
	struct chunk_table table;
	struct range_source *source;
	unsigned fallback_has; /* bit i: chunk i */
	bool fallback_lies;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	f->dir = scratch_new();
	assert_int_equal(chunk_cache_open(f->dir.path, 0, &f->cache, NULL), 0);
	f->inner.base = (struct range_source){&inner_ops, sizeof(f->inner.data)};
	for (unsigned i = 0; i < sizeof(f->inner.data); i++)
		f->inner.data[i] = (unsigned char)(i * 7);
	for (unsigned i = 0; i < CHUNKS; i++) {
		f->offsets[i + 1] = f->offsets[i] + 10 * (i + 1);
		digest_of(f->inner.data + f->offsets[i], 10 * (i + 1), &f->digests[i]);
	}
	f->table = (struct chunk_table){CHUNKS, f->offsets, f->digests};
	assert_int_equal(chunk_source_new(&f->inner.base, &f->table, f->cache, "the key",
				 &f->source, NULL),
		0);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	range_source_free(f->source);
	chunk_cache_free(f->cache);
	scratch_finish(&f->dir);
	free(f);
	return 0;
}

/* Reads chunks [first, end) and, when that works, compares them. */
static int read_chunks(struct fixture *f, size_t first, size_t end, struct error *e)
{
	unsigned char buf[SIZE];
	size_t len = (size_t)(f->offsets[end] - f->offsets[first]);
	int r = range_source_read(
		f->source, CALL_PATIENT, f->offsets[first], len, buf, e);
	if (r == 0)
		assert_memory_equal(buf, f->inner.data + f->offsets[first], len);
	return r;
}

static struct chunk_stats stats_of(struct fixture *f)
{
	struct chunk_stats stats;
	chunk_source_stats(f->source, &stats);
	return stats;
}

static void neighbours_are_one_range(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(f->source->size, SIZE);
	assert_int_equal(read_chunks(f, 2, 6, NULL), 0);
	assert_int_equal(f->inner.reads, 1);
	assert_int_equal(f->inner.last_offset, f->offsets[2]);
	assert_int_equal(f->inner.last_len, f->offsets[6] - f->offsets[2]);
	assert_int_equal(stats_of(f).cache_misses, 4);
	assert_int_equal(stats_of(f).fetched_bytes, f->offsets[6] - f->offsets[2]);
}

static void what_was_read_is_not_fetched_again(void **state)
{
	struct fixture *f = *state;
	assert_false(chunk_source_cached(f->source, 3));
	assert_int_equal(read_chunks(f, 3, 4, NULL), 0);
	assert_true(chunk_source_cached(f->source, 3));
	assert_int_equal(read_chunks(f, 3, 4, NULL), 0);
	assert_int_equal(f->inner.reads, 1);
	assert_int_equal(stats_of(f).cache_hits, 1);
}

static void only_the_missing_are_fetched(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(read_chunks(f, 3, 5, NULL), 0);
	assert_int_equal(read_chunks(f, 0, CHUNKS, NULL), 0);
	assert_int_equal(f->inner.reads, 3); /* 3-4, then 0-2 and 5-7 */
	assert_int_equal(f->inner.last_offset, f->offsets[5]);
	assert_int_equal(stats_of(f).fetched_bytes, SIZE);
	assert_int_equal(read_chunks(f, 0, CHUNKS, NULL), 0);
	assert_int_equal(f->inner.reads, 3);
}

static void a_damaged_cache_entry_is_fetched(void **state)
{
	struct fixture *f = *state;
	char hex[DIGEST_HEX_SIZE], name[128];
	assert_int_equal(read_chunks(f, 0, CHUNKS, NULL), 0);
	digest_hex(&f->digests[4], hex);
	snprintf(name, sizeof(name), "chunks/%.2s/%s", hex, hex);
	int fd = open(scratch_path(&f->dir, name), O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite_fully(fd, "??", 2, f->offsets[4] + 3), 0);
	close(fd);
	assert_int_equal(read_chunks(f, 0, CHUNKS, NULL), 0);
	assert_int_equal(f->inner.reads, 2);
	assert_int_equal(f->inner.last_offset, f->offsets[4]);
	assert_int_equal(stats_of(f).cache_damaged, 1);
	assert_int_equal(read_chunks(f, 4, 5, NULL), 0);
	assert_int_equal(f->inner.reads, 2);
}

static void a_wrong_chunk_is_fetched_once_more_alone(void **state)
{
	struct fixture *f = *state;
	f->inner.wrong_reads = 1;
	f->inner.wrong_at = f->offsets[3] + 1;
	assert_int_equal(read_chunks(f, 2, 6, NULL), 0);
	assert_int_equal(f->inner.reads, 2);
	assert_int_equal(f->inner.last_offset, f->offsets[3]);
	assert_int_equal(f->inner.last_len, 40);
	assert_int_equal(stats_of(f).refetched, 1);
}

static void wrong_twice_is_an_error_and_not_kept(void **state)
{
	struct fixture *f = *state;
	struct error e = {0};
	f->inner.wrong_reads = 2;
	f->inner.wrong_at = f->offsets[3] + 1;
	assert_int_equal(read_chunks(f, 2, 6, &e), -EBADMSG);
	assert_int_equal(f->inner.reads, 2);
	assert_non_null(strstr(e.text, "'the key'"));
	assert_non_null(strstr(e.text, "frame 3"));
	assert_non_null(strstr(e.text, " 60)"));
	assert_false(chunk_source_cached(f->source, 3));
	assert_true(chunk_source_cached(f->source, 2));
	assert_int_equal(read_chunks(f, 2, 6, NULL), 0); /* the fault is over */
}

static int fallback(void *arg, const struct call *call, const struct digest *digest,
	size_t len, void *buf)
{
	struct fixture *f = arg;
	for (unsigned i = 0; i < CHUNKS; i++) {
		if (!digest_equal(digest, &f->digests[i]) || !(f->fallback_has & 1u << i))
			continue;
		assert_int_equal(len, 10 * (i + 1));
		memcpy(buf, f->inner.data + f->offsets[i], len);
		*(unsigned char *)buf ^= f->fallback_lies;
		return 0;
	}
	return -ENOENT;
}

static void the_fallback_serves_a_replaced_object(void **state)
{
	static const int codes[] = {-ESTALE, -ENOENT};
	for (unsigned i = 0; i < 2; i++) {
		struct fixture *f = *state;
		f->inner.fails = codes[i];
		f->fallback_has = 0xff;
		chunk_source_set_fallback(f->source, fallback, f);
		assert_int_equal(read_chunks(f, 4 * i, 4 * i + 4, NULL), 0);
		assert_int_equal(stats_of(f).fallback_hits, 4 * (i + 1));
		assert_true(chunk_source_cached(f->source, 4 * i + 1));
	}
}

static void what_the_fallback_lacks_leaves_the_error(void **state)
{
	struct fixture *f = *state;
	struct error e = {0};
	chunk_source_set_fallback(f->source, fallback, f);
	f->inner.fails = -ESTALE;
	f->fallback_has = 0xfb; /* not chunk 2 */
	assert_int_equal(read_chunks(f, 1, 4, &e), -ESTALE);
	assert_string_equal(e.text, "ordered to fail");
	f->fallback_has = 0xff;
	f->fallback_lies = true;
	assert_int_equal(read_chunks(f, 5, 6, NULL), -ESTALE);
	assert_false(chunk_source_cached(f->source, 5));
	f->fallback_lies = false;
	f->inner.fails = -EIO;
	assert_int_equal(read_chunks(f, 6, 7, NULL), -EIO);
	assert_int_equal(stats_of(f).fallback_hits, 1);
}

/* The code, and the sentence that goes with it. */
static void what_the_fallback_meets_is_not_the_reason(void **state)
{
	struct fixture *f = *state;
	struct error e = {0};
	chunk_source_set_fallback(f->source, fallback, f);
	f->inner.fails = -ESTALE;
	f->fallback_has = 0xff;
	digests_fail = true;
	int r = read_chunks(f, 1, 4, &e);
	digests_fail = false;
	assert_int_equal(r, -ESTALE);
	assert_int_equal(e.code, -ESTALE);
	assert_string_equal(e.text, "ordered to fail");
}

static void reads_are_whole_chunks(void **state)
{
	struct fixture *f = *state;
	unsigned char buf[SIZE];
	struct error e = {0};
	assert_int_equal(
		range_source_read(f->source, CALL_PATIENT, 1, 9, buf, &e), -EINVAL);
	assert_int_equal(
		range_source_read(f->source, CALL_PATIENT, 0, 11, buf, &e), -EINVAL);
	assert_int_equal(range_source_read(f->source, CALL_PATIENT, 0, SIZE + 1, buf, &e),
		-EINVAL);
	assert_int_equal(f->inner.reads, 0);
}

static void a_table_must_fit(void **state)
{
	struct fixture *f = *state;
	struct range_source *s = NULL;
	uint64_t bad[3] = {0, 10, 5};
	struct chunk_table t = {2, bad, f->digests};
	struct error e = {0};
	assert_int_equal(
		chunk_source_new(&f->inner.base, &t, NULL, "x", &s, &e), -EINVAL);
	bad[2] = 401;
	assert_int_equal(
		chunk_source_new(&f->inner.base, &t, NULL, "x", &s, &e), -EINVAL);
	bad[2] = 10;
	assert_int_equal(
		chunk_source_new(&f->inner.base, &t, NULL, "x", &s, &e), -EINVAL);
	bad[0] = 1;
	bad[2] = 20;
	assert_int_equal(
		chunk_source_new(&f->inner.base, &t, NULL, "x", &s, &e), -EINVAL);
	assert_null(s);
}

static void it_works_without_a_cache(void **state)
{
	struct fixture *f = *state;
	range_source_free(f->source);
	assert_int_equal(chunk_source_new(&f->inner.base, &f->table, NULL, "the key",
				 &f->source, NULL),
		0);
	assert_int_equal(read_chunks(f, 0, CHUNKS, NULL), 0);
	assert_int_equal(read_chunks(f, 0, CHUNKS, NULL), 0);
	assert_int_equal(f->inner.reads, 2);
	assert_false(chunk_source_cached(f->source, 0));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	static const struct CMUnitTest tests[] = {
		TEST(neighbours_are_one_range),
		TEST(what_was_read_is_not_fetched_again),
		TEST(only_the_missing_are_fetched),
		TEST(a_damaged_cache_entry_is_fetched),
		TEST(a_wrong_chunk_is_fetched_once_more_alone),
		TEST(wrong_twice_is_an_error_and_not_kept),
		TEST(the_fallback_serves_a_replaced_object),
		TEST(what_the_fallback_lacks_leaves_the_error),
		TEST(what_the_fallback_meets_is_not_the_reason),
		TEST(reads_are_whole_chunks),
		TEST(a_table_must_fit),
		TEST(it_works_without_a_cache),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
