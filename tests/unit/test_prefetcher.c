#include "tests/unit/test.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include "archive/prefetcher.h"
#include "archive/readahead.h"
#include "tests/unit/noise.h"

#define MIB    ((size_t)1 << 20)
#define LENGTH (8 * MIB) /* of the file: 129 frames */

static const struct prefetch_options decoding = {
	.memory = 32 * MIB, .patience_ns = DEADLINE_NONE};

static uint64_t without_end(void *arg)
{
	return UINT64_MAX;
}

static const struct prefetch_options passing = {
	.memory = MIB, .room = without_end, .all = true, .patience_ns = DEADLINE_NONE};

/* Failures of which the policy knows: the frames are free a little earlier. */
static atomic_uint failures;

void __real_readahead_failed(struct readahead *, const struct readahead_wish *);
void __wrap_readahead_failed(struct readahead *, const struct readahead_wish *);

void __wrap_readahead_failed(struct readahead *ra, const struct readahead_wish *wish)
{
	__real_readahead_failed(ra, wish);
	atomic_fetch_add(&failures, 1);
}

static struct prefetcher *pool_of(unsigned threads)
{
	struct prefetcher *p = NULL;
	assert_int_equal(prefetcher_new(threads, 64 * MIB, &p, NULL), 0);
	return p;
}

static struct prefetching *begin(
	struct noise *f, struct prefetcher *p, const struct prefetch_options *options)
{
	struct prefetching *q = NULL;
	assert_int_equal(prefetching_begin(p, f->reader, options, &q), 0);
	return q;
}

static int read_frame(struct noise *f, uint32_t frame)
{
	unsigned char buf[100];
	size_t got = 0;
	uint64_t offset = noise_offset(f, frame);
	int r = reader_read(
		f->reader, CALL_PATIENT, f->file, offset, sizeof(buf), buf, &got, NULL);
	if (r == 0)
		assert_memory_equal(buf, f->content + offset, sizeof(buf));
	return r;
}

static void wait_ready(struct noise *f, uint32_t frame)
{
	bool touched;
	while (reader_presence(f->reader, frame, &touched) != FRAME_READY)
		sched_yield();
}

static void *read_frame_60(void *arg)
{
	return (void *)(intptr_t)read_frame(arg, 60);
}

/* While the demand is still held up, its surroundings are being asked for. */
static void a_miss_brings_its_surroundings(void **state)
{
	CLEANUP(noise_finish) struct noise f;
	noise_init(&f, LENGTH, 64 * MIB);
	CLEANUP(cleanup_prefetcher) struct prefetcher *p = pool_of(2);
	struct prefetch_options options = passing;
	options.all = false;
	CLEANUP(cleanup_prefetching) struct prefetching *q = begin(&f, p, &options);
	pthread_t thread;
	void *code;
	scripted_hold(&f.source);
	assert_int_equal(pthread_create(&thread, NULL, read_frame_60, &f), 0);
	scripted_wait_held(&f.source, 3);
	scripted_release(&f.source);
	assert_int_equal(pthread_join(thread, &code), 0);
	assert_null(code);
	struct readahead_stats s;
	prefetching_stats(q, &s);
	assert_true(s.wished > 0);
	assert_false(s.bulk);
}

/* Reads that somebody waited for, of those in the log. */
static unsigned demands(struct noise *f)
{
	unsigned count = 0, reads = scripted_reads(&f->source);
	for (unsigned i = 0; i < reads && i < SCRIPTED_LOG; i++)
		count += f->source.log[i].priority == PRIORITY_DEMAND;
	return count;
}

static void what_comes_next_is_there_before_it_is_asked_for(void **state)
{
	CLEANUP(noise_finish) struct noise f;
	noise_init(&f, LENGTH, 64 * MIB);
	CLEANUP(cleanup_prefetcher) struct prefetcher *p = pool_of(2);
	CLEANUP(cleanup_prefetching) struct prefetching *q = begin(&f, p, &decoding);
	for (uint32_t i = 1; i < 40; i++) {
		assert_int_equal(read_frame(&f, i), 0);
		if (i > 2)
			wait_ready(&f, i + 1);
	}
	struct readahead_stats s;
	prefetching_stats(q, &s);
	assert_true(s.right > 30);
	assert_in_range(scripted_reads(&f.source), 2, 45);
	assert_in_range(demands(&f), 1, 4);
}

