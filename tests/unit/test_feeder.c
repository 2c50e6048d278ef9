#include "tests/unit/test.h"

#include <string.h>

#include "fs/feeder.h"
#include "fs/inode.h"
#include "tests/unit/shelf.h"

/* --- the kernel's part: keeps what it is given ---------------------------------------- */

#define GIFTS 64

static struct {
	struct {
		uint64_t inode;
		char text[16];
	} gifts[GIFTS];
	unsigned count;
} kernel;

static void on_store(void *arg, uint64_t inode, const void *data, size_t len)
{
	assert_in_range(len, 1, sizeof(kernel.gifts[0].text) - 1);
	kernel.gifts[kernel.count].inode = inode;
	memcpy(kernel.gifts[kernel.count].text, data, len);
	kernel.gifts[kernel.count++].text[len] = '\0';
}

static bool help;

static bool on_help(void *arg)
{
	return help;
}

/* --- a generation: a directory of small files, cut into two frames -------------------- */

struct fixture {
	struct shelf shelf;
	struct opened k;
	struct generation *g; /* k's */
	struct feeder feeder;
	uint32_t dir, files[6];
};

static const char *const names[6] = {"d/a", "d/b", "d/c", "d/e", "d/f", "d/g"};
static const char *const texts[6] = {"ay", "bee", "sea", "", "eff", "gee"};

/* Each member takes 1,024 bytes; the empty one 512. So c is the last in the first frame. */
static void put(struct fixture *f)
{
	CLEANUP(cleanup_builder) struct archive_builder *b = builder_new();
	b->cut = 512 + 512 + 3 * 1024;
	builder_dir(b, "d");
	for (unsigned i = 0; i < 6; i++)
		builder_file(b, names[i], texts[i], strlen(texts[i]));
	builder_link(b, "d/h", "d/g");
	builder_lay(b);
	for (unsigned i = 0; i < 6; i++)
		f->files[i] = builder_number(b, names[i]);
	f->dir = builder_number(b, "d");
	shelf_put(&f->shelf, "k", b);
}

static void fixture_init(struct fixture *f)
{
	feeder_init(&f->feeder);
	f->feeder.store = on_store;
	f->feeder.has_help = on_help;
	help = true;
	kernel.count = 0;
	shelf_init(&f->shelf);
	put(f);
	shelf_open(&f->shelf, "k", &f->k);
	f->g = f->k.g;
}

static void fixture_finish(struct fixture *f)
{
	feeder_finish(&f->feeder);
	opened_close(&f->k);
	shelf_finish(&f->shelf);
}

/* What a handler of reads does. */
static void read_file(struct fixture *f, unsigned file)
{
	char text[16];
	size_t got;
	assert_int_equal(reader_read(generation_reader(f->g), CALL_PATIENT,
				 f->files[file], 0, sizeof(text), text, &got, NULL),
		0);
	feeder_read(&f->feeder, f->g, f->files[file]);
}

static void expect_given(const struct fixture *f, unsigned file)
{
	uint64_t inode = inode_make(generation_slot(f->g), f->files[file]);
	unsigned found = 0;
	for (unsigned i = 0; i < kernel.count; i++) {
		if (kernel.gifts[i].inode != inode)
			continue;
		assert_string_equal(kernel.gifts[i].text, texts[file]);
		found++;
	}
	assert_int_equal(found, 1);
}

static void a_read_brings_what_shares_its_frame(void **state)
{
	static struct fixture f;
	fixture_init(&f);
	marks_set(generation_marks(f.g), f.dir);
	read_file(&f, 1);
	assert_int_equal(kernel.count, 2);
	expect_given(&f, 0);
	expect_given(&f, 2);
	fixture_finish(&f);
}

/* How well readers are served is told by what they ask for. */
static void what_is_given_is_no_hit(void **state)
{
	static struct fixture f;
	struct reader_stats s;
	fixture_init(&f);
	marks_set(generation_marks(f.g), f.dir);
	read_file(&f, 1);
	assert_int_equal(kernel.count, 2);
	reader_stats(generation_reader(f.g), &s);
	assert_int_equal(s.hits, 0);
	read_file(&f, 1);
	reader_stats(generation_reader(f.g), &s);
	assert_int_equal(s.hits, 1);
	fixture_finish(&f);
}

static void nothing_is_given_twice(void **state)
{
	static struct fixture f;
	fixture_init(&f);
	marks_set(generation_marks(f.g), f.dir);
	read_file(&f, 0);
	read_file(&f, 1);
	marks_set(generation_marks(f.g), f.dir);
	read_file(&f, 4);
	assert_int_equal(kernel.count, 3);
	expect_given(&f, 5);
	fixture_finish(&f);
}

