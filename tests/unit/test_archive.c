#include "tests/unit/test.h"

#include <errno.h>
#include <string.h>
#include <zstd.h>

#include "archive/archive.h"
#include "archive/format.h"
#include "archive/seek_table.h"
#include "fetch/base/bytes.h"
#include "tests/unit/archive_builder.h"
#include "tests/unit/scripted_source.h"

#define MOST ((size_t)2 << 30)

/* An object in memory with a source over it, and what archive_load() says of it. */
struct object {
	struct buf bytes;
	struct scripted_source source;
	struct archive *archive;
	bool foreign;
	struct error e;
};

static void object_init(struct object *o, const struct archive_builder *b)
{
	*o = (struct object){.bytes = BUF_INIT(MOST)};
	if (b)
		builder_object(b, &o->bytes);
}

static void object_finish(struct object *o)
{
	archive_free(o->archive);
	scripted_finish(&o->source);
	buf_finish(&o->bytes);
}

static int load_tail(struct object *o, size_t tail)
{
	archive_free(o->archive);
	o->archive = NULL;
	scripted_init(&o->source, o->bytes.data, o->bytes.len);
	if (tail > o->bytes.len)
		tail = o->bytes.len;
	return archive_load(&o->source.base, CALL_PATIENT,
		buf_str(&o->bytes) + o->bytes.len - tail, tail, "the-key", &o->archive,
		&o->foreign, &o->e);
}

static int load(struct object *o)
{
	return load_tail(o, ARCHIVE_TAIL_SIZE);
}

static struct archive_builder *sample(void)
{
	struct archive_builder *b = builder_new();
	builder_file(b, "one", "content of one", 14);
	builder_dir(b, "sub");
	builder_file(b, "sub/two", "two", 3);
	builder_symlink(b, "sub/link", "two");
	b->cut = 700;
	return b;
}

static struct archive_builder *laid_sample(void)
{
	struct archive_builder *b = sample();
	builder_lay(b);
	return b;
}

/* Where its frame begins, behind the identity's. */
static size_t index_begin(const struct archive_builder *b)
{
	return b->frames.len + b->digests.len + IDENTITY_FRAME_SIZE;
}

static void the_tail_is_enough(void **state)
{
	CLEANUP(cleanup_builder) struct archive_builder *b = laid_sample();
	CLEANUP(object_finish) struct object o;
	object_init(&o, b);
	assert_int_equal(load(&o), 0);
	assert_int_equal(scripted_reads(&o.source), 0);
	assert_false(o.foreign);
	assert_string_equal(archive_name(o.archive), "the-key");
	assert_int_equal(index_count(archive_index(o.archive)), 5);
	struct chunk_table chunks;
	archive_chunks(o.archive, &chunks);
	assert_int_equal(chunks.count, (b->tar.len + 699) / 700);
	assert_int_equal(chunks.offsets[chunks.count], b->frames.len);
}

/* Whatever the tail holds, at most one more read, and the same archive. */
static void a_short_tail_costs_one_more_read(void **state)
{
	CLEANUP(cleanup_builder) struct archive_builder *b = laid_sample();
	CLEANUP(object_finish) struct object o;
	object_init(&o, b);
	for (size_t tail = SEEK_TABLE_FOOTER_SIZE + SEEK_ENTRY_SIZE; tail < o.bytes.len;
		tail++) {
		assert_int_equal(load_tail(&o, tail), 0);
		assert_in_range(scripted_reads(&o.source), 0, 1);
		struct digest d;
		assert_int_equal(
			archive_identify(&o.source.base, CALL_PATIENT,
				o.bytes.data + o.bytes.len - tail, tail, &d, NULL, NULL),
			0);
		assert_true(digest_equal(&d, archive_identity(o.archive)));
		scripted_finish(&o.source);
	}
	for (size_t tail = 0; tail < SEEK_TABLE_FOOTER_SIZE + SEEK_ENTRY_SIZE; tail++) {
		assert_int_equal(load_tail(&o, tail), 0);
		scripted_finish(&o.source);
	}
	assert_int_equal(load(&o), 0);
}

