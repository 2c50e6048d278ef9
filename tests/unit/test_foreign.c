#include "archive/archive_open.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive/foreign.h"
#include "archive/format.h"
#include "archive/reader.h"
#include "tests/unit/foreign_builder.h"
#include "tests/unit/scratch.h"
#include "tests/unit/scripted_source.h"

#define MIB (1u << 20)
#define BIG (MIB + 77)

/* An object in memory, and what became of it. */
struct world {
	unsigned char *bytes; /* owned */
	size_t len;
	size_t tail_len; /* that came with the opening */
	struct scripted_source source;
	struct scratch cache;
	uint64_t cache_size;
	struct archive *archive;
	struct range_source *local;
	struct range_source *verified;
	struct reader *reader;
	char warnings[16384];
	struct error e;
};

static void on_warning(void *arg, const char *sentence)
{
	struct world *w = arg;
	strncat(w->warnings, sentence, sizeof(w->warnings) - strlen(w->warnings) - 2);
	strcat(w->warnings, "\n");
}

static void world_init(struct world *w, const char *format, const char *filter,
	const char *options, const struct member *members)
{
	*w = (struct world){.cache = scratch_new()};
	w->bytes = foreign_build(format, filter, options, members, &w->len);
	scripted_init(&w->source, w->bytes, w->len);
	w->tail_len = w->len < 4096 ? w->len : 4096;
}

static int open_world(struct world *w, const struct call *call)
{
	const struct archive_opening o = {
		.source = &w->source.base,
		.tail = w->bytes + w->len - w->tail_len,
		.tail_len = w->tail_len,
		.name = "the-key",
		.cache_dir = w->cache.path,
		.cache_size = w->cache_size,
		.origin = {{1, 2, 3}},
		.warn = on_warning,
		.arg = w,
	};
	struct chunk_table table;
	int r = archive_open_any(&o, call, &w->archive, &w->local, &w->e);
	if (r < 0)
		return r;
	archive_chunks(w->archive, &table);
	assert_int_equal(chunk_source_new(w->local ? w->local : &w->source.base, &table,
				 NULL, "the-key", &w->verified, &w->e),
		0);
	assert_int_equal(reader_new(w->archive, w->verified, 64 * MIB, &w->reader), 0);
	return 0;
}

static void close_world(struct world *w)
{
	reader_free(steal_pointer(w->reader));
	range_source_free(steal_pointer(w->verified));
	range_source_free(steal_pointer(w->local));
	archive_free(steal_pointer(w->archive));
}

static void world_finish(struct world *w)
{
	close_world(w);
	scripted_finish(&w->source);
	scratch_finish(&w->cache);
	free(w->bytes);
}

static void open_well(struct world *w)
{
	int r = open_world(w, CALL_PATIENT);
	if (r < 0)
		fail_msg("%d: %s", r, w->e.text);
}

static uint32_t find(const struct world *w, const char *path)
{
	uint32_t entry;
	assert_int_equal(index_find(archive_index(w->archive), path, &entry), 0);
	return entry;
}

static bool is_missing(const struct world *w, const char *path)
{
	uint32_t entry;
	return index_find(archive_index(w->archive), path, &entry) < 0;
}

static void expect_content(struct world *w, const char *path, const char *wanted)
{
	char got[256];
	size_t len;
	assert_int_equal(reader_read(w->reader, CALL_PATIENT, find(w, path), 0,
				 sizeof(got) - 1, got, &len, &w->e),
		0);
	got[len] = '\0';
	assert_string_equal(got, wanted);
}

static void expect_random(
	struct world *w, const char *path, const char *made_as, uint64_t size)
{
	static unsigned char got[MIB];
	for (uint64_t at = 0; at < size;) {
		size_t len;
		assert_int_equal(reader_read(w->reader, CALL_PATIENT, find(w, path), at,
					 sizeof(got), got, &len, &w->e),
			0);
		assert_true(len > 0);
		for (size_t i = 0; i < len; i++)
			if (got[i] != foreign_byte(made_as, at + i))
				fail_msg("byte %zu of '%s'", (size_t)at + i, path);
		at += len;
	}
}

