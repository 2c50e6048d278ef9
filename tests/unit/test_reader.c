#include "tests/unit/test.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "archive/reader.h"
#include "tests/unit/archive_builder.h"
#include "tests/unit/scripted_source.h"

#define CUT    (64u << 10) /* bytes of tar in a frame */
#define LENGTH (10 * CUT)  /* of the file */
#define BUDGET ((size_t)64 << 20)

/* An archive with one file of bytes that do not compress, over eleven frames. */
struct fixture {
	struct archive_builder *builder;
	struct buf object;
	struct scripted_source source;
	struct archive *archive;
	struct reader *reader;
	unsigned char *content;
	uint32_t file;
	uint64_t place;
};

static unsigned char *noise(size_t len)
{
	unsigned char *p = malloc(len);
	assert_non_null(p);
	uint32_t x = 12345;
	for (size_t i = 0; i < len; i++) {
		x = x * 1664525 + 1013904223;
		p[i] = (unsigned char)(x >> 24);
	}
	return p;
}

static void fixture_init(struct fixture *f, size_t budget)
{
	*f = (struct fixture){.builder = builder_new(), .object = BUF_INIT(64 << 20)};
	f->content = noise(LENGTH);
	f->builder->cut = CUT;
	builder_file(f->builder, "file", f->content, LENGTH);
	builder_file(f->builder, "void", "", 0);
	builder_dir(f->builder, "dir");
	builder_symlink(f->builder, "link", "file");
	builder_lay(f->builder);
	builder_object(f->builder, &f->object);
	scripted_init(&f->source, f->object.data, f->object.len);
	assert_int_equal(archive_load(&f->source.base, CALL_PATIENT, f->object.data,
				 f->object.len, "key", &f->archive, NULL, NULL),
		0);
	assert_int_equal(reader_new(f->archive, &f->source.base, budget, &f->reader), 0);
	f->file = builder_number(f->builder, "file");
	f->place = index_place(archive_index(f->archive), f->file);
}

static void fixture_finish(struct fixture *f)
{
	reader_free(f->reader);
	archive_free(f->archive);
	scripted_finish(&f->source);
	buf_finish(&f->object);
	builder_free(f->builder);
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

static void expect_bytes(struct fixture *f, uint64_t offset, size_t len)
{
	CLEANUP(cleanup_free) unsigned char *buf = malloc(len + 1);
	size_t got = 0;
	size_t want = offset >= LENGTH        ? 0
		      : len < LENGTH - offset ? len
					      : LENGTH - (size_t)offset;
	assert_int_equal(reader_read(f->reader, CALL_PATIENT, f->file, offset, len, buf,
				 &got, NULL),
		0);
	assert_int_equal(got, want);
	assert_memory_equal(buf, f->content + offset, want);
}

static void reads_give_the_content(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f, BUDGET);
	uint64_t border = frame_offset(&f, 1);
	for (size_t len = 1; len < 200000; len = len * 5 + 1)
		for (uint64_t offset = border - 5; offset < border + 5; offset++)
			expect_bytes(&f, offset, len);
	expect_bytes(&f, 0, LENGTH);
	expect_bytes(&f, 0, LENGTH + 100);
	expect_bytes(&f, LENGTH - 1, 100);
}

static void the_end_and_nothing_are_not_errors(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f, BUDGET);
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
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f, BUDGET);
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
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f, BUDGET);
	struct span spans[8];
	size_t count;
	uint64_t at = frame_offset(&f, 2) - 10;
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
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f, BUDGET);
	expect_bytes(&f, frame_offset(&f, 5), 1);
	expect_bytes(&f, frame_offset(&f, 3), 4 * CUT);
	assert_int_equal(scripted_reads(&f.source), 3);
	const uint64_t *offsets = index_frame_offsets(archive_index(f.archive));
	assert_int_equal(f.source.log[1].offset, offsets[3]);
	assert_int_equal(f.source.log[1].len, offsets[5] - offsets[3]);
	assert_int_equal(f.source.log[2].offset, offsets[6]);
	assert_int_equal(f.source.log[2].len, offsets[7] - offsets[6]);
	expect_bytes(&f, frame_offset(&f, 3), 4 * CUT);
	assert_int_equal(scripted_reads(&f.source), 3);
	assert_int_equal(stats_of(&f).decoded_frames, 4);
	assert_int_equal(stats_of(&f).decoded_bytes, 4 * CUT);
	assert_int_equal(stats_of(&f).hits, 1 + 4);
}

