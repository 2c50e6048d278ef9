#include "tests/unit/test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive/tar_header.h"
#include "fetch/base/cleanup.h"

/* A file of 5 bytes with whole seconds. */
static struct tar_member file_named(const char *path)
{
	return (struct tar_member){
		.type = TAR_FILE,
		.path = path,
		.path_len = strlen(path),
		.target = "",
		.mode = 0644,
		.size = 5,
		.mtime_s = 1000000000,
	};
}

/* The member's header bytes, which the caller frees. */
static uint8_t *written(const struct tar_member *m, size_t want_len)
{
	size_t len = 0;
	assert_int_equal(tar_header_size(m, &len), 0);
	assert_int_equal(len, want_len);
	uint8_t *bytes = malloc(len + 1);
	memset(bytes, 0xaa, len + 1);
	tar_header_write(m, bytes);
	assert_int_equal(bytes[len], 0xaa);
	return bytes;
}

/* A ustar header, field by field as an archive tool would print it. */
struct expected {
	const char *name, *mode, *uid, *gid, *size, *mtime;
	char type;
	const char *link, *prefix;
};

static void put(uint8_t *block, size_t at, size_t width, const char *text)
{
	size_t len = strlen(text);
	memcpy(block + at, text, len < width ? len : width);
}

static void assert_ustar(const uint8_t *block, const struct expected *want)
{
	uint8_t b[512] = {0};
	put(b, 0, 100, want->name);
	put(b, 100, 8, want->mode);
	put(b, 108, 8, want->uid ? want->uid : "0000000");
	put(b, 116, 8, want->gid ? want->gid : "0000000");
	put(b, 124, 12, want->size);
	put(b, 136, 12, want->mtime);
	b[156] = (uint8_t)want->type;
	put(b, 157, 100, want->link ? want->link : "");
	memcpy(b + 257, "ustar\00000", 8);
	put(b, 345, 155, want->prefix ? want->prefix : "");
	memset(b + 148, ' ', 8);
	unsigned sum = 0;
	for (int i = 0; i < 512; i++)
		sum += b[i];
	char text[9];
	snprintf(text, sizeof(text), "%06o", sum);
	memcpy(b + 148, text, 7);
	assert_memory_equal(block, b, 512);
}

static const struct expected plain = {
	.name = "a/file",
	.mode = "0000644",
	.size = "00000000005",
	.mtime = "07346545000",
	.type = '0',
};

static void assert_extra(
	const uint8_t *header, char type, const char *name, const char *body, size_t len)
{
	char size[24];
	snprintf(size, sizeof(size), "%011zo", len);
	assert_ustar(header, &(struct expected){
				     .name = name,
				     .mode = "0000644",
				     .size = size,
				     .mtime = "00000000000",
				     .type = type,
			     });
	assert_memory_equal(header + 512, body, len);
	for (size_t i = len; i % 512; i++)
		assert_int_equal(header[512 + i], 0);
}

static void assert_pax(const uint8_t *header, const char *records)
{
	assert_extra(header, 'x', "././@PaxHeader", records, strlen(records));
}

static void a_plain_file_is_one_block(void **state)
{
	struct tar_member m = file_named("a/file");
	CLEANUP(cleanup_free) uint8_t *h = written(&m, 512);
	assert_ustar(h, &plain);
	/* and by the numbers, in case both sides err alike */
	assert_string_equal((char *)h + 148, "007064");
	assert_int_equal(h[155], ' ');
	assert_memory_equal(h + 257,
		"ustar\0"
		"00",
		8);
}

static void other_types_have_no_size(void **state)
{
	struct tar_member m = file_named("a/dir/");
	m.type = TAR_DIRECTORY;
	m.mode = 02755;
	m.size = 0;
	CLEANUP(cleanup_free) uint8_t *h = written(&m, 512);
	struct expected want = plain;
	want.name = "a/dir/";
	want.mode = "0002755";
	want.size = "00000000000";
	want.type = '5';
	assert_ustar(h, &want);
}

