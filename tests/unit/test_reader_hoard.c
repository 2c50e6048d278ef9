/* Readers that share a hoard: what one keeps goes when another one needs the room. */
#include "tests/unit/test.h"

#include <pthread.h>
#include <string.h>

#include "archive/decoders.h"
#include "archive/hoard.h"
#include "archive/reader.h"
#include "tests/unit/archive_builder.h"

#define CUT    (64u << 10) /* bytes of tar in a frame */
#define LENGTH (10 * CUT)  /* of the file */
#define BUDGET ((size_t)64 << 20)

static struct decoders decoders;

/* An archive with one file of bytes that do not compress, over eleven frames. */
struct fixture {
	struct buf object;
	struct range_source *source;
	struct archive *archive;
	struct reader *reader;
	unsigned char *content;
	uint32_t file;
	uint64_t place;
};

static void fixture_init(struct fixture *f, size_t budget, struct hoard *hoard)
{
	CLEANUP(cleanup_builder) struct archive_builder *b = builder_new();
	*f = (struct fixture){.object = BUF_INIT(64 << 20), .content = malloc(LENGTH)};
	assert_non_null(f->content);
	uint32_t x = 12345;
	for (size_t i = 0; i < LENGTH; i++) {
		x = x * 1664525 + 1013904223;
		f->content[i] = (unsigned char)(x >> 24);
	}
	b->cut = CUT;
	builder_file(b, "file", f->content, LENGTH);
	builder_lay(b);
	builder_object(b, &f->object);
	f->file = builder_number(b, "file");
	f->source = memory_source_new(f->object.data, f->object.len);
	assert_non_null(f->source);
	assert_int_equal(archive_load(f->source, CALL_PATIENT, NULL, 0, "key",
				 &f->archive, NULL, NULL),
		0);
	assert_int_equal(reader_new(f->archive, f->source, budget, &f->reader), 0);
	reader_share(f->reader, hoard, &decoders);
	f->place = index_place(archive_index(f->archive), f->file);
}

static void fixture_finish(struct fixture *f)
{
	reader_free(f->reader);
	archive_free(f->archive);
	range_source_free(f->source);
	buf_finish(&f->object);
	free(f->content);
}

/* The offset in the file at which frame n begins. */
static uint64_t frame_offset(const struct fixture *f, uint32_t n)
{
	return (uint64_t)n * CUT - f->place;
}

static struct reader_stats stats_of(struct fixture *f)
{
	struct reader_stats s;
	reader_stats(f->reader, &s);
	return s;
}

/* Of the frames [first, end). */
static unsigned count_ready(struct fixture *f, uint32_t first, uint32_t end)
{
	unsigned ready = 0;
	bool touched;
	for (uint32_t i = first; i < end; i++)
		ready += reader_presence(f->reader, i, &touched) == FRAME_READY;
	return ready;
}

/* The bytes that are there of so many. */
static void expect_bytes(struct fixture *f, uint64_t offset, size_t len)
{
	CLEANUP(cleanup_free) unsigned char *buf = malloc(len + 1);
	size_t got = 0;
	assert_int_equal(reader_read(f->reader, CALL_PATIENT, f->file, offset, len, buf,
				 &got, NULL),
		0);
	assert_int_equal(got, len < LENGTH - offset ? len : LENGTH - offset);
	assert_memory_equal(buf, f->content + offset, got);
}

/* A key that was read gives its frames to the next one, but for those in use. */
static void a_reader_gives_way_to_the_next(void **state)
{
	CLEANUP(hoard_finish) struct hoard hoard;
	hoard_init(&hoard, 8 * CUT);
	CLEANUP(fixture_finish) struct fixture old;
	CLEANUP(fixture_finish) struct fixture now;
	fixture_init(&old, BUDGET, &hoard);
	fixture_init(&now, BUDGET, &hoard);
	struct span spans[2];
	size_t count;
	uint64_t at = frame_offset(&old, 1);
	expect_bytes(&old, frame_offset(&old, 1), 6 * CUT);
	assert_int_equal(reader_spans(old.reader, CALL_PATIENT, old.file, at, 2 * CUT,
				 spans, 2, &count, NULL),
		0);
	for (uint32_t i = 1; i < 8; i++) {
		expect_bytes(&now, frame_offset(&now, i), 1);
		assert_in_range(atomic_load(&hoard.bytes), CUT, 8 * CUT);
	}
	assert_int_equal(count_ready(&old, 3, 7), 0);
	assert_int_equal(count_ready(&old, 1, 3), 2);
	assert_int_equal(count_ready(&now, 4, 8), 4);
	for (size_t i = 0; i < 2; i++)
		assert_memory_equal(spans[i].data, old.content + at + i * CUT, CUT);
	reader_release(old.reader, spans, count);
	expect_bytes(&old, 0, LENGTH);
	expect_bytes(&now, 0, LENGTH);
	assert_int_equal(decoders.count, 1); /* one thread, one context */
}