/* One read on its own thread. */
struct job {
	struct fixture *f;
	struct call call;
	struct cancel cancel;
	uint64_t offset;
	size_t len;
	uint32_t frame, frames; /* instead of reading: prefetch */
	bool decode;
	unsigned char *buf;
	size_t got;
	int result;
	struct error e;
	pthread_t thread;
};

static void *job_run(void *arg)
{
	struct job *j = arg;
	j->result = j->frames ? reader_prefetch(j->f->reader, &j->call, j->frame,
					j->frames, j->decode, &j->e)
			      : reader_read(j->f->reader, &j->call, j->f->file, j->offset,
					j->len, j->buf, &j->got, &j->e);
	return NULL;
}

static void job_init(struct job *j, struct fixture *f, uint32_t frame)
{
	*j = (struct job){
		.f = f,
		.call = {.deadline_ns = DEADLINE_NONE, .cancel = &j->cancel},
		.offset = frame_offset(f, frame),
		.len = 100,
		.buf = malloc(LENGTH),
	};
	assert_non_null(j->buf);
	cancel_init(&j->cancel);
}

static void job_start(struct job *j)
{
	assert_int_equal(pthread_create(&j->thread, NULL, job_run, j), 0);
}

static void job_prefetch(
	struct job *j, struct fixture *f, uint32_t frame, uint32_t frames, bool decode)
{
	job_init(j, f, 0);
	j->frame = frame;
	j->frames = frames;
	j->decode = decode;
	job_start(j);
}

static int job_join(struct job *j)
{
	assert_int_equal(pthread_join(j->thread, NULL), 0);
	if (j->result == 0 && !j->frames)
		assert_memory_equal(j->buf, j->f->content + j->offset, j->len);
	cancel_finish(&j->cancel);
	free(j->buf);
	return j->result;
}

static void wait_for_waiters(struct fixture *f, uint64_t n)
{
	while (stats_of(f).waits < n)
		sched_yield();
}

#define MANY 16

static void many_readers_of_a_frame_cause_one_read(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f, BUDGET);
	scripted_hold(&f.source);
	struct job jobs[MANY];
	for (size_t i = 0; i < MANY; i++) {
		job_init(&jobs[i], &f, 4);
		jobs[i].offset += i;
		job_start(&jobs[i]);
	}
	wait_for_waiters(&f, MANY - 1);
	bool touched;
	assert_int_equal(reader_presence(f.reader, 4, &touched), FRAME_LOADING);
	scripted_release(&f.source);
	for (size_t i = 0; i < MANY; i++)
		assert_int_equal(job_join(&jobs[i]), 0);
	assert_int_equal(scripted_reads(&f.source), 1);
	assert_int_equal(stats_of(&f).decoded_frames, 1);
}

static void a_cancelled_owner_hands_over(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f, BUDGET);
	scripted_hold(&f.source);
	struct job owner, waiters[2];
	job_init(&owner, &f, 4);
	job_start(&owner);
	scripted_wait_held(&f.source, 1);
	for (size_t i = 0; i < 2; i++) {
		job_init(&waiters[i], &f, 4);
		job_start(&waiters[i]);
	}
	wait_for_waiters(&f, 2);
	cancel_fire(&owner.cancel);
	assert_int_equal(job_join(&owner), -ECANCELED);
	scripted_wait_held(&f.source, 1); /* one of the waiters */
	scripted_release(&f.source);
	assert_int_equal(job_join(&waiters[0]), 0);
	assert_int_equal(job_join(&waiters[1]), 0);
	assert_int_equal(scripted_reads(&f.source), 2);
}