static unsigned count_kept(const struct world *w)
{
	DIR *dir = opendir(scratch_path(&w->cache, "converted"));
	unsigned count = 0;
	struct dirent *d;
	while (dir && (d = readdir(dir)))
		count += d->d_name[0] != '.';
	if (dir)
		closedir(dir);
	return count;
}

static const struct member ordinary[] = {
	{"dir", 'd', 0750, .mtime_s = 1000},
	{"dir/file", '-', 0640, .content = "hello", .mtime_s = 2000},
	{"dir/link", 'l', .link = "../x y"},
	{"run", '-', 0755, .content = "#!"},
	{"empty", '-'},
	{"big", '-', .size = BIG},
	{NULL},
};

static void expect_ordinary(const char *format, const char *filter)
{
	CLEANUP(world_finish) struct world w;
	struct entry_info info;
	world_init(&w, format, filter, NULL, ordinary);
	open_well(&w);
	expect_content(&w, "dir/file", "hello");
	expect_content(&w, "run", "#!");
	expect_content(&w, "empty", "");
	expect_random(&w, "big", "big", BIG);
	const struct index *ix = archive_index(w.archive);
	index_info(ix, find(&w, "dir/file"), &info);
	assert_int_equal(info.mode, S_IFREG | 0640);
	assert_int_equal(info.mtime.tv_sec, 2000);
	index_info(ix, find(&w, "dir"), &info);
	assert_int_equal(info.mode, S_IFDIR | 0750);
	size_t len;
	const char *target = index_target(ix, find(&w, "dir/link"), &len);
	assert_int_equal(len, 6);
	assert_memory_equal(target, "../x y", 6);
	uint8_t(*digests)[16];
	assert_int_equal(
		archive_content_digests(w.archive, w.local, CALL_PATIENT, &digests, &w.e),
		0);
	struct digest hello;
	digest_of("hello", 5, &hello);
	assert_memory_equal(digests[find(&w, "dir/file")], hello.bytes, 16);
	free(digests);
	assert_string_equal(w.warnings, "");
}

static void every_kind_is_read(void **state)
{
	(void)state;
	expect_ordinary("pax", "gzip");
	expect_ordinary("gnutar", "zstd");
	expect_ordinary("ustar", "xz");
	expect_ordinary("pax", "lz4");
	expect_ordinary("pax", "bzip2");
	expect_ordinary("pax", "none");
	expect_ordinary("zip", "none");
}

static void names_go_by_the_rule(void **state)
{
	(void)state;
	CLEANUP(world_finish) struct world w;
	world_init(&w, "pax", "gzip", NULL,
		(const struct member[]){
			{"../../up/a", '-', .content = "a"},
			{"/abs/b", '-', .content = "b"},
			{"x/../c", '-', .content = "c"},
			{"twice", '-', .content = "first"},
			{"./twice", '-', .content = "second"},
			{"f", '-', .content = "f"},
			{"f/below", '-', .content = "no"},
			{"pipe", 'p'},
			{NULL},
		});
	open_well(&w);
	expect_content(&w, "up/a", "a");
	expect_content(&w, "abs/b", "b");
	expect_content(&w, "twice", "second");
	expect_content(&w, "f", "f");
	assert_true(is_missing(&w, "c") && is_missing(&w, "pipe"));
	assert_non_null(strstr(w.warnings, "'x/../c' of 'the-key' is left out"));
	assert_non_null(strstr(w.warnings, "'f/below' of 'the-key' is left out"));
	assert_non_null(strstr(w.warnings, "'pipe' of 'the-key' is left out"));
}

