#include "tests/unit/test.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/noise.h"
#include "tests/unit/pseudo_random.h"

#define LENGTH (10 * CUT) /* of the file: over eleven frames */
#define BUDGET ((size_t)64 << 20)

static void reads_give_the_content(void **state)
{
	CLEANUP(noise_finish) struct noise f;
	noise_init(&f, LENGTH, BUDGET);
	uint64_t border = noise_offset(&f, 1);
	for (size_t len = 1; len < 200000; len = len * 5 + 1)
		for (uint64_t offset = border - 5; offset < border + 5; offset++)
			noise_expect(&f, offset, len);
	noise_expect(&f, 0, LENGTH);
	noise_expect(&f, 0, LENGTH + 100);
	noise_expect(&f, LENGTH - 1, 100);
}

static void the_end_and_nothing_are_not_errors(void **state)
{
	CLEANUP(noise_finish) struct noise f;
	noise_init(&f, LENGTH, BUDGET);
	struct span span;
	size_t count = 9, got = 9;
	assert_int_equal(reader_spans(f.reader, CALL_PATIENT, f.file, LENGTH, 10, &span,
				 1, &count, NULL),
		0);
	assert_int_equal(count, 0);
	assert_int_equal(reader_spans(f.reader, CALL_PATIENT, f.file, UINT64_MAX,
				 SIZE_MAX, &span, 1, &count, NULL),
		0);
	assert_int_equal(count, 0);
	assert_int_equal(reader_spans(f.reader, CALL_PATIENT, f.file, 0, 0, &span, 1,
				 &count, NULL),
		0);
	assert_int_equal(count, 0);
	uint32_t empty = builder_number(f.builder, "void");
	assert_int_equal(
		reader_read(f.reader, CALL_PATIENT, empty, 0, 10, &span, &got, NULL), 0);
	assert_int_equal(got, 0);
	reader_release(f.reader, NULL, 0);
	assert_int_equal(scripted_reads(&f.source), 0);
}

static void only_regular_files_are_read(void **state)
{
	CLEANUP(noise_finish) struct noise f;
	noise_init(&f, LENGTH, BUDGET);
	struct error e = {0};
	char buf[4];
	size_t got;
	static const char *const names[] = {"dir", "link"};
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(
			reader_read(f.reader, CALL_PATIENT,
				builder_number(f.builder, names[i]), 0, 4, buf, &got, &e),
			-EISDIR);
		assert_non_null(strstr(e.text, names[i]));
		assert_non_null(strstr(e.text, "'key'"));
	}
}

static void spans_follow_the_frames(void **state)
{
	CLEANUP(noise_finish) struct noise f;
	noise_init(&f, LENGTH, BUDGET);
	struct span spans[8];
	size_t count;
	uint64_t at = noise_offset(&f, 2) - 10;
	assert_int_equal(reader_spans(f.reader, CALL_PATIENT, f.file, at, CUT + 30, spans,
				 8, &count, NULL),
		0);
	assert_int_equal(count, 3);
	assert_int_equal(spans[0].len, 10);
	assert_int_equal(spans[1].len, CUT);
	assert_int_equal(spans[2].len, 20);
	assert_memory_equal(spans[0].data, f.content + at, 10);
	assert_memory_equal(spans[2].data, f.content + at + 10 + CUT, 20);
	reader_release(f.reader, spans, count);
	assert_int_equal(reader_spans(f.reader, CALL_PATIENT, f.file, at, CUT + 30, spans,
				 2, &count, NULL),
		0);
	assert_int_equal(count, 2);
	assert_int_equal(spans[1].len, CUT);
	reader_release(f.reader, spans, count);
	assert_int_equal(reader_spans(f.reader, CALL_PATIENT, f.file, at + 10, CUT, spans,
				 8, &count, NULL),
		0);
	assert_int_equal(count, 1);
	reader_release(f.reader, spans, count);
}