/* Reads two frames at once, which fails with code, while somebody waits for the second.
 */
static int wait_for_the_second(int code, unsigned *ret_reads)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f, BUDGET);
	scripted_hold(&f.source);
	struct job owner, waiter;
	job_init(&owner, &f, 3);
	owner.len = CUT + 100;
	job_start(&owner);
	scripted_wait_held(&f.source, 1);
	job_init(&waiter, &f, 4);
	job_start(&waiter);
	wait_for_waiters(&f, 1);
	scripted_fail(&f.source, code, 1);
	scripted_release(&f.source);
	assert_int_equal(job_join(&owner), code);
	int r = job_join(&waiter);
	*ret_reads = scripted_reads(&f.source);
	return r;
}

static void what_is_wrong_with_one_frame_is_not_with_its_neighbour(void **state)
{
	static const int of_some[] = {-EBADMSG, -ESTALE, -ENOENT};
	unsigned reads;
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(wait_for_the_second(of_some[i], &reads), 0);
		assert_int_equal(reads, 2);
	}
	assert_int_equal(wait_for_the_second(-EIO, &reads), -EIO); /* the store's */
	assert_int_equal(reads, 1);
}

static void a_cancelled_waiter_leaves_alone(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f, BUDGET);
	scripted_hold(&f.source);
	struct job owner, waiter, late;
	job_init(&owner, &f, 4);
	job_start(&owner);
	scripted_wait_held(&f.source, 1);
	job_init(&waiter, &f, 4);
	job_start(&waiter);
	wait_for_waiters(&f, 1);
	cancel_fire(&waiter.cancel);
	assert_int_equal(job_join(&waiter), -ECANCELED);
	job_init(&late, &f, 4);
	late.call.deadline_ns = 1;
	job_start(&late);
	assert_int_equal(job_join(&late), -ETIMEDOUT);
	scripted_release(&f.source);
	assert_int_equal(job_join(&owner), 0);
	assert_int_equal(scripted_reads(&f.source), 1);
}

static void a_late_owner_leaves_the_slot_empty(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f, BUDGET);
	scripted_hold(&f.source);
	struct job late;
	job_init(&late, &f, 4);
	late.call.deadline_ns = 1;
	job_start(&late);
	assert_int_equal(job_join(&late), -ETIMEDOUT);
	bool touched;
	assert_int_equal(reader_presence(f.reader, 4, &touched), FRAME_ABSENT);
	scripted_release(&f.source);
	expect_bytes(&f, frame_offset(&f, 4), 10);
}

static void an_error_of_the_store_reaches_all(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f, BUDGET);
	scripted_hold(&f.source);
	scripted_fail(&f.source, -EIO, 1);
	struct job jobs[MANY];
	for (size_t i = 0; i < MANY; i++) {
		job_init(&jobs[i], &f, 4);
		job_start(&jobs[i]);
	}
	wait_for_waiters(&f, MANY - 1);
	scripted_release(&f.source);
	for (size_t i = 0; i < MANY; i++) {
		assert_int_equal(job_join(&jobs[i]), -EIO);
		assert_string_equal(jobs[i].e.text, "a scripted failure");
	}
	assert_int_equal(scripted_reads(&f.source), 1);
	expect_bytes(&f, frame_offset(&f, 4), 10);
	assert_int_equal(scripted_reads(&f.source), 2);
}

/* Frames 2 and 4 are there, so 1, 3 and 5 are three ranges; the first fails. */
static void what_was_not_tried_is_left_to_others(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f, BUDGET);
	expect_bytes(&f, frame_offset(&f, 2), 1);
	expect_bytes(&f, frame_offset(&f, 4), 1);
	scripted_hold(&f.source);
	struct job all, last;
	job_init(&all, &f, 1);
	all.len = 5 * CUT;
	job_start(&all);
	scripted_wait_held(&f.source, 1);
	job_init(&last, &f, 5);
	job_start(&last);
	wait_for_waiters(&f, 1);
	scripted_fail(&f.source, -EIO, 1);
	scripted_release(&f.source);
	assert_int_equal(job_join(&all), -EIO);
	assert_int_equal(job_join(&last), 0);
	assert_int_equal(scripted_reads(&f.source), 4);
}