/* One such member does not take the others with it. */
static void what_lies_too_deep_is_left_out(void **state)
{
	(void)state;
	char deep[2 * DEPTH_LIMIT + 2] = "d";
	for (size_t i = 0; i < DEPTH_LIMIT; i++)
		strcpy(deep + 1 + 2 * i, "/d");
	CLEANUP(world_finish) struct world w;
	world_init(&w, "pax", "gzip", NULL,
		(const struct member[]){
			{deep, 'd'},
			{deep + 2, '-', .content = "deepest"},
			{"a", '-', .content = "a"},
			{NULL},
		});
	open_well(&w);
	expect_content(&w, "a", "a");
	assert_non_null(strstr(w.warnings, "it lies below too many directories"));
	assert_int_equal(index_count(archive_index(w.archive)), DEPTH_LIMIT + 2);
}

static void bytes_of_names_are_kept(void **state)
{
	(void)state;
	CLEANUP(world_finish) struct world w;
	world_init(&w, "gnutar", "gzip", NULL,
		(const struct member[]){
			{"nai\xcc\x88ve", '-', .content = "decomposed"},
			{"raw\xff\xfe", '-', .content = "raw"},
			{NULL},
		});
	open_well(&w);
	expect_content(&w, "nai\xcc\x88ve", "decomposed");
	expect_content(&w, "raw\xff\xfe", "raw");
}

static void hard_links_are_one_inode(void **state)
{
	(void)state;
	CLEANUP(world_finish) struct world w;
	world_init(&w, "gnutar", "gzip", NULL,
		(const struct member[]){
			{"../z", '-', .content = "linked"},
			{"a", 'h', .link = "../../z"},
			{"dangling", 'h', .link = "nothing"},
			{NULL},
		});
	open_well(&w);
	expect_content(&w, "a", "linked");
	struct entry_info info;
	index_info(archive_index(w.archive), find(&w, "z"), &info);
	assert_int_equal(info.nlink, 2);
	assert_true(is_missing(&w, "dangling"));
	assert_non_null(strstr(w.warnings, "'dangling'"));
}

static void attributes_are_kept_but_set_id(void **state)
{
	(void)state;
	CLEANUP(world_finish) struct world w;
	struct entry_info info;
	world_init(&w, "pax", "gzip", NULL,
		(const struct member[]){
			{"suid", '-', 06755, .content = "s", .mtime_s = 5, .mtime_ns = 7,
				.xattr = "value"},
			{NULL},
		});
	open_well(&w);
	const struct index *ix = archive_index(w.archive);
	index_info(ix, find(&w, "suid"), &info);
	assert_int_equal(info.mode, S_IFREG | 0755);
	assert_int_equal(info.mtime.tv_nsec, 7);
	size_t cursor = 0, name_len, value_len;
	const char *name;
	const void *value;
	assert_true(index_xattr_next(
		ix, find(&w, "suid"), &cursor, &name, &name_len, &value, &value_len));
	assert_int_equal(name_len, 9);
	assert_memory_equal(value, "value", 5);
}

static void holes_are_zeros(void **state)
{
	(void)state;
	CLEANUP(world_finish) struct world w;
	char got[16];
	size_t len;
	world_init(&w, "pax", "none", NULL,
		(const struct member[]){
			{"s", '-', .content = "end", .hole = 12 * MIB,
				.size = 12 * MIB + 3},
			{NULL},
		});
	open_well(&w);
	assert_int_equal(reader_read(w.reader, CALL_PATIENT, find(&w, "s"), 6 * MIB,
				 sizeof(got), got, &len, &w.e),
		0);
	assert_memory_equal(got, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16);
	struct entry_info info;
	index_info(archive_index(w.archive), find(&w, "s"), &info);
	assert_int_equal(info.size, 12 * MIB + 3);
}

static void expect_refusal(struct world *w, int code, const char *words)
{
	assert_int_equal(open_world(w, CALL_PATIENT), code);
	assert_int_equal(w->e.code, code);
	assert_non_null(strstr(w->e.text, "'the-key'"));
	if (!strstr(w->e.text, words))
		fail_msg("%s", w->e.text);
	assert_int_equal(count_kept(w), 0);
}