static void who_does_not_list_is_fed_nothing(void **state)
{
	static struct fixture f;
	fixture_init(&f);
	read_file(&f, 0);
	read_file(&f, 4);
	assert_int_equal(kernel.count, 0);
	fixture_finish(&f);
}

/* Its inodes are told for one use each. */
static void a_retired_generation_is_not_fed(void **state)
{
	static struct fixture f;
	fixture_init(&f);
	marks_set(generation_marks(f.g), f.dir);
	generation_retire(f.g);
	read_file(&f, 0);
	assert_int_equal(kernel.count, 0);
	fixture_finish(&f);
}

/* Who else would answer what it may have to wait for? */
static void without_help_nothing_is_fed(void **state)
{
	static struct fixture f;
	fixture_init(&f);
	marks_set(generation_marks(f.g), f.dir);
	help = false;
	read_file(&f, 0);
	assert_int_equal(kernel.count, 0);
	help = true;
	read_file(&f, 1);
	assert_int_equal(kernel.count, 1);
	assert_int_equal(f.feeder.busy, 0);
	fixture_finish(&f);
}

/* Who feeds may wait for a read that is queued at the gate. */
static void most_places_at_the_gate_are_left_to_others(void **state)
{
	static struct fixture f;
	fixture_init(&f);
	marks_set(generation_marks(f.g), f.dir);
	f.feeder.busy = FEEDERS_MOST;
	read_file(&f, 0);
	assert_int_equal(kernel.count, 0);
	f.feeder.busy = FEEDERS_MOST - 1;
	read_file(&f, 1);
	assert_int_equal(kernel.count, 1);
	f.feeder.busy = 0;
	fixture_finish(&f);
}

static void after_the_stop_nothing_is_fed(void **state)
{
	static struct fixture f;
	fixture_init(&f);
	marks_set(generation_marks(f.g), f.dir);
	feeder_stop(&f.feeder);
	read_file(&f, 0);
	assert_int_equal(kernel.count, 0);
	fixture_finish(&f);
}

/* Its inode is the one whose page the read has locked. */
static void another_name_of_what_is_read_is_left_out(void **state)
{
	static struct fixture f;
	fixture_init(&f);
	marks_set(generation_marks(f.g), f.dir);
	read_file(&f, 5); /* h is a hard link of it */
	assert_int_equal(kernel.count, 1);
	expect_given(&f, 4);
	fixture_finish(&f);
}

static void prefetch(struct fixture *f, unsigned file)
{
	const struct index *ix = generation_index(f->g);
	uint64_t begin;
	uint32_t frame = index_frame_at(ix, index_place(ix, f->files[file]), &begin);
	assert_int_equal(reader_prefetch(generation_reader(f->g), CALL_PATIENT, frame, 1,
				 true, NULL),
		0);
}

/* What was read ahead of the listing needs no read at all. */
static void the_end_of_a_listing_brings_what_is_decoded(void **state)
{
	static struct fixture f;
	fixture_init(&f);
	prefetch(&f, 4);
	feeder_listed(&f.feeder, f.g, f.dir); /* whose inodes nobody was told */
	assert_int_equal(kernel.count, 0);
	marks_set(generation_marks(f.g), f.dir);
	feeder_listed(&f.feeder, f.g, f.dir);
	assert_int_equal(kernel.count, 2);
	expect_given(&f, 4);
	expect_given(&f, 5);
	prefetch(&f, 0);
	feeder_listed(&f.feeder, f.g, f.dir);
	assert_int_equal(kernel.count, 5);
	fixture_finish(&f);
}

static void without_a_session_nothing_is_fed(void **state)
{
	static struct fixture f;
	fixture_init(&f);
	f.feeder.store = NULL;
	marks_set(generation_marks(f.g), f.dir);
	read_file(&f, 0);
	assert_int_equal(kernel.count, 0);
	fixture_finish(&f);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_read_brings_what_shares_its_frame),
		cmocka_unit_test(what_is_given_is_no_hit),
		cmocka_unit_test(nothing_is_given_twice),
		cmocka_unit_test(who_does_not_list_is_fed_nothing),
		cmocka_unit_test(a_retired_generation_is_not_fed),
		cmocka_unit_test(without_help_nothing_is_fed),
		cmocka_unit_test(most_places_at_the_gate_are_left_to_others),
		cmocka_unit_test(after_the_stop_nothing_is_fed),
		cmocka_unit_test(another_name_of_what_is_read_is_left_out),
		cmocka_unit_test(the_end_of_a_listing_brings_what_is_decoded),
		cmocka_unit_test(without_a_session_nothing_is_fed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