static void a_frame_that_does_not_decode_is_named(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f, BUDGET);
	const uint64_t *offsets = index_frame_offsets(archive_index(f.archive));
	memset(f.object.data + offsets[3], 0, 20);
	struct error e = {0};
	char buf[10];
	size_t got = 77;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(reader_read(f.reader, CALL_PATIENT, f.file,
					 frame_offset(&f, 3), 10, buf, &got, &e),
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
	expect_bytes(&f, frame_offset(&f, 4), 10);
}

static void a_frame_of_another_size_is_refused(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f, BUDGET);
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
	assert_int_equal(reader_read(f.reader, CALL_PATIENT, f.file, frame_offset(&f, 3),
				 10, buf, &got, NULL),
		-EBADMSG);
}

static void the_budget_is_kept_by_last_use(void **state)
{
	size_t budget = 4 * CUT;
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f, budget);
	bool touched;
	for (uint32_t i = 1; i < 10; i++) {
		expect_bytes(&f, frame_offset(&f, i), 1);
		assert_in_range(stats_of(&f).held, 1, budget);
		expect_bytes(&f, frame_offset(&f, 1), 1);
	}
	assert_int_equal(reader_presence(f.reader, 1, &touched), FRAME_READY);
	assert_int_equal(reader_presence(f.reader, 9, &touched), FRAME_READY);
	assert_int_equal(reader_presence(f.reader, 2, &touched), FRAME_ABSENT);
	assert_int_equal(stats_of(&f).decoded_frames, 9);
}

static void frames_in_use_are_never_evicted(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f, 2 * CUT);
	struct span spans[4];
	size_t count;
	uint64_t at = frame_offset(&f, 1);
	assert_int_equal(reader_spans(f.reader, CALL_PATIENT, f.file, at, 4 * CUT, spans,
				 4, &count, NULL),
		0);
	assert_int_equal(count, 4);
	for (int round = 0; round < 3; round++)
		expect_bytes(&f, frame_offset(&f, 6), 4 * CUT);
	for (size_t i = 0; i < 4; i++)
		assert_memory_equal(spans[i].data, f.content + at + i * CUT, CUT);
	assert_in_range(stats_of(&f).held, 4 * CUT, SIZE_MAX);
	reader_release(f.reader, spans, count);
	assert_in_range(stats_of(&f).held, 0, 2 * CUT);
}

static void without_a_budget_everything_still_reads(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f, 0);
	expect_bytes(&f, 0, LENGTH);
	assert_int_equal(stats_of(&f).held, 0);
}

static void expect_ready(struct fixture *f, uint32_t first, uint32_t end)
{
	bool touched;
	for (uint32_t i = 0; i < 11; i++)
		assert_int_equal(reader_presence(f->reader, i, &touched),
			i >= first && i < end ? FRAME_READY : FRAME_ABSENT);
}

static void a_prefetch_makes_frames_ready(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f, BUDGET);
	expect_bytes(&f, frame_offset(&f, 4), 1);
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
	expect_bytes(&f, frame_offset(&f, 2), 5 * CUT);
	assert_int_equal(scripted_reads(&f.source), 3);
	assert_int_equal(stats_of(&f).touched_frames, 5);
	const uint64_t *offsets = index_frame_offsets(archive_index(f.archive));
	assert_int_equal(stats_of(&f).touched_bytes, offsets[7] - offsets[2]);
}

/* Each may go when the next one comes: held until the last is there, those would find no
 * room, and be mapped beside it. */