static void ranges_are_read_in_parallel(void **state)
{
	CLEANUP(noise_finish) struct noise f;
	noise_init(&f, LENGTH, 64 * MIB);
	scripted_hold(&f.source);
	CLEANUP(cleanup_prefetcher) struct prefetcher *p = pool_of(4);
	struct prefetching *q = begin(&f, p, &passing);
	scripted_wait_held(&f.source, 4);
	for (int i = 0; i < 4; i++)
		assert_int_equal(f.source.log[i].priority, PRIORITY_PREFETCH);
	scripted_release(&f.source);
	prefetching_end(q);
}

/* Only who brings that frame, and not before. */
static void a_range_that_a_demand_waits_for_is_hurried(void **state)
{
	CLEANUP(noise_finish) struct noise f;
	noise_init(&f, LENGTH, 64 * MIB);
	scripted_hold(&f.source);
	CLEANUP(cleanup_prefetcher) struct prefetcher *p = pool_of(2);
	struct prefetching *q = begin(&f, p, &passing);
	scripted_wait_held(&f.source, 2);
	bool touched;
	assert_int_equal(reader_presence(f.reader, 60, &touched), FRAME_LOADING);
	assert_false(f.source.log[0].hurried || f.source.log[1].hurried);
	pthread_t thread;
	void *code;
	assert_int_equal(pthread_create(&thread, NULL, read_frame_60, &f), 0);
	unsigned hurried = scripted_wait_hurried(&f.source);
	const uint64_t *offsets = index_frame_offsets(archive_index(f.archive));
	const struct scripted_read *of = &f.source.log[hurried];
	assert_in_range(offsets[60], of->offset, of->offset + of->len - 1);
	assert_false(f.source.log[1 - hurried].hurried);
	scripted_release(&f.source);
	assert_int_equal(pthread_join(thread, &code), 0);
	assert_null(code);
	prefetching_end(q);
}

/* Returns once all that is wished for has been read. */
static void wait_all_read(struct noise *f, struct prefetcher *p)
{
	bool touched;
	for (uint32_t i = 0; i < f->frames; i++)
		while (reader_presence(f->reader, i, &touched) == FRAME_LOADING)
			sched_yield();
}

static uint64_t bytes_read(struct noise *f)
{
	uint64_t sum = 0;
	unsigned n = scripted_reads(&f->source);
	for (unsigned i = 0; i < n; i++)
		sum += f->source.log[i].len;
	return sum;
}

static void bulk_reads_everything_once(void **state)
{
	CLEANUP(noise_finish) struct noise f;
	noise_init(&f, LENGTH, 64 * MIB);
	CLEANUP(cleanup_prefetcher) struct prefetcher *p = pool_of(3);
	struct prefetching *q = begin(&f, p, &passing);
	uint64_t total = index_frame_offsets(archive_index(f.archive))[f.frames];
	while (bytes_read(&f) < total)
		sched_yield();
	wait_all_read(&f, p);
	assert_int_equal(bytes_read(&f), total);
	struct reader_stats s;
	reader_stats(f.reader, &s);
	assert_int_equal(s.decoded_frames, 0);
	prefetching_end(q);
}

struct disk {
	atomic_uint_least64_t room;
	atomic_uint in_vain; /* times that it was asked for room and had none */
	uint32_t holds;      /* a frame */
};

static bool is_held(void *arg, uint32_t frame)
{
	const struct disk *d = arg;
	return frame == d->holds;
}

static uint64_t room_of(void *arg)
{
	struct disk *d = arg;
	uint64_t room = atomic_load(&d->room);
	if (!room)
		atomic_fetch_add(&d->in_vain, 1);
	return room;
}

