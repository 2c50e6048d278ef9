#include "tests/unit/test.h"

#include <errno.h>
#include <string.h>

#include "archive/format.h"
#include "archive/seek_table.h"
#include "fetch/base/cleanup.h"

/* Two frames, digests and an index: what an archive looks like. */
static const struct seek_entry sample[] = {
	{1000, 300000},
	{500, 1024},
	{40, 0},
	{90, 0},
};
#define SAMPLE_STORED (1000 + 500 + 40 + 90)
#define SAMPLE_SIZE   (SAMPLE_STORED + 8 + 4 * 8 + 9)

static void table_of(const struct seek_entry *entries, size_t count, struct buf *b)
{
	buf_init(b, 1 << 20);
	assert_int_equal(seek_table_write(entries, count, b), 0);
}

static void the_bytes_are_those_of_the_seekable_format(void **state)
{
	CLEANUP(buf_finish) struct buf b;
	struct seek_entry one = {0x11223344, 0x00556677};
	table_of(&one, 1, &b);
	static const uint8_t want[] = {0x5e, 0x2a, 0x4d, 0x18, 17, 0, 0, 0, 0x44, 0x33,
		0x22, 0x11, 0x77, 0x66, 0x55, 0, 1, 0, 0, 0, 0, 0xb1, 0xea, 0x92, 0x8f};
	assert_int_equal(b.len, sizeof(want));
	assert_memory_equal(b.data, want, sizeof(want));
	assert_int_equal(seek_table_size(1), sizeof(want));
}

static void it_is_appended(void **state)
{
	CLEANUP(buf_finish) struct buf b = BUF_INIT(100);
	assert_int_equal(buf_append_str(&b, "before"), 0);
	assert_int_equal(seek_table_write(sample, 4, &b), 0);
	assert_int_equal(b.len, 6 + seek_table_size(4));
	assert_memory_equal(b.data, "before", 6);
	assert_int_equal(seek_table_write(sample, 4, &b), -EMSGSIZE);
}

static void what_was_written_is_read(void **state)
{
	CLEANUP(buf_finish) struct buf b;
	table_of(sample, 4, &b);
	uint64_t size = 0;
	assert_int_equal(seek_table_measure(b.data + b.len - 9, SAMPLE_SIZE, &size), 0);
	assert_int_equal(size, b.len);
	struct seek_table t;
	assert_int_equal(seek_table_parse(b.data, b.len, SAMPLE_SIZE, &t, NULL), 0);
	assert_int_equal(t.count, 4);
	assert_int_equal(t.frames, 2);
	assert_int_equal(t.frames_stored, 1500);
	assert_int_equal(t.frames_raw, 301024);
	assert_int_equal(t.size, b.len);
	for (uint32_t i = 0; i < 4; i++) {
		assert_int_equal(seek_table_entry(&t, i).stored, sample[i].stored);
		assert_int_equal(seek_table_entry(&t, i).raw, sample[i].raw);
	}
}

static void bytes_before_the_table_do_not_matter(void **state)
{
	CLEANUP(buf_finish) struct buf b = BUF_INIT(1000);
	assert_int_equal(buf_append_str(&b, "end of the index"), 0);
	assert_int_equal(seek_table_write(sample, 4, &b), 0);
	struct seek_table t;
	assert_int_equal(seek_table_parse(b.data, b.len, SAMPLE_SIZE, &t, NULL), 0);
	assert_int_equal(t.size, seek_table_size(4));
}

static void other_files_have_none(void **state)
{
	uint64_t size;
	struct seek_table t;
	static const char zeros[64];
	assert_int_equal(seek_table_measure(zeros, 1000, &size), -ENOMSG);
	assert_int_equal(seek_table_parse(zeros, 64, 64, &t, NULL), -ENOMSG);
	assert_int_equal(seek_table_parse(zeros, 8, 8, &t, NULL), -EINVAL);
	CLEANUP(buf_finish) struct buf b;
	table_of(sample, 4, &b);
	b.data[b.len - 5] = (char)0x80; /* with checksums: somebody else's */
	assert_int_equal(seek_table_parse(b.data, b.len, SAMPLE_SIZE, &t, NULL), -ENOMSG);
}