static void the_identity_is_that_of_the_stored_index(void **state)
{
	CLEANUP(cleanup_builder) struct archive_builder *b = laid_sample();
	CLEANUP(object_finish) struct object o;
	object_init(&o, b);
	assert_int_equal(load(&o), 0);
	size_t begin = index_begin(b);
	uint32_t len = load_le32(o.bytes.data + begin + 4);
	struct digest want;
	assert_int_equal(digest_of(o.bytes.data + begin + 8, len, &want), 0);
	assert_true(digest_equal(&want, archive_identity(o.archive)));
}

/* Loads and identifies from a tail that is not what the source has. */
static int load_damaged(struct object *o, size_t at, struct digest *ret)
{
	CLEANUP(buf_finish) struct buf tail = BUF_INIT(MOST);
	assert_int_equal(buf_append(&tail, o->bytes.data, o->bytes.len), 0);
	tail.data[at] ^= 0x10;
	int r = archive_load(&o->source.base, CALL_PATIENT, tail.data, tail.len, "the-key",
		&o->archive, &o->foreign, &o->e);
	if (r == 0)
		r = archive_identify(&o->source.base, CALL_PATIENT, tail.data, tail.len, ret,
			NULL, &o->e);
	return r;
}

static void damage_on_the_way_is_fetched_once_more(void **state)
{
	CLEANUP(cleanup_builder) struct archive_builder *b = laid_sample();
	CLEANUP(object_finish) struct object o;
	object_init(&o, b);
	scripted_init(&o.source, o.bytes.data, o.bytes.len);
	size_t index = index_begin(b);
	const size_t places[] = {index, index + 5, index + 20, o.bytes.len - 16};
	struct digest d;
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(load_damaged(&o, places[i], &d), 0);
		assert_int_equal(scripted_reads(&o.source), 2 * (i + 1));
		assert_true(digest_equal(&d, archive_identity(o.archive)));
		archive_free(steal_pointer(o.archive));
	}
}

static void damage_in_the_store_is_fetched_once_more_only(void **state)
{
	CLEANUP(cleanup_builder) struct archive_builder *b = laid_sample();
	CLEANUP(object_finish) struct object o;
	object_init(&o, b);
	o.bytes.data[o.bytes.len - 60] ^= 1;
	assert_int_equal(load(&o), -EBADMSG);
	assert_false(o.foreign);
	assert_int_equal(scripted_reads(&o.source), 1);
	assert_non_null(strstr(o.e.text, "'the-key' is damaged"));
}

/* What the store then answers is what there is to say. */
static void a_second_look_that_fails_is_passed_on(void **state)
{
	CLEANUP(cleanup_builder) struct archive_builder *b = laid_sample();
	CLEANUP(object_finish) struct object o;
	object_init(&o, b);
	scripted_init(&o.source, o.bytes.data, o.bytes.len);
	scripted_fail(&o.source, -ESTALE, 1);
	struct digest d;
	assert_int_equal(load_damaged(&o, o.bytes.len - 60, &d), -ESTALE);
	assert_null(o.archive);
}

static void a_failing_read_is_passed_on(void **state)
{
	CLEANUP(cleanup_builder) struct archive_builder *b = laid_sample();
	CLEANUP(object_finish) struct object o;
	object_init(&o, b);
	scripted_init(&o.source, o.bytes.data, o.bytes.len);
	scripted_fail(&o.source, -ESTALE, 1);
	assert_int_equal(archive_load(&o.source.base, CALL_PATIENT,
				 o.bytes.data + o.bytes.len - 20, 20, "k", &o.archive,
				 &o.foreign, &o.e),
		-ESTALE);
	assert_false(o.foreign);
	assert_string_equal(o.e.text, "a scripted failure");
}

static void expect_foreign(struct object *o)
{
	assert_int_equal(load(o), -EBADMSG);
	assert_true(o->foreign);
	assert_null(o->archive);
	assert_int_equal(o->e.code, -EBADMSG);
	assert_non_null(strstr(o->e.text, "'the-key' is no archive of Larder's"));
}

static void other_things_are_foreign(void **state)
{
	CLEANUP(object_finish) struct object o;
	object_init(&o, NULL);
	expect_foreign(&o);
	scripted_finish(&o.source);
	assert_int_equal(buf_append(&o.bytes, "PK\3\4", 4), 0);
	expect_foreign(&o);
	scripted_finish(&o.source);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(buf_append(&o.bytes, "0123456789", 10), 0);
	expect_foreign(&o);
	struct digest d;
	assert_int_equal(archive_identify(&o.source.base, CALL_PATIENT, o.bytes.data,
				 o.bytes.len, &d, NULL, &o.e),
		-EBADMSG);
}

