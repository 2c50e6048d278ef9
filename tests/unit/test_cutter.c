#include "tests/unit/test.h"

#include <stdio.h>
#include <string.h>

#include "archive/cutter.h"
#include "archive/format.h"

static struct cut add(
	struct cutter *c, const char *path, uint64_t header, uint64_t content)
{
	return cutter_add(c, path, strlen(path), header, content);
}

/* Paths picked by the page's words, computed elsewhere: FNV-1a of "f0" to "f99", mixed.
 */
static void only_some_paths_cut(void **state)
{
	static const int cutting[] = {15, 27, 88, 93};
	size_t next = 0;
	for (int i = 0; i < 100; i++) {
		char path[8];
		snprintf(path, sizeof(path), "f%d", i);
		struct cutter c = {.held = FRAME_MIN};
		bool want =
			next < sizeof(cutting) / sizeof(cutting[0]) && cutting[next] == i;
		assert_int_equal(add(&c, path, 512, 0).before, want);
		assert_int_equal(c.held, want ? 512 : FRAME_MIN + 512);
		next += want;
	}
	assert_int_equal(next, sizeof(cutting) / sizeof(cutting[0]));
}

static void a_directory_cuts_once_there_is_enough(void **state)
{
	struct cutter c = {.held = FRAME_MIN - 1};
	assert_false(add(&c, "d/", 512, 0).before);
	assert_true(add(&c, "d/e/", 512, 0).before);
	assert_int_equal(c.held, 512);
}

static void nothing_cuts_an_empty_frame(void **state)
{
	struct cutter c = {0};
	assert_false(add(&c, "d/", FRAME_MAX + 512, 0).before);
	assert_int_equal(c.held, FRAME_MAX + 512);
}

static void no_frame_passes_the_most(void **state)
{
	struct cutter c = {.held = FRAME_MAX - 1024};
	/* 512 of header, 1 byte of content and its padding just fit */
	assert_false(add(&c, "a", 512, 1).before);
	assert_int_equal(c.held, FRAME_MAX);
	assert_true(add(&c, "a", 512, 0).before);
	assert_int_equal(c.held, 512);
}

static void a_large_file_ends_the_frame_of_its_header(void **state)
{
	struct cutter c = {.held = 1000};
	struct cut cut = add(&c, "a", 1536, LARGE_FILE + 1);
	assert_false(cut.before);
	assert_true(cut.after);
	assert_int_equal(c.held, 0);
	assert_false(add(&c, "a", 1536, LARGE_FILE).after);
	assert_int_equal(c.held, 1536 + LARGE_FILE);
}

static void large_contents_are_cut_by_size(void **state)
{
	uint64_t size = 2 * (uint64_t)LARGE_FRAME + 1;
	assert_int_equal(cutter_large_frames(size), 3);
	assert_int_equal(cutter_large_frames(size - 1), 2);
	assert_int_equal(cutter_large_piece(size, 0), LARGE_FRAME);
	assert_int_equal(cutter_large_piece(size, LARGE_FRAME), LARGE_FRAME);
	assert_int_equal(cutter_large_piece(size, 2 * LARGE_FRAME), 1);
}

/* Deals out files of 4 KiB, but for file `skip`, and file `grown`, which is larger; tells
 * before which of them there is a cut. */
#define FILES 4000
static void deal(int skip, int grown, bool *cut_before)
{
	struct cutter c = {0};
	for (int i = 0; i < FILES; i++) {
		char path[32];
		snprintf(path, sizeof(path), "some/dir/file-%04d", i);
		cut_before[i] =
			i != skip && add(&c, path, 512, i == grown ? 40000 : 4096).before;
	}
}

static void a_change_moves_only_the_cuts_beside_it(void **state)
{
	static bool before[FILES], after[FILES];
	deal(-1, -1, before);
	for (int at = 100; at < FILES; at += 371) {
		for (int how = 0; how < 2; how++) {
			deal(how ? at : -1, how ? -1 : at, after);
			int differ = 0, last = at;
			for (int i = 0; i < FILES; i++) {
				differ += before[i] != after[i];
				last = before[i] != after[i] ? i : last;
			}
			assert_true(differ <= 8);
			assert_memory_equal(before, after, at - 1);
			assert_true(last - at < 500);
		}
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_some_paths_cut),
		cmocka_unit_test(a_directory_cuts_once_there_is_enough),
		cmocka_unit_test(nothing_cuts_an_empty_frame),
		cmocka_unit_test(no_frame_passes_the_most),
		cmocka_unit_test(a_large_file_ends_the_frame_of_its_header),
		cmocka_unit_test(large_contents_are_cut_by_size),
		cmocka_unit_test(a_change_moves_only_the_cuts_beside_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