static void links_have_targets(void **state)
{
	struct tar_member m = file_named("a/file");
	m.type = TAR_SYMLINK;
	m.size = 0;
	m.mode = 0777;
	m.target = "../to";
	m.target_len = 5;
	CLEANUP(cleanup_free) uint8_t *h = written(&m, 512);
	struct expected want = plain;
	want.mode = "0000777";
	want.size = "00000000000";
	want.type = '2';
	want.link = "../to";
	assert_ustar(h, &want);
}

static void bytes_over_0x7f_stand_in_the_fields(void **state)
{
	struct tar_member m = file_named("\xff\xfe/\xc3\xbc");
	CLEANUP(cleanup_free) uint8_t *h = written(&m, 512);
	struct expected want = plain;
	want.name = "\xff\xfe/\xc3\xbc";
	assert_ustar(h, &want);
}

/* `count` times c, then what follows. */
static char *text_of(size_t count, char c, const char *then)
{
	char *text = malloc(count + strlen(then) + 1);
	memset(text, c, count);
	strcpy(text + count, then);
	return text;
}

static void a_hundred_bytes_still_fit(void **state)
{
	CLEANUP(cleanup_free) char *path = text_of(100, 'n', "");
	struct tar_member m = file_named(path);
	CLEANUP(cleanup_free) uint8_t *h = written(&m, 512);
	struct expected want = plain;
	want.name = path;
	assert_ustar(h, &want);
}

static void a_longer_path_is_cut_at_the_last_slash_within_reach(void **state)
{
	CLEANUP(cleanup_free) char *prefix = text_of(150, 'p', "/ab");
	CLEANUP(cleanup_free) char *name = text_of(96, 'n', "/x/");
	CLEANUP(cleanup_free) char *path = NULL;
	assert_true(asprintf(&path, "%s/%s", prefix, name) > 0);
	struct tar_member m = file_named(path);
	m.type = TAR_DIRECTORY;
	m.size = 0;
	CLEANUP(cleanup_free) uint8_t *h = written(&m, 512);
	struct expected want = plain;
	want.prefix = prefix; /* 153 bytes; the slash before "ab" would do as well */
	want.name = name;
	want.size = "00000000000";
	want.type = '5';
	assert_ustar(h, &want);
}

static void the_slash_of_a_directory_is_no_place_to_cut(void **state)
{
	CLEANUP(cleanup_free) char *path = text_of(101, 'd', "/");
	CLEANUP(cleanup_free) char *record = NULL;
	assert_true(asprintf(&record, "112 path=%s\n", path) > 0);
	struct tar_member m = file_named(path);
	CLEANUP(cleanup_free) uint8_t *h = written(&m, 3 * 512);
	assert_pax(h, record);
	struct expected want = plain;
	want.name = path;
	assert_ustar(h + 1024, &want);
}

static void the_largest_prefix_and_name(void **state)
{
	CLEANUP(cleanup_free) char *prefix = text_of(155, 'p', "");
	CLEANUP(cleanup_free) char *name = text_of(100, 'n', "");
	CLEANUP(cleanup_free) char *path = NULL;
	assert_true(asprintf(&path, "%s/%s", prefix, name) > 0);
	struct tar_member m = file_named(path);
	CLEANUP(cleanup_free) uint8_t *h = written(&m, 512);
	struct expected want = plain;
	want.prefix = prefix;
	want.name = name;
	assert_ustar(h, &want);
	/* one more byte in either, and it is a record */
	CLEANUP(cleanup_free) char *longer = NULL;
	assert_true(asprintf(&longer, "p%s", path) > 0);
	m = file_named(longer);
	CLEANUP(cleanup_free) uint8_t *pax = written(&m, 3 * 512);
	assert_int_equal(pax[156], 'x');
}

static void long_ascii_names_are_records(void **state)
{
	CLEANUP(cleanup_free) char *path = text_of(200, 'a', "");
	CLEANUP(cleanup_free) char *target = text_of(101, 't', "");
	CLEANUP(cleanup_free) char *records = NULL;
	assert_true(
		asprintf(&records, "210 path=%s\n115 linkpath=%s\n", path, target) > 0);
	struct tar_member m = file_named(path);
	m.type = TAR_SYMLINK;
	m.size = 0;
	m.target = target;
	m.target_len = 101;
	CLEANUP(cleanup_free) uint8_t *h = written(&m, 3 * 512);
	assert_pax(h, records);
	struct expected want = plain;
	want.name = path; /* the first hundred */
	want.link = target;
	want.size = "00000000000";
	want.type = '2';
	assert_ustar(h + 1024, &want);
}