static void a_seekable_tarball_without_index_is_foreign(void **state)
{
	CLEANUP(object_finish) struct object o;
	object_init(&o, NULL);
	assert_int_equal(buf_append(&o.bytes, "twelve bytes", 12), 0);
	struct seek_entry frame = {12, 500};
	assert_int_equal(seek_table_write(&frame, 1, &o.bytes), 0);
	expect_foreign(&o);
}

static void every_truncation_is_refused(void **state)
{
	CLEANUP(cleanup_builder) struct archive_builder *b = laid_sample();
	CLEANUP(object_finish) struct object o;
	object_init(&o, b);
	size_t whole = o.bytes.len;
	for (size_t len = 0; len < whole; len++) {
		o.bytes.len = len;
		assert_int_equal(load(&o), -EBADMSG);
		scripted_finish(&o.source);
	}
	o.bytes.len = whole;
	assert_int_equal(load(&o), 0);
}

static void expect_damaged(struct object *o, const char *says)
{
	assert_int_equal(load(o), -EBADMSG);
	assert_false(o->foreign);
	if (!strstr(o->e.text, "'the-key' is damaged: ") || !strstr(o->e.text, says))
		fail_msg("'%s' does not say '%s'", o->e.text, says);
}

static void the_seek_table_must_agree_with_the_index(void **state)
{
	CLEANUP(cleanup_builder) struct archive_builder *b = laid_sample();
	CLEANUP(object_finish) struct object o;
	object_init(&o, b);
	/* The raw size of the first frame, and then of the second, in the table. */
	uint64_t table = 0;
	char *end = o.bytes.data + o.bytes.len;
	assert_int_equal(seek_table_measure(end - 9, o.bytes.len, &table), 0);
	store_le32(end - table + 8 + 4, 699);
	expect_damaged(&o, "differ about frame 0");
	store_le32(end - table + 8 + 4, 700);
	scripted_finish(&o.source);
	store_le32(end - table + 16, load_le32(end - table + 16) + 1);
	store_le32(end - table + 24, load_le32(end - table + 24) - 1);
	expect_damaged(&o, "differ about frame 1");
}

static void a_frame_that_is_not_in_the_index_is_noticed(void **state)
{
	CLEANUP(cleanup_builder) struct archive_builder *b = laid_sample();
	CLEANUP(object_finish) struct object o;
	object_init(&o, b);
	size_t end = index_begin(b);
	size_t index = 8 + load_le32(o.bytes.data + end + 4);
	struct seek_entry entries[] = {{(uint32_t)b->frames.len, 700},
		{(uint32_t)b->digests.len, 0}, {IDENTITY_FRAME_SIZE, 0},
		{(uint32_t)index, 0}};
	o.bytes.len = end + index;
	assert_int_equal(seek_table_write(entries, 4, &o.bytes), 0);
	expect_damaged(&o, "the seek table has 1 frames");
}

/* Replaces index and seek table: frames and digests, then `stored` as the index. */
static void put_index(
	struct object *o, const struct archive_builder *b, const void *stored, size_t len)
{
	struct seek_entry_vec entries = {0};
	for (size_t i = 0; i < b->header_frames; i++) {
		const char *sizes = b->columns[SECTION_FRAME_SIZES].data + i * 8;
		struct seek_entry s = {load_le32(sizes), load_le32(sizes + 4)};
		assert_int_equal(seek_entry_vec_push(&entries, s), 0);
	}
	o->bytes.len = b->frames.len;
	uint8_t header[8];
	store_le32(header, SKIPPABLE_MAGIC_INDEX);
	store_le32(header + 4, (uint32_t)len);
	assert_int_equal(buf_append(&o->bytes, header, 8), 0);
	assert_int_equal(buf_append(&o->bytes, stored, len), 0);
	struct seek_entry s = {(uint32_t)len + 8, 0};
	assert_int_equal(seek_entry_vec_push(&entries, s), 0);
	assert_int_equal(seek_table_write(entries.data, entries.len, &o->bytes), 0);
	seek_entry_vec_finish(&entries);
}

