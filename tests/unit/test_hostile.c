/*
 * Archives that mean harm: refused with a sentence, or harmless, in bounded memory. Each
 * is met in a child process that cannot have more memory than a limit; sanitizers need
 * address space of their own, so under them only the verdict is looked at.
 */
#include "tests/unit/scratch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <zstd.h>

#include "archive/reader.h"
#include "archive/seek_table.h"
#include "archive/unpack.h"
#include "fetch/base/bytes.h"
#include "tests/unit/archive_builder.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

#define MIB ((size_t)1 << 20)

/* An object, and what a child process does with it. */
struct victim {
	struct buf object;
	struct range_source *source; /* owned, in the child */
	struct archive *archive;     /* owned, in the child */
	struct error e;
	const struct scratch *dir;
};

static size_t mapped_now(void)
{
	size_t pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");
	assert_non_null(f);
	assert_int_equal(fscanf(f, "%zu", &pages), 1);
	fclose(f);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void limit_memory(size_t more)
{
	struct rlimit l = {mapped_now() + more, RLIM_INFINITY};
	if (!SANITIZED && setrlimit(RLIMIT_AS, &l) < 0)
		_exit(99);
}

static int load(struct victim *v)
{
	v->source = memory_source_new(buf_str(&v->object), v->object.len);
	if (!v->source)
		return -ENOMEM;
	size_t tail =
		v->object.len < ARCHIVE_TAIL_SIZE ? v->object.len : ARCHIVE_TAIL_SIZE;
	return archive_load(v->source, CALL_PATIENT,
		buf_str(&v->object) + v->object.len - tail, tail, "the-key", &v->archive,
		NULL, &v->e);
}

/* Runs `act` on the loaded archive (NULL: just loads) in a child with `memory` bytes more
 * than now. It must fail with `want` and a sentence that holds `says`; 0: succeed. */
static void meet(struct victim *v, int (*act)(struct victim *), size_t memory, int want,
	const char *says)
{
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		limit_memory(memory);
		int r = load(v);
		if (r == 0 && act)
			r = act(v);
		bool right = r == want && (r == 0 || strstr(v->e.text, says));
		if (!right)
			fprintf(stderr, "%d, '%s'\n", r, v->e.text);
		range_source_free(v->source);
		archive_free(v->archive);
		_exit(right ? 0 : 1);
	}
	int status = -1;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static struct victim victim_of(const struct archive_builder *b)
{
	struct victim v = {.object = BUF_INIT((size_t)1 << 30)};
	builder_object(b, &v.object);
	return v;
}

static void victim_finish(struct victim *v)
{
	buf_finish(&v->object);
}

static struct archive_builder *small_tree(void)
{
	struct archive_builder *b = builder_new();
	builder_file(b, "aa", "content", 7);
	builder_dir(b, "dd");
	builder_file(b, "dd/bb", "content", 7);
	builder_file(b, "dd/cc", "content", 7);
	b->cut = 700;
	builder_lay(b);
	return b;
}

static void refuse_small(void (*damage)(struct archive_builder *b), const char *says)
{
	CLEANUP(cleanup_builder) struct archive_builder *b = small_tree();
	damage(b);
	CLEANUP(victim_finish) struct victim v = victim_of(b);
	char whole[128];
	snprintf(whole, sizeof(whole), "%s", says);
	meet(&v, NULL, 8 * MIB, -EBADMSG, whole);
}

/* Names: "" aa dd bb cc. */
static void put_name(struct archive_builder *b, size_t at, const char *name)
{
	memcpy(b->columns[SECTION_NAMES].data + at, name, 2);
}

static void dot_dot(struct archive_builder *b)
{
	put_name(b, 0, "..");
}

static void absolute(struct archive_builder *b)
{
	put_name(b, 0, "/a");
}

static void duplicate(struct archive_builder *b)
{
	put_name(b, 6, "bb");
}

static void cycle(struct archive_builder *b)
{
	builder_set64(b, SECTION_SIZES, 0, 1);
	builder_set64(b, SECTION_SIZES, 2, 3);
	builder_set64(b, SECTION_PLACES, 2, 2);
	builder_set32(b, SECTION_PARENTS, 2, 2);
}

static void size_2_63(struct archive_builder *b)
{
	builder_set64(b, SECTION_SIZES, 1, UINT64_C(1) << 63);
}

static void place_2_63(struct archive_builder *b)
{
	builder_set64(b, SECTION_PLACES, 1, (UINT64_C(1) << 63) - 512);
}

static void same_content_twice(struct archive_builder *b)
{
	builder_set64(
		b, SECTION_PLACES, 4, load_le64(b->columns[SECTION_PLACES].data + 3 * 8));
}

static void device(struct archive_builder *b)
{
	builder_set16(b, SECTION_MODES, 1, S_IFBLK | 0666);
}

static void names_that_lead_elsewhere_are_refused(void **state)
{
	refuse_small(dot_dot, "'the-key' is damaged: entry 1 of the index is named");
	refuse_small(absolute, "'the-key' is damaged: the index has a name with a '/'");
	refuse_small(
		duplicate, "'the-key' is damaged: entry 4 of the index is a duplicate");
	refuse_small(cycle, "'the-key' is damaged: entry 2 of the index");
	refuse_small(device, "'the-key' is damaged: entry 1 of the index is no file");
}

static void sizes_past_everything_are_refused(void **state)
{
	refuse_small(size_2_63, "entry 1 of the index has content outside the tar");
	refuse_small(place_2_63, "entry 1 of the index has content outside the tar");
	refuse_small(same_content_twice, "entry 4 of the index has content where no tar");
}

/* Frames cannot be written down as overlapping; a seek table that says other sizes than
 * the index would make two readers see two archives. */
static void frames_that_overlap_are_refused(void **state)
{
	CLEANUP(cleanup_builder) struct archive_builder *b = small_tree();
	CLEANUP(victim_finish) struct victim v = victim_of(b);
	uint64_t size = 0;
	char *end = v.object.data + v.object.len;
	assert_int_equal(seek_table_measure(end - 9, v.object.len, &size), 0);
	char *first = end - size + 8;
	store_le32(first, load_le32(first) - 3);
	store_le32(first + 8, load_le32(first + 8) + 3);
	meet(&v, NULL, 8 * MIB, -EBADMSG,
		"'the-key' is damaged: seek table and index differ about frame 0");
}

static void put16(struct buf *b, uint16_t v)
{
	uint8_t p[2];
	store_le16(p, v);
	assert_int_equal(buf_append(b, p, 2), 0);
}

static void put32(struct buf *b, uint32_t v)
{
	uint8_t p[4];
	store_le32(p, v);
	assert_int_equal(buf_append(b, p, 4), 0);
}

static void put64(struct buf *b, uint64_t v)
{
	uint8_t p[8];
	store_le64(p, v);
	assert_int_equal(buf_append(b, p, 8), 0);
}

static void put_link_entry(struct archive_builder *b, uint32_t i, uint32_t count)
{
	char name[16] = "";
	int len = i ? snprintf(name, sizeof(name), "%08u", i) : 0;
	put16(&b->columns[SECTION_MODES],
		(uint16_t)(i ? S_IFREG | 0644 : S_IFDIR | 0755));
	put32(&b->columns[SECTION_PARENTS], 0);
	uint8_t name_len = (uint8_t)len;
	assert_int_equal(buf_append(&b->columns[SECTION_NAME_LENGTHS], &name_len, 1), 0);
	assert_int_equal(buf_append(&b->columns[SECTION_NAMES], name, (size_t)len), 0);
	put64(&b->columns[SECTION_MTIME_SECONDS], 0);
	put32(&b->columns[SECTION_MTIME_NANOSECONDS], 0);
	put64(&b->columns[SECTION_SIZES], i ? 100 : count - 1);
	put64(&b->columns[SECTION_PLACES], i ? 1024 : 1);
	if (i < 2)
		return;
	put32(&b->columns[SECTION_LINKS], i);
	put32(&b->columns[SECTION_LINKS], 1);
}

/* One file with so many names more, in a tar that claims to be of that size. */
static struct archive_builder *many_links(uint32_t links, uint32_t frames)
{
	struct archive_builder *b = builder_new();
	uint32_t count = links + 2;
	for (uint32_t i = 0; i < count; i++)
		put_link_entry(b, i, count);
	for (uint32_t i = 0; i < frames; i++) {
		put32(&b->columns[SECTION_FRAME_SIZES], 20);
		put32(&b->columns[SECTION_FRAME_SIZES], FRAME_SIZE_LIMIT);
		static const char filler[DIGEST_SIZE];
		assert_int_equal(buf_append(&b->columns[SECTION_FRAME_DIGESTS], filler,
					 DIGEST_SIZE),
			0);
		assert_int_equal(buf_append(&b->frames, filler, 20), 0);
	}
	b->header_entries = count;
	b->header_frames = frames;
	b->header_tar = (uint64_t)frames * FRAME_SIZE_LIMIT;
	return b;
}

#define MILLION 1000000u

static void a_million_links_in_a_small_tar_are_refused(void **state)
{
	CLEANUP(cleanup_builder) struct archive_builder *b = many_links(MILLION, 1);
	CLEANUP(victim_finish) struct victim v = victim_of(b);
	meet(&v, NULL, 128 * MIB, -EBADMSG,
		"'the-key' is damaged: the index has more members than the tar");
}

static int look_at_links(struct victim *v)
{
	const struct index *ix = archive_index(v->archive);
	struct entry_info info;
	for (uint32_t i = 1; i < index_count(ix); i += 997) {
		index_info(ix, i, &info);
		if (info.nlink != MILLION + 1 || index_primary(ix, i) != 1)
			return error_set(&v->e, -EILSEQ, "entry %u", i);
	}
	return 0;
}

static int unpack(struct victim *v)
{
	static const struct unpack_options options = {0};
	return unpack_archive(v->archive, v->source, CALL_PATIENT,
		scratch_path(v->dir, "out"), &options, &v->e);
}

static void expect_nothing_in(const struct scratch *dir)
{
	assert_int_equal(scratch_count(dir, ""), 0);
	assert_int_equal(rmdir(dir->path), 0);
}

static void a_million_links_are_harmless(void **state)
{
	CLEANUP(cleanup_builder) struct archive_builder *b = many_links(MILLION, 65);
	CLEANUP(victim_finish) struct victim v = victim_of(b);
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	v.dir = &dir;
	meet(&v, look_at_links, 128 * MIB, 0, "");
	meet(&v, unpack, 192 * MIB, -EBADMSG, "frame 0 of 'the-key' does not decompress");
	expect_nothing_in(&dir);
}

/* What compresses by more than 256 to 1 has to be refused before memory is taken. */
static void a_gigabyte_in_a_kilobyte_is_refused(void **state)
{
	CLEANUP(cleanup_builder) struct archive_builder *b = small_tree();
	static char zeros[8 << 20];
	assert_int_equal(buf_append(&b->raw_index, zeros, sizeof(zeros)), 0);
	b->unproved = true;
	CLEANUP(victim_finish) struct victim v = victim_of(b);
	assert_in_range(v.object.len, 1, 4096);
	meet(&v, NULL, 4 * MIB, -EBADMSG,
		"'the-key' is damaged: the index would grow from");
	/* The same frame, said to be of 1 GiB. */
	char *index = v.object.data + b->frames.len + b->digests.len + 8;
	assert_int_equal(ZSTD_getFrameContentSize(index, 100), sizeof(zeros));
	store_le32(index + 6, 1 << 30);
	assert_int_equal(ZSTD_getFrameContentSize(index, 100), 1 << 30);
	meet(&v, NULL, 4 * MIB, -EBADMSG, "1073741824 bytes");
	/* And of 1 MiB, which is allowed, so it is looked into. */
	store_le32(index + 6, 1 << 20);
	meet(&v, NULL, 4 * MIB, -EBADMSG,
		"'the-key' is damaged: the index does not decompress");
}

static int read_first(struct victim *v)
{
	CLEANUP(cleanup_reader) struct reader *r = NULL;
	int code = reader_new(v->archive, v->source, MIB, &r);
	char buf[4];
	size_t got;
	return code < 0 ? code
			: reader_read(
				  r, CALL_PATIENT, 1, 0, sizeof(buf), buf, &got, &v->e);
}

/* 64 MiB of zeros where the index says 700 bytes. */
static void a_frame_that_explodes_is_refused(void **state)
{
	CLEANUP(cleanup_builder) struct archive_builder *b = small_tree();
	CLEANUP(cleanup_free) char *zeros = calloc(1, 64 * MIB);
	assert_non_null(zeros);
	CLEANUP(cleanup_free) char *stored = malloc(64 << 10);
	size_t len = ZSTD_compress(stored, 64 << 10, zeros, 64 * MIB, 1);
	assert_false(ZSTD_isError(len));
	/* The first frame is said to be as long raw as stored. */
	for (size_t i = 0; i < b->header_frames; i++)
		builder_set32(b, SECTION_FRAME_SIZES, 2 * i, i ? 8 : (uint32_t)len);
	builder_set32(b, SECTION_FRAME_SIZES, 1, (uint32_t)len);
	b->header_tar += len - 700;
	buf_clear(&b->frames);
	assert_int_equal(buf_append(&b->frames, stored, len), 0);
	assert_int_equal(buf_append(&b->frames, zeros, 8 * (b->header_frames - 1)), 0);
	builder_set64(b, SECTION_OUTER, 1, b->frames.len + 8);
	CLEANUP(victim_finish) struct victim v = victim_of(b);
	meet(&v, read_first, 16 * MIB, -EBADMSG,
		"frame 0 of 'the-key' does not decompress to what the index says");
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	v.dir = &dir;
	meet(&v, unpack, 192 * MIB, -EBADMSG, "frame 0 of 'the-key' does not decompress");
	expect_nothing_in(&dir);
}

static void a_seek_table_longer_than_the_object_is_refused(void **state)
{
	CLEANUP(cleanup_builder) struct archive_builder *b = small_tree();
	CLEANUP(victim_finish) struct victim v = victim_of(b);
	store_le32(v.object.data + v.object.len - 9, 1u << 27);
	meet(&v, NULL, 4 * MIB, -EBADMSG,
		"'the-key' is damaged: the seek table claims to be longer than the "
		"object");
}

/* Links are made as they are, and nothing is done through them. */
static void links_that_point_outside_are_not_followed(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	scratch_write(&dir, "outside", "mine");
	struct stat before, after;
	assert_int_equal(stat(scratch_path(&dir, "outside"), &before), 0);
	CLEANUP(cleanup_builder) struct archive_builder *b = builder_new();
	builder_symlink(b, "a", "../outside")->seconds = 5;
	builder_symlink(b, "b", scratch_path(&dir, "outside"))->seconds = 5;
	builder_link(b, "c", "b");
	builder_symlink(b, "d", "..");
	builder_file(b, "e", "x", 1);
	builder_lay(b);
	CLEANUP(victim_finish) struct victim v = victim_of(b);
	v.dir = &dir;
	meet(&v, unpack, 192 * MIB, 0, "");
	assert_int_equal(stat(scratch_path(&dir, "out/c"), &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
	assert_int_equal(before.st_mode, after.st_mode);
	assert_int_equal(before.st_mtim.tv_sec, after.st_mtim.tv_sec);
	assert_int_equal(before.st_nlink, after.st_nlink);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_that_lead_elsewhere_are_refused),
		cmocka_unit_test(sizes_past_everything_are_refused),
		cmocka_unit_test(frames_that_overlap_are_refused),
		cmocka_unit_test(a_million_links_in_a_small_tar_are_refused),
		cmocka_unit_test(a_million_links_are_harmless),
		cmocka_unit_test(a_gigabyte_in_a_kilobyte_is_refused),
		cmocka_unit_test(a_frame_that_explodes_is_refused),
		cmocka_unit_test(a_seek_table_longer_than_the_object_is_refused),
		cmocka_unit_test(links_that_point_outside_are_not_followed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