static void other_long_names_are_members_of_their_own(void **state)
{
	CLEANUP(cleanup_free) char *path = text_of(511, '\xe9', "");
	CLEANUP(cleanup_free) char *target = text_of(512, '\xfc', "");
	struct tar_member m = file_named(path);
	m.type = TAR_SYMLINK;
	m.size = 0;
	m.mtime_ns = 500000000;
	m.target = target;
	m.target_len = 512;
	/* K: 512 + 1024, L: 512 + 512, x: 512 + 512, ustar */
	CLEANUP(cleanup_free) uint8_t *h = written(&m, 8 * 512);
	assert_extra(h, 'K', "././@LongLink", target, 513);
	assert_extra(h + 3 * 512, 'L', "././@LongLink", path, 512);
	assert_pax(h + 5 * 512, "22 mtime=1000000000.5\n");
	struct expected want = plain;
	want.name = path;
	want.link = target;
	want.size = "00000000000";
	want.type = '2';
	assert_ustar(h + 7 * 512, &want);
}

static void assert_mtime(int64_t s, uint32_t ns, const char *record, const char *field)
{
	struct tar_member m = file_named("a/file");
	m.mtime_s = s;
	m.mtime_ns = ns;
	CLEANUP(cleanup_free) uint8_t *h = written(&m, 3 * 512);
	assert_pax(h, record);
	struct expected want = plain;
	want.mtime = field;
	assert_ustar(h + 1024, &want);
}

static void times_that_do_not_fit_are_records(void **state)
{
	assert_mtime(1000000000, 1, "30 mtime=1000000000.000000001\n", "07346545000");
	assert_mtime(1000000000, 120000000, "23 mtime=1000000000.12\n", "07346545000");
	assert_mtime(0, 100, "19 mtime=0.0000001\n", "00000000000");
	assert_mtime(-1, 0, "12 mtime=-1\n", "00000000000");
	assert_mtime(-2, 750000000, "15 mtime=-1.25\n", "00000000000");
	assert_mtime(-1, 999999999, "22 mtime=-0.000000001\n", "00000000000");
	assert_mtime(
		INT64_C(077777777777) + 1, 0, "20 mtime=8589934592\n", "00000000000");
	assert_mtime(INT64_MIN, 0, "30 mtime=-9223372036854775808\n", "00000000000");
}

static void the_last_second_that_fits(void **state)
{
	struct tar_member m = file_named("a/file");
	m.mtime_s = INT64_C(077777777777);
	CLEANUP(cleanup_free) uint8_t *h = written(&m, 512);
	struct expected want = plain;
	want.mtime = "77777777777";
	assert_ustar(h, &want);
}

static void large_numbers_are_records(void **state)
{
	struct tar_member m = file_named("a/file");
	m.size = UINT64_C(1) << 33;
	m.uid = 2097152;
	m.gid = UINT32_MAX - 1;
	CLEANUP(cleanup_free) uint8_t *h = written(&m, 3 * 512);
	assert_pax(h, "19 size=8589934592\n15 uid=2097152\n18 gid=4294967294\n");
	struct expected want = plain;
	want.size = "00000000000";
	assert_ustar(h + 1024, &want);
	m.size--;
	m.uid = 2097151;
	m.gid = 1;
	CLEANUP(cleanup_free) uint8_t *fits = written(&m, 512);
	want.size = "77777777777";
	want.uid = "7777777";
	want.gid = "0000001";
	assert_ustar(fits, &want);
}