/* What one goes on reading is not what goes, as long as there is something else. */
static void a_reader_in_use_keeps_its_frames(void **state)
{
	CLEANUP(hoard_finish) struct hoard hoard;
	hoard_init(&hoard, 16 * CUT);
	struct fixture f[3];
	for (size_t i = 0; i < 3; i++)
		fixture_init(&f[i], BUDGET, &hoard);
	expect_bytes(&f[0], frame_offset(&f[0], 1), 6 * CUT);
	expect_bytes(&f[1], frame_offset(&f[1], 1), 6 * CUT);
	for (uint32_t i = 1; i < 7; i++) {
		expect_bytes(&f[2], frame_offset(&f[2], i), 1);
		expect_bytes(&f[0], frame_offset(&f[0], 1), 6 * CUT);
	}
	assert_int_equal(stats_of(&f[0]).decoded_frames, 6);
	assert_int_equal(count_ready(&f[2], 1, 7), 6);
	assert_in_range(count_ready(&f[1], 1, 7), 0, 4);
	for (size_t i = 0; i < 3; i++)
		fixture_finish(&f[i]);
	assert_int_equal(atomic_load(&hoard.bytes), 0);
}

/* What was read ahead came before what was read last, and is wanted next. */
static void what_lies_ahead_of_a_reader_stays(void **state)
{
	CLEANUP(hoard_finish) struct hoard hoard;
	hoard_init(&hoard, 12 * CUT);
	CLEANUP(fixture_finish) struct fixture one;
	CLEANUP(fixture_finish) struct fixture two;
	fixture_init(&one, BUDGET, &hoard);
	fixture_init(&two, BUDGET, &hoard);
	assert_int_equal(reader_prefetch(one.reader, CALL_PATIENT, 1, 8, true, NULL), 0);
	for (uint32_t i = 1; i < 5; i++) {
		expect_bytes(&one, frame_offset(&one, i), 1);
		expect_bytes(&two, frame_offset(&two, 2 * i - 1), 1);
		expect_bytes(&two, frame_offset(&two, 2 * i), 1);
	}
	assert_int_equal(count_ready(&one, 4, 9), 5);
	assert_in_range(count_ready(&one, 1, 4), 0, 2);
	assert_in_range(atomic_load(&hoard.bytes), CUT, 12 * CUT);
}

static void *read_here_and_there(void *arg)
{
	struct fixture *f = arg;
	uint32_t x = (uint32_t)(uintptr_t)&x >> 4;
	for (unsigned i = 0; i < 100; i++) {
		x = x * 1664525 + 1013904223;
		expect_bytes(f, (x >> 8) % LENGTH, (x >> 4) % (3 * CUT));
	}
	return NULL;
}

/* A hoard that is far too small for all, and readers that come and go meanwhile. */
static void readers_take_from_each_other_at_once(void **state)
{
	CLEANUP(hoard_finish) struct hoard hoard;
	hoard_init(&hoard, 4 * CUT);
	struct fixture f[4];
	pthread_t threads[6];
	for (size_t i = 0; i < 4; i++)
		fixture_init(&f[i], i ? BUDGET : 2 * CUT, &hoard);
	for (size_t i = 0; i < 6; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, read_here_and_there, &f[i % 3]),
			0);
	for (unsigned round = 0; round < 20; round++) {
		expect_bytes(&f[3], 0, LENGTH);
		fixture_finish(&f[3]);
		fixture_init(&f[3], BUDGET, &hoard);
	}
	for (size_t i = 0; i < 6; i++)
		pthread_join(threads[i], NULL);
	for (size_t i = 0; i < 4; i++)
		fixture_finish(&f[i]);
	assert_int_equal(atomic_load(&hoard.bytes), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_reader_gives_way_to_the_next),
		cmocka_unit_test(a_reader_in_use_keeps_its_frames),
		cmocka_unit_test(what_lies_ahead_of_a_reader_stays),
		cmocka_unit_test(readers_take_from_each_other_at_once),
	};
	decoders_init(&decoders);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	decoders_finish(&decoders);
	return failed;
}