static void a_bomb_is_refused(void **state)
{
	(void)state;
	CLEANUP(world_finish) struct world w;
	world_init(&w, "pax", "gzip", NULL,
		(const struct member[]){
			{"s", '-', .content = "x", .hole = UINT64_C(1) << 50,
				.size = (UINT64_C(1) << 50) + 1},
			{NULL},
		});
	expect_refusal(&w, -EBADMSG, "a thousand times");
}

/* Equal targets compress so well that the index counts as a bomb. */
static void nothing_is_kept_that_cannot_be_read(void **state)
{
	(void)state;
	enum { LINKS = 400 };
	char target[4000], names[LINKS][4];
	struct member links[LINKS + 1] = {0};
	memset(target, 'x', sizeof(target) - 1);
	target[sizeof(target) - 1] = '\0';
	for (int i = 0; i < LINKS; i++) {
		snprintf(names[i], sizeof(names[i]), "%d", i);
		links[i] = (struct member){names[i], 'l', .link = target};
	}
	CLEANUP(world_finish) struct world w;
	world_init(&w, "pax", "gzip", NULL, links);
	expect_refusal(&w, -EBADMSG, "the index would grow");
}

static void the_limit_of_the_cache_holds(void **state)
{
	(void)state;
	CLEANUP(world_finish) struct world w;
	world_init(&w, "pax", "gzip", NULL, ordinary);
	w.cache_size = MIB / 2;
	expect_refusal(&w, -EDQUOT, "--cache-size");
}

static void what_is_cut_off_is_refused(void **state)
{
	(void)state;
	static const char *const filters[] = {"gzip", "zstd", "xz", "lz4", "none"};
	for (size_t i = 0; i < 5; i++) {
		CLEANUP(world_finish) struct world w;
		world_init(&w, "pax", filters[i], NULL, ordinary);
		w.len -= MIB / 2;
		w.source.base.size = w.len;
		expect_refusal(&w, -EBADMSG, "cut off");
	}
}

/* The compressed size in the header of the zip's one member, in `header` and `at` there. */
static void forget_size(struct world *w, const char *header, size_t at)
{
	unsigned char *found = memmem(w->bytes, w->len, header, 4);
	assert_non_null(found);
	memset(found + at, 0, 4);
}

/* No zeros stand for what it lacks. */
static void a_zip_with_less_than_it_says_is_refused(void **state)
{
	(void)state;
	CLEANUP(world_finish) struct world w;
	world_init(&w, "zip", "none", "compression=store",
		(const struct member[]){
			{"a", '-', .content = "hello"},
			{NULL},
		});
	forget_size(&w, "PK\3\4", 18);
	forget_size(&w, "PK\1\2", 20);
	expect_refusal(&w, -EBADMSG, "shorter than it says");
}

static void other_things_are_refused(void **state)
{
	(void)state;
	CLEANUP(world_finish) struct world w;
	world_init(&w, "pax", "gzip", NULL, ordinary);
	memset(w.bytes, 0x55, w.len);
	expect_refusal(&w, -EBADMSG, "neither");
}

static void failures_of_the_store_are_its_own(void **state)
{
	(void)state;
	CLEANUP(world_finish) struct world w;
	world_init(&w, "pax", "gzip", NULL, ordinary);
	scripted_fail(&w.source, -EIO, 100);
	assert_int_equal(open_world(&w, CALL_PATIENT), -EIO);
	assert_non_null(strstr(w.e.text, "scripted"));
	assert_int_equal(count_kept(&w), 0);
}

static void a_call_can_end_it(void **state)
{
	(void)state;
	CLEANUP(world_finish) struct world w;
	world_init(&w, "pax", "gzip", NULL, ordinary);
	scripted_hold(&w.source);
	const struct call late = {.deadline_ns = clock_monotonic_ns() + NS_PER_MS};
	assert_int_equal(open_world(&w, &late), -ETIMEDOUT);
	assert_int_equal(count_kept(&w), 0);
}