static void neighbours_come_as_one_range(void **state)
{
	CLEANUP(noise_finish) struct noise f;
	noise_init(&f, LENGTH, BUDGET);
	noise_expect(&f, noise_offset(&f, 5), 1);
	noise_expect(&f, noise_offset(&f, 3), 4 * CUT);
	assert_int_equal(scripted_reads(&f.source), 3);
	const uint64_t *offsets = index_frame_offsets(archive_index(f.archive));
	assert_int_equal(f.source.log[1].offset, offsets[3]);
	assert_int_equal(f.source.log[1].len, offsets[5] - offsets[3]);
	assert_int_equal(f.source.log[2].offset, offsets[6]);
	assert_int_equal(f.source.log[2].len, offsets[7] - offsets[6]);
	noise_expect(&f, noise_offset(&f, 3), 4 * CUT);
	assert_int_equal(scripted_reads(&f.source), 3);
	assert_int_equal(noise_stats(&f).decoded_frames, 4);
	assert_int_equal(noise_stats(&f).decoded_bytes, 4 * CUT);
	assert_int_equal(noise_stats(&f).hits, 1 + 4);
}

static void a_frame_that_does_not_decode_is_named(void **state)
{
	CLEANUP(noise_finish) struct noise f;
	noise_init(&f, LENGTH, BUDGET);
	const uint64_t *offsets = index_frame_offsets(archive_index(f.archive));
	memset(f.object.data + offsets[3], 0, 20);
	struct error e = {0};
	char buf[10];
	size_t got = 77;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(reader_read(f.reader, CALL_PATIENT, f.file,
					 noise_offset(&f, 3), 10, buf, &got, &e),
			-EBADMSG);
		char expected[128];
		snprintf(expected, sizeof(expected),
			"frame 3 of 'key' does not decompress to what the index says (at "
			"offset %llu)",
			(unsigned long long)offsets[3]);
		assert_string_equal(e.text, expected);
	}
	assert_int_equal(got, 77);
	assert_int_equal(scripted_reads(&f.source), 2);
	noise_expect(&f, noise_offset(&f, 4), 10);
}

static void a_frame_of_another_size_is_refused(void **state)
{
	CLEANUP(noise_finish) struct noise f;
	noise_init(&f, LENGTH, BUDGET);
	/* The last frame's bytes, which decode well, where a longer one should be. */
	const uint64_t *offsets = index_frame_offsets(archive_index(f.archive));
	uint32_t last = index_frame_count(archive_index(f.archive)) - 1;
	size_t len = offsets[last + 1] - offsets[last], room = offsets[4] - offsets[3];
	assert_in_range(len, 1, room - 8);
	char *at = f.object.data + offsets[3];
	memcpy(at, f.object.data + offsets[last], len);
	memcpy(at + len, "\x50\x2a\x4d\x18", 4);
	uint32_t rest = (uint32_t)(room - len - 8);
	memcpy(at + len + 4, &rest, 4);
	char buf[10];
	size_t got;
	assert_int_equal(reader_read(f.reader, CALL_PATIENT, f.file, noise_offset(&f, 3),
				 10, buf, &got, NULL),
		-EBADMSG);
}

static void the_budget_is_kept_by_last_use(void **state)
{
	size_t budget = 4 * CUT;
	CLEANUP(noise_finish) struct noise f;
	noise_init(&f, LENGTH, budget);
	bool touched;
	for (uint32_t i = 1; i < 10; i++) {
		noise_expect(&f, noise_offset(&f, i), 1);
		assert_in_range(noise_stats(&f).held, 1, budget);
		noise_expect(&f, noise_offset(&f, 1), 1);
	}
	assert_int_equal(reader_presence(f.reader, 1, &touched), FRAME_READY);
	assert_int_equal(reader_presence(f.reader, 9, &touched), FRAME_READY);
	assert_int_equal(reader_presence(f.reader, 2, &touched), FRAME_ABSENT);
	assert_int_equal(noise_stats(&f).decoded_frames, 9);
}

static void frames_in_use_are_never_evicted(void **state)
{
	CLEANUP(noise_finish) struct noise f;
	noise_init(&f, LENGTH, 2 * CUT);
	struct span spans[4];
	size_t count;
	uint64_t at = noise_offset(&f, 1);
	assert_int_equal(reader_spans(f.reader, CALL_PATIENT, f.file, at, 4 * CUT, spans,
				 4, &count, NULL),
		0);
	assert_int_equal(count, 4);
	for (int round = 0; round < 3; round++)
		noise_expect(&f, noise_offset(&f, 6), 4 * CUT);
	for (size_t i = 0; i < 4; i++)
		assert_memory_equal(spans[i].data, f.content + at + i * CUT, CUT);
	assert_in_range(noise_stats(&f).held, 4 * CUT, SIZE_MAX);
	reader_release(f.reader, spans, count);
	assert_in_range(noise_stats(&f).held, 0, 2 * CUT);
}