static void see_bulk_go_on(bool last_is_on_disk)
{
	CLEANUP(noise_finish) struct noise f;
	noise_init(&f, LENGTH, 64 * MIB);
	scripted_hold(&f.source);
	CLEANUP(cleanup_prefetcher) struct prefetcher *p = pool_of(1);
	/* No stream goes on behind the last frame. */
	uint32_t last = f.frames - 1;
	struct disk disk = {
		.room = UINT64_MAX, .holds = last_is_on_disk ? last : UINT32_MAX};
	struct prefetch_options options = passing;
	options.room = room_of;
	options.on_disk = is_held;
	options.arg = &disk;
	struct prefetching *q = begin(&f, p, &options);
	scripted_wait_held(&f.source, 1);
	atomic_store(&disk.room, 0);
	scripted_release(&f.source);
	while (!atomic_load(&disk.in_vain))
		sched_yield();
	struct readahead_stats s;
	prefetching_stats(q, &s); /* the worker asked under this lock, and sleeps now */
	assert_int_equal(scripted_reads(&f.source), 1);
	atomic_store(&disk.room, UINT64_MAX);
	assert_int_equal(read_frame(&f, last), 0);
	uint64_t total = index_frame_offsets(archive_index(f.archive))[f.frames];
	while (bytes_read(&f) < total)
		sched_yield();
	prefetching_end(q);
}

/* A demand that misses tells of it, and so does one that is met from the disk. */
static void bulk_goes_on_when_there_is_room_again(void **state)
{
	see_bulk_go_on(false);
	see_bulk_go_on(true);
}

static bool every_other(void *arg, uint32_t frame)
{
	return frame % 2;
}

static void what_is_on_disk_is_left_out(void **state)
{
	CLEANUP(noise_finish) struct noise f;
	noise_init(&f, LENGTH, 64 * MIB);
	CLEANUP(cleanup_prefetcher) struct prefetcher *p = pool_of(2);
	struct prefetch_options options = passing;
	options.on_disk = every_other;
	struct prefetching *q = begin(&f, p, &options);
	const uint64_t *offsets = index_frame_offsets(archive_index(f.archive));
	uint64_t want = 0;
	for (uint32_t i = 0; i < f.frames; i += 2)
		want += offsets[i + 1] - offsets[i];
	while (bytes_read(&f) < want)
		sched_yield();
	wait_all_read(&f, p);
	assert_int_equal(bytes_read(&f), want);
	prefetching_end(q);
}

/* Of each ten frames another process reads the last five. */
static uint32_t claim_half(void *arg, uint32_t first, uint32_t count, uint32_t *ret_busy)
{
	uint32_t in = first % 10, left = in < 5 ? 5 - in : 0;
	uint32_t mine = count < left ? count : left;
	uint32_t theirs = 10 - in - left;
	*ret_busy = mine < left ? 0 : count - mine < theirs ? count - mine : theirs;
	*(atomic_int *)arg += mine != 0;
	return mine;
}

static void unclaim_half(void *arg, uint32_t first, uint32_t count)
{
	--*(atomic_int *)arg;
}

static void bulk_leaves_out_what_others_read(void **state)
{
	CLEANUP(noise_finish) struct noise f;
	noise_init(&f, LENGTH, 64 * MIB);
	CLEANUP(cleanup_prefetcher) struct prefetcher *p = pool_of(3);
	atomic_int held = 0;
	struct prefetch_options options = passing;
	options.claim = claim_half;
	options.unclaim = unclaim_half;
	options.arg = &held;
	struct prefetching *q = begin(&f, p, &options);
	const uint64_t *offsets = index_frame_offsets(archive_index(f.archive));
	uint64_t want = 0;
	for (uint32_t i = 0; i < f.frames; i++)
		want += i % 10 < 5 ? offsets[i + 1] - offsets[i] : 0;
	while (bytes_read(&f) < want)
		sched_yield();
	wait_all_read(&f, p);
	assert_int_equal(bytes_read(&f), want);
	prefetching_end(q);
	assert_int_equal(held, 0);
}

static void it_ends_at_once(void **state)
{
	CLEANUP(noise_finish) struct noise f;
	noise_init(&f, LENGTH, 64 * MIB);
	scripted_hold(&f.source);
	CLEANUP(cleanup_prefetcher) struct prefetcher *p = pool_of(4);
	struct prefetching *q = begin(&f, p, &passing);
	scripted_wait_held(&f.source, 4);
	prefetching_end(q);
	assert_int_equal(f.source.held, 0);
	scripted_release(&f.source);
	assert_int_equal(read_frame(&f, 3), 0);
	assert_int_equal(
		f.source.log[scripted_reads(&f.source) - 1].priority, PRIORITY_DEMAND);
}