static void the_second_time_nothing_is_read(void **state)
{
	(void)state;
	CLEANUP(world_finish) struct world w;
	world_init(&w, "pax", "gzip", NULL, ordinary);
	open_well(&w);
	struct digest first = *archive_identity(w.archive);
	unsigned reads = scripted_reads(&w.source);
	close_world(&w);
	open_well(&w);
	expect_content(&w, "dir/file", "hello");
	assert_int_equal(scripted_reads(&w.source), reads);
	assert_true(digest_equal(&first, archive_identity(w.archive)));
	assert_int_equal(count_kept(&w), 1);
}

static void the_same_content_has_the_same_identity(void **state)
{
	(void)state;
	CLEANUP(world_finish) struct world a;
	CLEANUP(world_finish) struct world b;
	world_init(&a, "pax", "gzip", NULL, ordinary);
	world_init(&b, "pax", "zstd", NULL, ordinary);
	open_well(&a);
	open_well(&b);
	assert_true(
		digest_equal(archive_identity(a.archive), archive_identity(b.archive)));
}

/* The path of the one file that was kept. */
static const char *kept(const struct world *w)
{
	DIR *dir = opendir(scratch_path(&w->cache, "converted"));
	char path[512] = "";
	struct dirent *d;
	while ((d = readdir(dir)))
		if (d->d_name[0] != '.')
			snprintf(path, sizeof(path), "converted/%s", d->d_name);
	closedir(dir);
	return scratch_path(&w->cache, path);
}

/* Writes over a byte of the one file that was kept, at, or from its end. */
static void damage_kept(const struct world *w, long at, int whence)
{
	FILE *f = fopen(kept(w), "r+");
	assert_non_null(f);
	fseek(f, at, whence);
	int c = fgetc(f);
	fseek(f, -1, SEEK_CUR);
	fputc(c ^ 0x55, f);
	fclose(f);
}

static void what_was_kept_and_damaged_is_made_anew(void **state)
{
	(void)state;
	for (long at = 1; at < 400; at += 97) {
		CLEANUP(world_finish) struct world w;
		world_init(&w, "pax", "gzip", NULL, ordinary);
		open_well(&w);
		close_world(&w);
		damage_kept(&w, -at, SEEK_END);
		open_well(&w);
		expect_content(&w, "dir/file", "hello");
		expect_random(&w, "big", "big", BIG);
	}
}

/* A frame is looked at when it is read: whoever meets the damage fails, the next does
 * not. */
static void a_kept_frame_that_is_damaged_is_made_anew(void **state)
{
	(void)state;
	CLEANUP(world_finish) struct world w;
	world_init(&w, "pax", "gzip", NULL, ordinary);
	open_well(&w);
	close_world(&w);
	damage_kept(&w, 100, SEEK_SET);
	open_well(&w);
	static char content[BIG];
	size_t len;
	int small = reader_read(w.reader, CALL_PATIENT, find(&w, "dir/file"), 0, BIG,
		content, &len, &w.e);
	int big = small < 0 ? small
			    : reader_read(w.reader, CALL_PATIENT, find(&w, "big"), 0, BIG,
				      content, &len, &w.e);
	assert_int_equal(big, -EBADMSG);
	assert_non_null(strstr(w.e.text, "the next opening converts it anew"));
	assert_int_equal(scratch_count(&w.cache, "converted"), 0);
	close_world(&w);
	open_well(&w);
	expect_content(&w, "dir/file", "hello");
	expect_random(&w, "big", "big", BIG);
}

static void kept_digests_that_are_damaged_are_made_anew(void **state)
{
	(void)state;
	CLEANUP(world_finish) struct world w;
	uint8_t(*digests)[16] = NULL;
	struct outer_section section;
	world_init(&w, "pax", "gzip", NULL, ordinary);
	open_well(&w);
	assert_int_equal(
		index_outer(archive_index(w.archive), OUTER_CONTENT_DIGESTS, &section),
		0);
	close_world(&w);
	damage_kept(&w, (long)section.offset + 7, SEEK_SET);
	open_well(&w);
	assert_int_equal(archive_content_digests(
				 w.archive, w.local, CALL_PATIENT, &digests, &w.e),
		-EBADMSG);
	assert_int_equal(scratch_count(&w.cache, "converted"), 0);
}