static void the_index_must_be_one_whole_frame(void **state)
{
	CLEANUP(cleanup_builder) struct archive_builder *b = laid_sample();
	CLEANUP(object_finish) struct object o;
	object_init(&o, b);
	char stored[200];
	size_t len = ZSTD_compress(stored, sizeof(stored), "not an index", 12, 1);
	put_index(&o, b, "no zstd", 7);
	expect_damaged(&o, "no zstd frame");
	scripted_finish(&o.source);
	put_index(&o, b, stored, len - 1);
	expect_damaged(&o, "no zstd frame");
	scripted_finish(&o.source);
	memcpy(stored + len, stored, len);
	put_index(&o, b, stored, len * 2);
	expect_damaged(&o, "no zstd frame");
	scripted_finish(&o.source);
	put_index(&o, b, stored, len);
	expect_damaged(&o, "magic");
	scripted_finish(&o.source);
	put_index(&o, b, "\x50\x2a\x4d\x18\0\0\0\0", 8);
	expect_damaged(&o, "no zstd frame");
}

/* A frame of `raw` zero bytes whose header tells the truth, or says `claim`. */
static size_t bomb(char *stored, size_t size, size_t raw, uint32_t claim)
{
	CLEANUP(cleanup_free) char *zeros = calloc(1, raw);
	assert_non_null(zeros);
	size_t len = ZSTD_compress(stored, size, zeros, raw, 1);
	assert_false(ZSTD_isError(len));
	if (claim)
		store_le32(stored + 6, claim);
	return len;
}

static void bombs_are_refused_before_they_go_off(void **state)
{
	CLEANUP(cleanup_builder) struct archive_builder *b = laid_sample();
	CLEANUP(object_finish) struct object o;
	object_init(&o, b);
	static char stored[64 << 10];
	size_t len = bomb(stored, sizeof(stored), (64u << 20), 0);
	put_index(&o, b, stored, len);
	assert_in_range(len, 1, 16 << 10);
	expect_damaged(&o, "would grow from");
	scripted_finish(&o.source);
	/* The header is not taken at its word. */
	assert_int_equal(ZSTD_getFrameContentSize(stored, len), 64u << 20);
	bomb(stored, sizeof(stored), 64u << 20, 4096);
	assert_int_equal(ZSTD_getFrameContentSize(stored, len), 4096);
	put_index(&o, b, stored, len);
	expect_damaged(&o, "does not decompress");
}

static void a_damaged_index_is_named(void **state)
{
	CLEANUP(cleanup_builder) struct archive_builder *b = laid_sample();
	builder_set32(b, SECTION_PARENTS, 1, 9);
	CLEANUP(object_finish) struct object o;
	object_init(&o, b);
	expect_damaged(&o, "parent");
}

static void trailing_frames_are_looked_through_for_the_index(void **state)
{
	CLEANUP(cleanup_builder) struct archive_builder *b = laid_sample();
	b->unproved = true;
	CLEANUP(object_finish) struct object o;
	object_init(&o, b);
	uint64_t table_size = 0;
	assert_int_equal(seek_table_measure(o.bytes.data + o.bytes.len - 9, o.bytes.len,
				 &table_size),
		0);
	struct seek_table t;
	assert_int_equal(
		seek_table_parse(o.bytes.data, o.bytes.len, o.bytes.len, &t, NULL), 0);
	struct seek_entry_vec entries = {0};
	for (uint32_t i = 0; i < t.count; i++)
		assert_int_equal(
			seek_entry_vec_push(&entries, seek_table_entry(&t, i)), 0);
	size_t body = o.bytes.len - table_size;
	for (unsigned more = 1; more <= 16; more++) {
		o.bytes.len = body;
		assert_int_equal(
			buf_append(&o.bytes, "\x53\x2a\x4d\x18\4\0\0\0hot!", 12), 0);
		body = o.bytes.len;
		struct seek_entry hot = {12, 0};
		assert_int_equal(seek_entry_vec_push(&entries, hot), 0);
		assert_int_equal(
			seek_table_write(entries.data, entries.len, &o.bytes), 0);
		if (more + 2 <= 16)
			assert_int_equal(load(&o), 0);
		else
			expect_damaged(&o, "too many frames");
		scripted_finish(&o.source);
	}
	seek_entry_vec_finish(&entries);
	scripted_init(&o.source, "", 0);
}