static void a_long_prefetch_keeps_to_the_budget(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f, 4 * CUT);
	assert_int_equal(reader_prefetch(f.reader, CALL_PATIENT, 0, 11, true, NULL), 0);
	assert_int_equal(scripted_reads(&f.source), 1);
	assert_int_equal(stats_of(&f).decoded_frames, 11);
	expect_ready(&f, 8, 11);
}

static void a_prefetch_that_keeps_nothing_only_passes_the_source(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f, BUDGET);
	assert_int_equal(reader_prefetch(f.reader, CALL_PATIENT, 0, 11, false, NULL), 0);
	assert_int_equal(scripted_reads(&f.source), 1);
	assert_int_equal(stats_of(&f).decoded_frames, 0);
	bool touched;
	assert_int_equal(reader_presence(f.reader, 3, &touched), FRAME_ABSENT);
	assert_int_equal(reader_prefetch(f.reader, CALL_PATIENT, 3, 0, true, NULL), 0);
	assert_int_equal(scripted_reads(&f.source), 1);
}

static void a_demand_waits_for_a_prefetch(bool decode)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f, BUDGET);
	scripted_hold(&f.source);
	struct job ahead, demand;
	job_prefetch(&ahead, &f, 2, 6, decode);
	scripted_wait_held(&f.source, 1);
	job_init(&demand, &f, 4);
	demand.len = 2 * CUT;
	job_start(&demand);
	wait_for_waiters(&f, 2);
	scripted_release(&f.source);
	assert_int_equal(job_join(&demand), 0);
	assert_int_equal(job_join(&ahead), 0);
	assert_int_equal(scripted_reads(&f.source), 1);
	assert_int_equal(stats_of(&f).decoded_frames, decode ? 6 : 2);
}

static void a_prefetched_frame_is_not_read_twice(void **state)
{
	a_demand_waits_for_a_prefetch(true);
	a_demand_waits_for_a_prefetch(false);
}

/* What is guessed to be wanted only passes the source. A stream that wants some of it
 * while it is under way would have to decode it when it is read. */
static void what_another_prefetch_brings_is_decoded_all_the_same(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f, BUDGET);
	scripted_hold(&f.source);
	struct job guess, stream;
	job_prefetch(&guess, &f, 2, 6, false);
	scripted_wait_held(&f.source, 1);
	job_prefetch(&stream, &f, 4, 2, true);
	assert_int_equal(job_join(&stream), 0);
	scripted_release(&f.source);
	assert_int_equal(job_join(&guess), 0);
	assert_int_equal(scripted_reads(&f.source), 1);
	expect_ready(&f, 4, 6);
}

static void a_prefetch_that_fails_leaves_nothing_of_what_others_wanted(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f, BUDGET);
	scripted_hold(&f.source);
	scripted_fail(&f.source, -EIO, 1);
	struct job guess, stream;
	job_prefetch(&guess, &f, 2, 6, false);
	scripted_wait_held(&f.source, 1);
	job_prefetch(&stream, &f, 4, 2, true);
	assert_int_equal(job_join(&stream), 0);
	scripted_release(&f.source);
	assert_int_equal(job_join(&guess), -EIO);
	expect_ready(&f, 0, 0);
	assert_int_equal(reader_prefetch(f.reader, CALL_PATIENT, 4, 2, true, NULL), 0);
	expect_ready(&f, 4, 6);
}

