#include "tests/unit/test.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "archive/unpack_plan.h"
#include "tests/unit/archive_builder.h"
#include "tests/unit/pseudo_random.h"

#define MIB ((size_t)1 << 20)

static void *noise(size_t len)
{
	unsigned char *p = malloc(len);
	assert_non_null(p);
	pseudo_random_bytes(p, len, 99);
	return p;
}

static struct index *laid_index(struct archive_builder *b)
{
	builder_lay(b);
	size_t len;
	void *raw = builder_index(b, &len);
	struct index *ix = NULL;
	assert_int_equal(index_parse(raw, len, &ix, NULL), 0);
	return ix;
}

/* Every byte of every file is in exactly one run, each run is one range of a few MiB. */
static void check_plan(const struct index *ix, const struct unpack_plan *p)
{
	uint64_t covered = 0;
	size_t next_file = 0;
	for (size_t k = 0; k < p->run_count; k++) {
		const struct unpack_run *run = &p->runs[k];
		const uint64_t *offsets = index_frame_offsets(ix);
		if (run->frame_count > 1)
			assert_in_range(offsets[run->first_frame + run->frame_count] -
						offsets[run->first_frame],
				1, 4 * MIB);
		assert_int_equal(run->first_file, next_file - (run->head != NULL));
		next_file = run->end_file;
		uint64_t begin = index_frame_begin(ix, run->first_frame);
		uint64_t end = index_frame_begin(ix, run->first_frame + run->frame_count);
		for (size_t i = run->first_file; i < run->end_file; i++) {
			struct entry_info info;
			index_info(ix, p->files[i], &info);
			uint64_t from = index_place(ix, p->files[i]);
			uint64_t to = from + info.size;
			bool whole = from >= begin && to <= end;
			bool shared = (i == run->first_file && run->head) ||
				      (i == run->end_file - 1 && run->tail);
			if (info.size)
				assert_int_equal(shared, !whole);
			from = from > begin ? from : begin;
			to = to < end ? to : end;
			covered += to > from ? to - from : 0;
		}
	}
	assert_int_equal(next_file, p->file_count);
	assert_int_equal(covered, p->bytes);
}

static void small_files_share_runs(void **state)
{
	CLEANUP(cleanup_builder) struct archive_builder *b = builder_new();
	CLEANUP(cleanup_free) char *data = noise(10000);
	char name[16];
	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "f%03d", i);
		builder_file(b, name, data, (size_t)i * 33);
	}
	builder_link(b, "g", "f007");
	builder_dir(b, "d");
	CLEANUP(cleanup_index) struct index *ix = laid_index(b);
	CLEANUP(unpack_plan_finish) struct unpack_plan p = {0};
	assert_int_equal(unpack_plan_make(ix, &p), 0);
	assert_int_equal(p.file_count, 300);
	assert_int_equal(p.run_count, 1);
	assert_int_equal(p.bytes, 33 * 299 * 300 / 2);
	assert_null(p.shared);
	check_plan(ix, &p);
}

static void a_large_file_is_shared_by_runs(void **state)
{
	CLEANUP(cleanup_builder) struct archive_builder *b = builder_new();
	CLEANUP(cleanup_free) char *data = noise(11 * MIB);
	b->cut = 700000;
	builder_file(b, "a", data, 100);
	builder_file(b, "b", data, 11 * MIB);
	builder_file(b, "c", "", 0);
	builder_file(b, "d", data, 5 * MIB);
	builder_file(b, "e", "", 0);
	CLEANUP(cleanup_index) struct index *ix = laid_index(b);
	CLEANUP(unpack_plan_finish) struct unpack_plan p = {0};
	assert_int_equal(unpack_plan_make(ix, &p), 0);
	assert_in_range(p.run_count, 5, 6);
	check_plan(ix, &p);
	unsigned left = 0, files = 0;
	for (struct unpack_shared *s = p.shared; s; s = s->next, files++)
		left += atomic_load(&s->left);
	assert_int_equal(files, 2);
	unsigned parts = 0;
	for (size_t i = 0; i < p.run_count; i++)
		parts += (p.runs[i].head != NULL) + (p.runs[i].tail != NULL) -
			 (p.runs[i].head && p.runs[i].head == p.runs[i].tail);
	assert_int_equal(left, parts);
}