static void the_header_of_a_trailing_frame_must_fit(void **state)
{
	CLEANUP(cleanup_builder) struct archive_builder *b = laid_sample();
	CLEANUP(object_finish) struct object o;
	object_init(&o, b);
	char *index = o.bytes.data + index_begin(b);
	store_le32(index + 4, load_le32(index + 4) + 1);
	expect_damaged(&o, "no skippable frame");
}

static void content_digests_are_loaded_and_proved(void **state)
{
	CLEANUP(cleanup_builder) struct archive_builder *b = laid_sample();
	CLEANUP(object_finish) struct object o;
	object_init(&o, b);
	assert_int_equal(load(&o), 0);
	uint8_t(*digests)[16] = NULL;
	assert_int_equal(archive_content_digests(
				 o.archive, &o.source.base, CALL_PATIENT, &digests, &o.e),
		0);
	struct digest want;
	assert_int_equal(digest_of("two", 3, &want), 0);
	assert_memory_equal(digests[builder_number(b, "sub/two")], want.bytes, 16);
	static const uint8_t none[16];
	assert_memory_equal(digests[builder_number(b, "sub/link")], none, 16);
	free(digests);
	digests = NULL;
	o.bytes.data[b->frames.len + 12] ^= 1;
	assert_int_equal(archive_content_digests(
				 o.archive, &o.source.base, CALL_PATIENT, &digests, &o.e),
		-EBADMSG);
	assert_null(digests);
	scripted_fail(&o.source, -EIO, 1);
	assert_int_equal(archive_content_digests(
				 o.archive, &o.source.base, CALL_PATIENT, &digests, &o.e),
		-EIO);
}

static void content_digests_may_be_missing(void **state)
{
	CLEANUP(cleanup_builder) struct archive_builder *b = sample();
	b->content_digests = false;
	builder_lay(b);
	CLEANUP(object_finish) struct object o;
	object_init(&o, b);
	assert_int_equal(load(&o), 0);
	uint8_t(*digests)[16] = NULL;
	assert_int_equal(archive_content_digests(
				 o.archive, &o.source.base, CALL_PATIENT, &digests, &o.e),
		-ENOENT);
}

static void check_outer_field(size_t field, uint64_t value, const char *says)
{
	CLEANUP(cleanup_builder) struct archive_builder *b = laid_sample();
	builder_set64(b, SECTION_OUTER, field, value);
	CLEANUP(object_finish) struct object o;
	object_init(&o, b);
	expect_damaged(&o, says);
}

static void content_digests_must_lie_behind_the_tar(void **state)
{
	check_outer_field(1, 0, "outside");
	check_outer_field(1, UINT64_MAX, "outside");
	check_outer_field(2, UINT64_C(1) << 63, "outside");
	check_outer_field(3, 16, "impossible size");
	check_outer_field(3, UINT64_C(1) << 40, "impossible size");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_tail_is_enough),
		cmocka_unit_test(a_short_tail_costs_one_more_read),
		cmocka_unit_test(the_identity_is_that_of_the_stored_index),
		cmocka_unit_test(damage_on_the_way_is_fetched_once_more),
		cmocka_unit_test(damage_in_the_store_is_fetched_once_more_only),
		cmocka_unit_test(a_second_look_that_fails_is_passed_on),
		cmocka_unit_test(a_failing_read_is_passed_on),
		cmocka_unit_test(other_things_are_foreign),
		cmocka_unit_test(a_seekable_tarball_without_index_is_foreign),
		cmocka_unit_test(every_truncation_is_refused),
		cmocka_unit_test(the_seek_table_must_agree_with_the_index),
		cmocka_unit_test(a_frame_that_is_not_in_the_index_is_noticed),
		cmocka_unit_test(the_index_must_be_one_whole_frame),
		cmocka_unit_test(bombs_are_refused_before_they_go_off),
		cmocka_unit_test(a_damaged_index_is_named),
		cmocka_unit_test(trailing_frames_are_looked_through_for_the_index),
		cmocka_unit_test(the_header_of_a_trailing_frame_must_fit),
		cmocka_unit_test(content_digests_are_loaded_and_proved),
		cmocka_unit_test(content_digests_may_be_missing),
		cmocka_unit_test(content_digests_must_lie_behind_the_tar),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