static void a_demand_repeats_a_failed_prefetch(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f, BUDGET);
	scripted_hold(&f.source);
	scripted_fail(&f.source, -EIO, 1);
	struct job ahead, demand;
	job_prefetch(&ahead, &f, 2, 6, true);
	scripted_wait_held(&f.source, 1);
	job_init(&demand, &f, 4);
	job_start(&demand);
	wait_for_waiters(&f, 1);
	scripted_release(&f.source);
	assert_int_equal(job_join(&ahead), -EIO);
	assert_int_equal(job_join(&demand), 0);
	assert_int_equal(scripted_reads(&f.source), 2);
	const uint64_t *offsets = index_frame_offsets(archive_index(f.archive));
	assert_int_equal(f.source.log[1].len, offsets[5] - offsets[4]);
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
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f, BUDGET);
	struct observed o = {0};
	const struct reader_observer observer = {miss, NULL, observe, &o};
	reader_observe(f.reader, &observer);
	expect_bytes(&f, frame_offset(&f, 3), 2 * CUT);
	assert_int_equal(o.calls, 1);
	assert_int_equal(o.misses, 1);
	assert_int_equal(o.first, 3);
	assert_int_equal(o.count, 2);
	assert_true(o.waited_ns > 0);
	expect_bytes(&f, frame_offset(&f, 3), 2 * CUT);
	assert_int_equal(o.calls, 2);
	assert_int_equal(o.misses, 1);
	assert_int_equal(o.waited_ns, 0);
	assert_int_equal(reader_prefetch(f.reader, CALL_PATIENT, 6, 1, true, NULL), 0);
	assert_int_equal(o.calls, 2);
	assert_ptr_equal(reader_archive(f.reader), f.archive);
}

static void the_link_is_measured(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f, BUDGET);
	struct link_facts before = {0}, after = {0};
	reader_link(f.reader, &before);
	assert_int_equal(before.round_trip_ns, LINK_FACTS_UNKNOWN.round_trip_ns);
	assert_int_equal(before.bytes_per_s, LINK_FACTS_UNKNOWN.bytes_per_s);
	for (uint32_t i = 1; i < 9; i++)
		expect_bytes(&f, frame_offset(&f, i), 10);
	reader_link(f.reader, &after);
	assert_int_not_equal(after.round_trip_ns, before.round_trip_ns);
	assert_int_not_equal(after.bytes_per_s, before.bytes_per_s);
}

/* Readers, prefetches, failures and evictions all at once. */
struct stress {
	struct fixture *f;
	uint32_t seed;
};

static uint32_t next(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

static void *stress_run(void *arg)
{
	struct stress *s = arg;
	struct fixture *f = s->f;
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
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f, 3 * CUT);
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
	assert_in_range(stats_of(&f).held, 0, 3 * CUT);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_give_the_content),
		cmocka_unit_test(the_end_and_nothing_are_not_errors),
		cmocka_unit_test(only_regular_files_are_read),
		cmocka_unit_test(spans_follow_the_frames),
		cmocka_unit_test(neighbours_come_as_one_range),
		cmocka_unit_test(many_readers_of_a_frame_cause_one_read),
		cmocka_unit_test(a_cancelled_owner_hands_over),
		cmocka_unit_test(what_is_wrong_with_one_frame_is_not_with_its_neighbour),
		cmocka_unit_test(a_cancelled_waiter_leaves_alone),
		cmocka_unit_test(a_late_owner_leaves_the_slot_empty),
		cmocka_unit_test(an_error_of_the_store_reaches_all),
		cmocka_unit_test(what_was_not_tried_is_left_to_others),
		cmocka_unit_test(a_frame_that_does_not_decode_is_named),
		cmocka_unit_test(a_frame_of_another_size_is_refused),
		cmocka_unit_test(the_budget_is_kept_by_last_use),
		cmocka_unit_test(frames_in_use_are_never_evicted),
		cmocka_unit_test(without_a_budget_everything_still_reads),
		cmocka_unit_test(a_prefetch_makes_frames_ready),
		cmocka_unit_test(a_long_prefetch_keeps_to_the_budget),
		cmocka_unit_test(a_prefetch_that_keeps_nothing_only_passes_the_source),
		cmocka_unit_test(a_prefetched_frame_is_not_read_twice),
		cmocka_unit_test(what_another_prefetch_brings_is_decoded_all_the_same),
		cmocka_unit_test(
			a_prefetch_that_fails_leaves_nothing_of_what_others_wanted),
		cmocka_unit_test(a_demand_repeats_a_failed_prefetch),
		cmocka_unit_test(an_observer_sees_each_demand),
		cmocka_unit_test(the_link_is_measured),
		cmocka_unit_test(everything_at_once_gives_right_bytes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