static void a_table_that_needs_more_bytes_says_so(void **state)
{
	CLEANUP(buf_finish) struct buf b;
	table_of(sample, 4, &b);
	struct seek_table t;
	struct error e = {0};
	int r = seek_table_parse(b.data + 1, b.len - 1, SAMPLE_SIZE, &t, &e);
	assert_int_equal(r, -EINVAL);
}

/* Writes the table, lets `damage` loose on it, and returns what the parser says. */
static int parse_damaged(const struct seek_entry *entries, size_t count,
	uint64_t object_size, size_t at, uint8_t byte)
{
	CLEANUP(buf_finish) struct buf b;
	table_of(entries, count, &b);
	if (at < b.len)
		b.data[at] = (char)byte;
	struct seek_table t;
	struct error e = {0};
	int r = seek_table_parse(b.data, b.len, object_size, &t, &e);
	assert_int_equal(e.code, r);
	return r;
}
#define NO_DAMAGE SIZE_MAX

static void lies_are_refused(void **state)
{
	assert_int_equal(parse_damaged(sample, 4, SAMPLE_SIZE, NO_DAMAGE, 0), 0);
	/* the object has another size */
	assert_int_equal(
		parse_damaged(sample, 4, SAMPLE_SIZE + 1, NO_DAMAGE, 0), -EBADMSG);
	assert_int_equal(
		parse_damaged(sample, 4, SAMPLE_SIZE - 1, NO_DAMAGE, 0), -EBADMSG);
	/* a table longer than the object */
	assert_int_equal(parse_damaged(sample, 4, 20, NO_DAMAGE, 0), -EBADMSG);
	/* magic, length, count: it begins elsewhere */
	assert_int_equal(parse_damaged(sample, 4, SAMPLE_SIZE, 0, 0), -EBADMSG);
	assert_int_equal(parse_damaged(sample, 4, SAMPLE_SIZE, 4, 0), -EBADMSG);
	assert_int_equal(parse_damaged(sample, 4, SAMPLE_SIZE, 8 + 32, 3), -EBADMSG);
	assert_int_equal(
		parse_damaged(sample, 4, SAMPLE_SIZE, 8 + 32 + 3, 0xff), -EBADMSG);
}

static void impossible_frames_are_refused(void **state)
{
	static const struct seek_entry tiny[] = {{7, 10}};
	assert_int_equal(parse_damaged(tiny, 1, 7 + 25, NO_DAMAGE, 0), -EBADMSG);
	static const struct seek_entry huge[] = {{100, FRAME_SIZE_LIMIT + 1}};
	assert_int_equal(parse_damaged(huge, 1, 100 + 25, NO_DAMAGE, 0), -EBADMSG);
	static const struct seek_entry most[] = {{100, FRAME_SIZE_LIMIT}};
	assert_int_equal(parse_damaged(most, 1, 100 + 25, NO_DAMAGE, 0), 0);
	static const struct seek_entry mixed[] = {{100, 10}, {8, 0}, {100, 10}};
	assert_int_equal(parse_damaged(mixed, 3, 208 + 41, NO_DAMAGE, 0), -EBADMSG);
}

static void an_object_without_frames_is_parsed(void **state)
{
	CLEANUP(buf_finish) struct buf b;
	table_of(NULL, 0, &b);
	struct seek_table t;
	assert_int_equal(seek_table_parse(b.data, b.len, b.len, &t, NULL), 0);
	assert_int_equal(t.count, 0);
	assert_int_equal(t.frames, 0);
}

static void too_many_entries_are_not_written(void **state)
{
	CLEANUP(buf_finish) struct buf b = BUF_INIT(SIZE_MAX / 2);
	assert_int_equal(
		seek_table_write(sample, (size_t)FRAME_COUNT_LIMIT + 1, &b), -E2BIG);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_bytes_are_those_of_the_seekable_format),
		cmocka_unit_test(it_is_appended),
		cmocka_unit_test(what_was_written_is_read),
		cmocka_unit_test(bytes_before_the_table_do_not_matter),
		cmocka_unit_test(other_files_have_none),
		cmocka_unit_test(a_table_that_needs_more_bytes_says_so),
		cmocka_unit_test(lies_are_refused),
		cmocka_unit_test(impossible_frames_are_refused),
		cmocka_unit_test(an_object_without_frames_is_parsed),
		cmocka_unit_test(too_many_entries_are_not_written),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