static void readers_share_the_pool(void **state)
{
	CLEANUP(noise_finish) struct noise one;
	CLEANUP(noise_finish) struct noise two;
	noise_init(&one, LENGTH, 64 * MIB);
	noise_init(&two, LENGTH, 64 * MIB);
	scripted_hold(&one.source);
	scripted_hold(&two.source);
	CLEANUP(cleanup_prefetcher) struct prefetcher *p = pool_of(4);
	struct prefetching *first = begin(&one, p, &passing);
	scripted_wait_held(&one.source, 4);
	struct prefetching *second = begin(&two, p, &passing);
	prefetching_end(first);
	scripted_wait_held(&two.source, 4);
	scripted_release(&two.source);
	prefetching_end(second);
}

static void a_pool_may_be_idle(void **state)
{
	CLEANUP(noise_finish) struct noise f;
	noise_init(&f, LENGTH, 64 * MIB);
	CLEANUP(cleanup_prefetcher) struct prefetcher *p = pool_of(4);
	prefetching_end(begin(&f, p, &decoding));
	prefetching_end(NULL);
	assert_int_equal(scripted_reads(&f.source), 0);
	assert_int_equal(read_frame(&f, 3), 0);
}

static void a_failure_is_not_repeated_before_a_demand_succeeds(void **state)
{
	CLEANUP(noise_finish) struct noise f;
	noise_init(&f, LENGTH, 64 * MIB);
	scripted_fail(&f.source, -EIO, 1);
	CLEANUP(cleanup_prefetcher) struct prefetcher *p = pool_of(1);
	atomic_store(&failures, 0);
	struct prefetching *q = begin(&f, p, &passing);
	while (!atomic_load(&failures))
		sched_yield();
	wait_all_read(&f, p);
	assert_int_equal(scripted_reads(&f.source), 1);
	assert_int_equal(read_frame(&f, 100), 0);
	uint64_t total = index_frame_offsets(archive_index(f.archive))[f.frames];
	while (bytes_read(&f) < total)
		sched_yield();
	prefetching_end(q);
}

/* Readers, a pool and failures at once. */
struct stress {
	struct noise *f;
	uint32_t from;
	bool right;
};

static void *stress_run(void *arg)
{
	struct stress *s = arg;
	s->right = true;
	for (uint32_t i = 0; i < 60; i++) {
		unsigned char buf[1000];
		size_t got = 0;
		uint64_t offset = (uint64_t)(s->from + i) * CUT;
		if (i % 20 == 7)
			scripted_fail(&s->f->source, -EIO, 1);
		int r = reader_read(s->f->reader, CALL_PATIENT, s->f->file, offset,
			sizeof(buf), buf, &got, NULL);
		s->right &= r == -EIO ||
			    (r == 0 && memcmp(buf, s->f->content + offset, got) == 0);
	}
	return NULL;
}

static void readers_and_prefetching_agree(void **state)
{
	for (int keeps = 0; keeps < 2; keeps++) {
		CLEANUP(noise_finish) struct noise f;
		noise_init(&f, LENGTH, 64 * MIB);
		CLEANUP(cleanup_prefetcher) struct prefetcher *p = pool_of(3);
		struct prefetching *q = begin(&f, p, keeps ? &passing : &decoding);
		struct stress s[4];
		pthread_t threads[4];
		for (uint32_t i = 0; i < 4; i++) {
			s[i] = (struct stress){.f = &f, .from = i * 15};
			assert_int_equal(
				pthread_create(&threads[i], NULL, stress_run, &s[i]), 0);
		}
		for (size_t i = 0; i < 4; i++) {
			assert_int_equal(pthread_join(threads[i], NULL), 0);
			assert_true(s[i].right);
		}
		prefetching_end(q);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_miss_brings_its_surroundings),
		cmocka_unit_test(what_comes_next_is_there_before_it_is_asked_for),
		cmocka_unit_test(ranges_are_read_in_parallel),
		cmocka_unit_test(a_range_that_a_demand_waits_for_is_hurried),
		cmocka_unit_test(bulk_reads_everything_once),
		cmocka_unit_test(bulk_goes_on_when_there_is_room_again),
		cmocka_unit_test(what_is_on_disk_is_left_out),
		cmocka_unit_test(bulk_leaves_out_what_others_read),
		cmocka_unit_test(it_ends_at_once),
		cmocka_unit_test(readers_share_the_pool),
		cmocka_unit_test(a_pool_may_be_idle),
		cmocka_unit_test(a_failure_is_not_repeated_before_a_demand_succeeds),
		cmocka_unit_test(readers_and_prefetching_agree),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