static void without_a_budget_everything_still_reads(void **state)
{
	CLEANUP(noise_finish) struct noise f;
	noise_init(&f, LENGTH, 0);
	noise_expect(&f, 0, LENGTH);
	assert_int_equal(noise_stats(&f).held, 0);
}

static void a_prefetch_makes_frames_ready(void **state)
{
	CLEANUP(noise_finish) struct noise f;
	noise_init(&f, LENGTH, BUDGET);
	noise_expect(&f, noise_offset(&f, 4), 1);
	struct call call = {.deadline_ns = DEADLINE_NONE, .priority = PRIORITY_PREFETCH};
	assert_int_equal(reader_prefetch(f.reader, &call, 2, 5, true, NULL), 0);
	assert_int_equal(scripted_reads(&f.source), 3); /* 4; 2 and 3; 5 and 6 */
	assert_int_equal(f.source.log[1].priority, PRIORITY_PREFETCH);
	bool touched;
	for (uint32_t i = 0; i < 11; i++) {
		enum frame_presence want = i >= 2 && i <= 6 ? FRAME_READY : FRAME_ABSENT;
		assert_int_equal(reader_presence(f.reader, i, &touched), want);
		assert_int_equal(touched, i == 4);
	}
	noise_expect(&f, noise_offset(&f, 2), 5 * CUT);
	assert_int_equal(scripted_reads(&f.source), 3);
	assert_int_equal(noise_stats(&f).touched_frames, 5);
	const uint64_t *offsets = index_frame_offsets(archive_index(f.archive));
	assert_int_equal(noise_stats(&f).touched_bytes, offsets[7] - offsets[2]);
}

/* Each may go when the next one comes: held until the last is there, those would find no
 * room, and be mapped beside it. */
static void a_long_prefetch_keeps_to_the_budget(void **state)
{
	CLEANUP(noise_finish) struct noise f;
	noise_init(&f, LENGTH, 4 * CUT);
	assert_int_equal(reader_prefetch(f.reader, CALL_PATIENT, 0, 11, true, NULL), 0);
	assert_int_equal(scripted_reads(&f.source), 1);
	assert_int_equal(noise_stats(&f).decoded_frames, 11);
	noise_expect_ready(&f, 8, 11);
}

static void a_prefetch_that_keeps_nothing_only_passes_the_source(void **state)
{
	CLEANUP(noise_finish) struct noise f;
	noise_init(&f, LENGTH, BUDGET);
	assert_int_equal(reader_prefetch(f.reader, CALL_PATIENT, 0, 11, false, NULL), 0);
	assert_int_equal(scripted_reads(&f.source), 1);
	assert_int_equal(noise_stats(&f).decoded_frames, 0);
	bool touched;
	assert_int_equal(reader_presence(f.reader, 3, &touched), FRAME_ABSENT);
	assert_int_equal(reader_prefetch(f.reader, CALL_PATIENT, 3, 0, true, NULL), 0);
	assert_int_equal(scripted_reads(&f.source), 1);
}

struct observed {
	uint32_t first, count;
	uint64_t waited_ns;
	unsigned calls, misses;
};

static void miss(void *arg, uint32_t first, uint32_t count)
{
	struct observed *o = arg;
	o->misses++;
}

static void observe(void *arg, uint32_t first, uint32_t count, uint64_t waited_ns)
{
	struct observed *o = arg;
	*o = (struct observed){first, count, waited_ns, o->calls + 1, o->misses};
}

static void an_observer_sees_each_demand(void **state)
{
	CLEANUP(noise_finish) struct noise f;
	noise_init(&f, LENGTH, BUDGET);
	struct observed o = {0};
	const struct reader_observer observer = {miss, NULL, observe, &o};
	reader_observe(f.reader, &observer);
	noise_expect(&f, noise_offset(&f, 3), 2 * CUT);
	assert_int_equal(o.calls, 1);
	assert_int_equal(o.misses, 1);
	assert_int_equal(o.first, 3);
	assert_int_equal(o.count, 2);
	assert_true(o.waited_ns > 0);
	noise_expect(&f, noise_offset(&f, 3), 2 * CUT);
	assert_int_equal(o.calls, 2);
	assert_int_equal(o.misses, 1);
	assert_int_equal(o.waited_ns, 0);
	assert_int_equal(reader_prefetch(f.reader, CALL_PATIENT, 6, 1, true, NULL), 0);
	assert_int_equal(o.calls, 2);
	assert_ptr_equal(reader_archive(f.reader), f.archive);
}