static void what_took_the_place_of_the_damaged_stays(void **state)
{
	(void)state;
	CLEANUP(world_finish) struct world w;
	world_init(&w, "pax", "gzip", NULL, ordinary);
	open_well(&w);
	close_world(&w);
	const char *path = kept(&w);
	assert_int_equal(rename(path, scratch_path(&w.cache, "good")), 0);
	open_well(&w);
	close_world(&w);
	damage_kept(&w, 100, SEEK_SET);
	open_well(&w);
	assert_int_equal(rename(scratch_path(&w.cache, "good"), path), 0);
	range_source_condemn(w.local, &w.e);
	assert_int_equal(w.e.code, -EBADMSG);
	close_world(&w);
	unsigned reads = scripted_reads(&w.source);
	open_well(&w);
	expect_random(&w, "big", "big", BIG);
	assert_int_equal(scripted_reads(&w.source), reads);
}

/* The one that reads the directory is counted each time. */
static unsigned count_descriptors(void)
{
	unsigned n = 0;
	DIR *dir = opendir("/proc/self/fd");
	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* A mount has many open. */
static void what_was_converted_holds_one_descriptor(void **state)
{
	(void)state;
	CLEANUP(world_finish) struct world w;
	world_init(&w, "pax", "gzip", NULL, ordinary);
	unsigned before = count_descriptors();
	open_well(&w);
	assert_int_equal(count_descriptors(), before + 1);
	close_world(&w);
	open_well(&w);
	assert_int_equal(count_descriptors(), before + 1);
}

#define DIGITS "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

/* Files in the place of what was converted, each as large as all may be together. */
static void lay(const struct world *w, const char *const *names)
{
	for (; *names; names++) {
		scratch_write(&w->cache, *names, "");
		assert_int_equal(
			truncate(scratch_path(&w->cache, *names), (off_t)w->cache_size),
			0);
	}
}

static unsigned count_laid(const struct world *w, const char *const *names)
{
	unsigned count = 0;
	for (; *names; names++)
		count += access(scratch_path(&w->cache, *names), F_OK) == 0;
	return count;
}

static void room_is_made_of_what_was_kept_alone(void **state)
{
	(void)state;
	static const char *const ours[] = {"converted/" DIGITS ".larder",
		"converted/" DIGITS ".index", "converted/" DIGITS ".draft", NULL};
	static const char *const others[] = {"converted/thesis.pdf",
		"converted/thesis.draft", "converted/" DIGITS ".pdf",
		"converted/x" DIGITS ".larder", NULL};
	CLEANUP(world_finish) struct world w;
	world_init(&w, "pax", "gzip", NULL, ordinary);
	w.cache_size = 64 * MIB;
	lay(&w, ours);
	lay(&w, others);
	open_well(&w);
	assert_int_equal(count_laid(&w, ours), 0);
	assert_int_equal(count_laid(&w, others), 4);
	expect_content(&w, "dir/file", "hello");
}

static void nothing_is_kept_in_a_folder_of_other_things(void **state)
{
	(void)state;
	CLEANUP(world_finish) struct world w;
	world_init(&w, "pax", "gzip", NULL, ordinary);
	scratch_write(&w.cache, "thesis.pdf", "");
	open_well(&w);
	expect_content(&w, "dir/file", "hello");
	assert_int_equal(access(scratch_path(&w.cache, "converted"), F_OK), -1);
	assert_int_equal(scratch_count(&w.cache, ""), 1);
}

static const struct member large[] = {
	{"d/a", '-', .size = 7 * MIB + 5},
	{"d/b", '-', .size = 9 * MIB},
	{"small", '-', .content = "small"},
	{"d/c", '-', .size = 8 * MIB + 1},
	{"last", '-', .content = "last"},
	{NULL},
};

static void a_plain_tar_is_read_where_it_is(void **state)
{
	(void)state;
	CLEANUP(world_finish) struct world w;
	world_init(&w, "pax", "none", NULL, large);
	open_well(&w);
	assert_null(w.local);
	uint64_t fetched = 0;
	for (unsigned i = 0; i < scripted_reads(&w.source); i++)
		fetched += w.source.log[i].len;
	assert_true(fetched < 2 * MIB);
	expect_content(&w, "small", "small");
	expect_content(&w, "last", "last");
	expect_random(&w, "d/a", "d/a", 7 * MIB + 5);
	expect_random(&w, "d/c", "d/c", 8 * MIB + 1);
	unsigned reads = scripted_reads(&w.source);
	close_world(&w);
	open_well(&w);
	assert_int_equal(scripted_reads(&w.source), reads);
	expect_random(&w, "d/b", "d/b", 9 * MIB);
}

static void a_plain_tar_that_is_cut_off_is_refused(void **state)
{
	(void)state;
	CLEANUP(world_finish) struct world w;
	world_init(&w, "pax", "none", NULL, large);
	w.len -= 4 * MIB;
	w.source.base.size = w.len;
	expect_refusal(&w, -EBADMSG, "cut off");
}

static void a_damaged_index_of_a_plain_tar_is_made_anew(void **state)
{
	(void)state;
	CLEANUP(world_finish) struct world w;
	world_init(&w, "pax", "none", NULL, large);
	open_well(&w);
	close_world(&w);
	damage_kept(&w, -30, SEEK_END);
	open_well(&w);
	expect_content(&w, "small", "small");
}

static void many_small_files_are_converted(void **state)
{
	(void)state;
	CLEANUP(world_finish) struct world w;
	static struct member members[20001];
	static char names[20000][16];
	for (unsigned i = 0; i < 20000; i++) {
		snprintf(names[i], sizeof(names[i]), "d%u/f%u", i % 50, i);
		members[i] = (struct member){names[i], '-', .content = names[i]};
	}
	world_init(&w, "ustar", "none", NULL, members);
	open_well(&w);
	assert_non_null(w.local);
	expect_content(&w, "d7/f1007", "d7/f1007");
	expect_content(&w, "d49/f19999", "d49/f19999");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_is_read),
		cmocka_unit_test(names_go_by_the_rule),
		cmocka_unit_test(what_lies_too_deep_is_left_out),
		cmocka_unit_test(bytes_of_names_are_kept),
		cmocka_unit_test(hard_links_are_one_inode),
		cmocka_unit_test(attributes_are_kept_but_set_id),
		cmocka_unit_test(holes_are_zeros),
		cmocka_unit_test(a_bomb_is_refused),
		cmocka_unit_test(nothing_is_kept_that_cannot_be_read),
		cmocka_unit_test(the_limit_of_the_cache_holds),
		cmocka_unit_test(what_is_cut_off_is_refused),
		cmocka_unit_test(a_zip_with_less_than_it_says_is_refused),
		cmocka_unit_test(other_things_are_refused),
		cmocka_unit_test(failures_of_the_store_are_its_own),
		cmocka_unit_test(a_call_can_end_it),
		cmocka_unit_test(the_second_time_nothing_is_read),
		cmocka_unit_test(the_same_content_has_the_same_identity),
		cmocka_unit_test(what_was_kept_and_damaged_is_made_anew),
		cmocka_unit_test(a_kept_frame_that_is_damaged_is_made_anew),
		cmocka_unit_test(kept_digests_that_are_damaged_are_made_anew),
		cmocka_unit_test(what_took_the_place_of_the_damaged_stays),
		cmocka_unit_test(what_was_converted_holds_one_descriptor),
		cmocka_unit_test(a_plain_tar_is_read_where_it_is),
		cmocka_unit_test(a_plain_tar_that_is_cut_off_is_refused),
		cmocka_unit_test(a_damaged_index_of_a_plain_tar_is_made_anew),
		cmocka_unit_test(room_is_made_of_what_was_kept_alone),
		cmocka_unit_test(nothing_is_kept_in_a_folder_of_other_things),
		cmocka_unit_test(many_small_files_are_converted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