/* 99 bytes of record would be "99 ", which makes it 99; a hundred need a third digit. */
static void the_length_of_a_record_counts_itself(void **state)
{
	for (size_t value = 80; value < 100; value++) {
		CLEANUP(cleanup_free) char *text = text_of(value, 'v', "");
		struct xattr x = {"user.a", 6, text, value};
		struct xattrs *all;
		assert_int_equal(xattrs_build(&x, 1, &all), 0);
		struct tar_member m = file_named("a/file");
		m.xattrs = all;
		CLEANUP(cleanup_free) uint8_t *h = written(&m, 3 * 512);
		char *end;
		unsigned long len = strtoul((char *)h + 512, &end, 10);
		assert_int_equal(*end, ' ');
		assert_int_equal(((char *)h)[512 + len - 1], '\n');
		assert_int_equal(h[512 + len], 0);
		free(all);
	}
}

static void xattrs_are_records_sorted_by_name(void **state)
{
	struct xattr list[] = {
		{"user.b=c%", 9, "1", 1},
		{"user.a", 6, "v\n\0w", 4},
		{"user.", 5, "", 0},
	};
	struct xattrs *all;
	assert_int_equal(xattrs_build(list, 3, &all), 0);
	struct tar_member m = file_named("a/file");
	m.xattrs = all;
	static const char records[] = "23 SCHILY.xattr.user.=\n"
				      "28 SCHILY.xattr.user.a=v\n\0w\n"
				      "32 SCHILY.xattr.user.b%3Dc%25=1\n";
	CLEANUP(cleanup_free) uint8_t *h = written(&m, 3 * 512);
	assert_extra(h, 'x', "././@PaxHeader", records, sizeof(records) - 1);
	free(all);
}

static void a_hard_link_says_only_its_names(void **state)
{
	struct xattr x = {"user.a", 6, "1", 1};
	struct xattrs *all;
	assert_int_equal(xattrs_build(&x, 1, &all), 0);
	struct tar_member m = file_named("a/file");
	m.type = TAR_HARD_LINK;
	m.size = 0;
	m.mtime_ns = 5;
	m.uid = UINT32_MAX - 1;
	m.target = "a/first";
	m.target_len = 7;
	m.xattrs = all;
	CLEANUP(cleanup_free) uint8_t *h = written(&m, 512);
	struct expected want = plain;
	want.size = "00000000000";
	want.type = '1';
	want.link = "a/first";
	assert_ustar(h, &want);
	free(all);
}

static void what_no_reader_takes_is_refused(void **state)
{
	static char value[65536];
	struct xattr list[16];
	char names[16][8];
	for (int i = 0; i < 16; i++) {
		snprintf(names[i], sizeof(names[i]), "user.%02d", i);
		list[i] = (struct xattr){names[i], 7, value, 65521};
	}
	struct xattrs *all;
	assert_int_equal(xattrs_build(list, 16, &all), 0);
	struct tar_member m = file_named("a/file");
	m.xattrs = all;
	size_t len;
	assert_int_equal(tar_header_size(&m, &len), -E2BIG);
	free(all);
	CLEANUP(cleanup_free) char *path = text_of(TAR_EXTRA_MAX - 1, '\xe9', "\xe9");
	m = file_named(path);
	assert_int_equal(tar_header_size(&m, &len), -E2BIG);
	m.path_len--;
	assert_int_equal(tar_header_size(&m, &len), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_plain_file_is_one_block),
		cmocka_unit_test(other_types_have_no_size),
		cmocka_unit_test(links_have_targets),
		cmocka_unit_test(bytes_over_0x7f_stand_in_the_fields),
		cmocka_unit_test(a_hundred_bytes_still_fit),
		cmocka_unit_test(a_longer_path_is_cut_at_the_last_slash_within_reach),
		cmocka_unit_test(the_slash_of_a_directory_is_no_place_to_cut),
		cmocka_unit_test(the_largest_prefix_and_name),
		cmocka_unit_test(long_ascii_names_are_records),
		cmocka_unit_test(other_long_names_are_members_of_their_own),
		cmocka_unit_test(times_that_do_not_fit_are_records),
		cmocka_unit_test(the_last_second_that_fits),
		cmocka_unit_test(large_numbers_are_records),
		cmocka_unit_test(the_length_of_a_record_counts_itself),
		cmocka_unit_test(xattrs_are_records_sorted_by_name),
		cmocka_unit_test(a_hard_link_says_only_its_names),
		cmocka_unit_test(what_no_reader_takes_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