static void the_link_is_measured(void **state)
{
	CLEANUP(noise_finish) struct noise f;
	noise_init(&f, LENGTH, BUDGET);
	struct link_facts before = {0}, after = {0};
	reader_link(f.reader, &before);
	assert_int_equal(before.round_trip_ns, LINK_FACTS_UNKNOWN.round_trip_ns);
	assert_int_equal(before.bytes_per_s, LINK_FACTS_UNKNOWN.bytes_per_s);
	for (uint32_t i = 1; i < 9; i++)
		noise_expect(&f, noise_offset(&f, i), 10);
	reader_link(f.reader, &after);
	assert_int_not_equal(after.round_trip_ns, before.round_trip_ns);
	assert_int_not_equal(after.bytes_per_s, before.bytes_per_s);
}

/* Readers, prefetches, failures and evictions all at once. */
struct stress {
	struct noise *f;
	uint32_t seed;
};

static uint32_t next(uint32_t *seed)
{
	return pseudo_random(seed) >> 8;
}

static void *stress_run(void *arg)
{
	struct stress *s = arg;
	struct noise *f = s->f;
	unsigned char *buf = malloc(3 * CUT);
	for (int i = 0; i < 300; i++) {
		uint32_t frame = next(&s->seed) % 9;
		if (next(&s->seed) % 4 == 0) {
			reader_prefetch(f->reader, CALL_PATIENT, frame, 2,
				next(&s->seed) % 2, NULL);
			continue;
		}
		if (next(&s->seed) % 16 == 0)
			scripted_fail(&f->source, -EIO, 1);
		size_t len = next(&s->seed) % (3 * CUT), got = 0;
		uint64_t offset = next(&s->seed) % (LENGTH - 3 * CUT);
		int r = reader_read(
			f->reader, CALL_PATIENT, f->file, offset, len, buf, &got, NULL);
		if (r == 0 && (got != len || memcmp(buf, f->content + offset, len) != 0))
			r = -EILSEQ;
		if (r != 0 && r != -EIO) {
			free(buf);
			return s;
		}
	}
	free(buf);
	return NULL;
}

static void everything_at_once_gives_right_bytes(void **state)
{
	CLEANUP(noise_finish) struct noise f;
	noise_init(&f, LENGTH, 3 * CUT);
	struct stress s[8];
	pthread_t threads[8];
	for (uint32_t i = 0; i < 8; i++) {
		s[i] = (struct stress){&f, i * 7919};
		assert_int_equal(pthread_create(&threads[i], NULL, stress_run, &s[i]), 0);
	}
	for (size_t i = 0; i < 8; i++) {
		void *result;
		assert_int_equal(pthread_join(threads[i], &result), 0);
		assert_null(result);
	}
	assert_in_range(noise_stats(&f).held, 0, 3 * CUT);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_give_the_content),
		cmocka_unit_test(the_end_and_nothing_are_not_errors),
		cmocka_unit_test(only_regular_files_are_read),
		cmocka_unit_test(spans_follow_the_frames),
		cmocka_unit_test(neighbours_come_as_one_range),
		cmocka_unit_test(a_frame_that_does_not_decode_is_named),
		cmocka_unit_test(a_frame_of_another_size_is_refused),
		cmocka_unit_test(the_budget_is_kept_by_last_use),
		cmocka_unit_test(frames_in_use_are_never_evicted),
		cmocka_unit_test(without_a_budget_everything_still_reads),
		cmocka_unit_test(a_prefetch_makes_frames_ready),
		cmocka_unit_test(a_long_prefetch_keeps_to_the_budget),
		cmocka_unit_test(a_prefetch_that_keeps_nothing_only_passes_the_source),
		cmocka_unit_test(an_observer_sees_each_demand),
		cmocka_unit_test(the_link_is_measured),
		cmocka_unit_test(everything_at_once_gives_right_bytes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