/* Frames of so many directories' headers alone lie between two files. */
static struct index *apart(struct archive_builder *b, int directories)
{
	b->cut = 4096;
	builder_file(b, "a", "x", 1);
	char name[16];
	for (int i = 0; i < directories; i++) {
		snprintf(name, sizeof(name), "d%05d", i);
		builder_dir(b, name);
	}
	builder_file(b, "z", "y", 1);
	return laid_index(b);
}

static void a_few_headers_are_read_along(void **state)
{
	CLEANUP(cleanup_builder) struct archive_builder *b = builder_new();
	CLEANUP(cleanup_index) struct index *ix = apart(b, 100);
	CLEANUP(unpack_plan_finish) struct unpack_plan p = {0};
	assert_int_equal(unpack_plan_make(ix, &p), 0);
	assert_int_equal(p.run_count, 1);
	assert_in_range(p.runs[0].frame_count, 10, 20);
	check_plan(ix, &p);
}

static void many_frames_without_content_are_not_read(void **state)
{
	CLEANUP(cleanup_builder) struct archive_builder *b = builder_new();
	CLEANUP(cleanup_index) struct index *ix = apart(b, 10000);
	const uint64_t *offsets = index_frame_offsets(ix);
	CLEANUP(unpack_plan_finish) struct unpack_plan p = {0};
	assert_int_equal(unpack_plan_make(ix, &p), 0);
	assert_int_equal(p.run_count, 2);
	assert_int_equal(p.runs[0].frame_count, 1);
	assert_int_equal(p.runs[1].frame_count, 1);
	assert_in_range(offsets[p.runs[1].first_frame] - offsets[1], 65537, MIB);
	check_plan(ix, &p);
}

static void nothing_needs_no_frames(void **state)
{
	CLEANUP(cleanup_builder) struct archive_builder *b = builder_new();
	CLEANUP(cleanup_index) struct index *ix = laid_index(b);
	CLEANUP(unpack_plan_finish) struct unpack_plan p = {0};
	assert_int_equal(unpack_plan_make(ix, &p), 0);
	assert_int_equal(p.run_count, 0);

	CLEANUP(cleanup_builder) struct archive_builder *empties = builder_new();
	builder_file(empties, "a", "", 0);
	builder_file(empties, "b", "", 0);
	CLEANUP(cleanup_index) struct index *ix2 = laid_index(empties);
	CLEANUP(unpack_plan_finish) struct unpack_plan p2 = {0};
	assert_int_equal(unpack_plan_make(ix2, &p2), 0);
	assert_int_equal(p2.run_count, 1);
	assert_int_equal(p2.runs[0].frame_count, 0);
	assert_int_equal(p2.runs[0].end_file, 2);
}

/* An object's index cannot say so; that of a foreign archive, kept on disk, might. */
static void contents_that_overlap_are_refused(void **state)
{
	for (uint64_t shift = 0; shift < 2; shift++) {
		CLEANUP(cleanup_builder) struct archive_builder *b = builder_new();
		builder_file(b, "a", "0123456789", 10);
		builder_file(b, "b", "", 0);
		builder_file(b, "c", "0123456789", 10);
		builder_lay(b);
		b->header_flags = INDEX_FLAG_LOOSE;
		builder_set64(b, SECTION_PLACES, 3, b->entries[1].place + 10 - shift);
		size_t len;
		void *raw = builder_index(b, &len);
		CLEANUP(cleanup_index) struct index *ix = NULL;
		assert_int_equal(index_parse_local(raw, len, &ix, NULL), 0);
		CLEANUP(unpack_plan_finish) struct unpack_plan p = {0};
		assert_int_equal(unpack_plan_make(ix, &p), shift ? -EBADMSG : 0);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_files_share_runs),
		cmocka_unit_test(a_large_file_is_shared_by_runs),
		cmocka_unit_test(a_few_headers_are_read_along),
		cmocka_unit_test(many_frames_without_content_are_not_read),
		cmocka_unit_test(nothing_needs_no_frames),
		cmocka_unit_test(contents_that_overlap_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
