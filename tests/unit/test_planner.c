#include "tests/unit/test.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "archive/format.h"
#include "archive/planner.h"

/* A tree and its plans, without any directory on disk. */
struct fixture {
	struct tree *tree;
	struct planner planner;
};

static void begin(struct fixture *f)
{
	f->tree = tree_new();
	planner_init(&f->planner, f->tree, "top", false);
}

static void finish(struct fixture *f)
{
	planner_finish(&f->planner);
	tree_free(f->tree);
}

static struct tree_entry *add(
	struct fixture *f, const char *name, mode_t mode, uint64_t size)
{
	struct tree_entry *entry;
	assert_int_equal(tree_append(f->tree, name, &entry), 0);
	entry->mode = (uint16_t)mode;
	entry->size = size;
	assert_int_equal(planner_add(&f->planner, tree_count(f->tree) - 1, NULL), 0);
	return entry;
}

static void assert_plan(const struct fixture *f, size_t i, const struct frame_plan *want)
{
	const struct frame_plan *got = &f->planner.ready.data[i];
	assert_true(i < f->planner.ready.len);
	assert_int_equal(got->kind, want->kind);
	assert_int_equal(got->first, want->first);
	assert_int_equal(got->count, want->count);
	assert_int_equal(got->raw, want->raw);
	assert_int_equal(got->offset, want->offset);
	assert_int_equal(got->content, want->content);
}

static void small_members_share_a_frame(void **state)
{
	struct fixture f;
	begin(&f);
	add(&f, "", S_IFDIR | 0755, 0);
	struct tree_entry *a = add(&f, "a", S_IFREG | 0644, 513);
	struct tree_entry *b = add(&f, "b", S_IFREG | 0644, 0);
	assert_int_equal(f.planner.ready.len, 0);
	assert_int_equal(planner_end(&f.planner, NULL), 0);
	assert_int_equal(a->place, 1024);
	assert_int_equal(b->place, 1024 + 1024 + 512);
	assert_int_equal(f.planner.tar_size, 2560 + 1024);
	assert_int_equal(f.planner.ready.len, 2);
	assert_plan(&f, 0,
		&(struct frame_plan){
			.kind = PLAN_MEMBERS, .count = 3, .raw = 2560, .content = 513});
	assert_plan(&f, 1, &(struct frame_plan){.kind = PLAN_END, .raw = 1024});
	finish(&f);
}

static void a_large_content_has_frames_of_its_own(void **state)
{
	struct fixture f;
	begin(&f);
	add(&f, "", S_IFDIR | 0755, 0);
	uint64_t size = (uint64_t)LARGE_FRAME + 1;
	struct tree_entry *large = add(&f, "large", S_IFREG | 0644, size);
	add(&f, "small", S_IFREG | 0644, 1);
	assert_int_equal(planner_end(&f.planner, NULL), 0);
	assert_int_equal(large->place, 1024);
	assert_plan(&f, 0,
		&(struct frame_plan){.kind = PLAN_MEMBERS, .count = 2, .raw = 1024});
	struct frame_plan piece = {
		.kind = PLAN_CONTENT,
		.first = 1,
		.raw = LARGE_FRAME,
		.content = LARGE_FRAME,
	};
	assert_plan(&f, 1, &piece);
	piece.offset = LARGE_FRAME;
	piece.raw = 512;
	piece.content = 1;
	assert_plan(&f, 2, &piece);
	assert_plan(&f, 3,
		&(struct frame_plan){.kind = PLAN_MEMBERS,
			.first = 2,
			.count = 1,
			.raw = 1024,
			.content = 1});
	assert_plan(&f, 4, &(struct frame_plan){.kind = PLAN_END, .raw = 1024});
	finish(&f);
}

static void another_name_has_no_content(void **state)
{
	struct fixture f;
	begin(&f);
	add(&f, "", S_IFDIR | 0755, 0);
	add(&f, "a", S_IFREG | 0644, 512);
	struct tree_entry *entry;
	assert_int_equal(tree_append(f.tree, "b", &entry), 0);
	entry->mode = S_IFREG | 0644;
	entry->size = 512;
	entry->primary = 1;
	assert_int_equal(planner_add(&f.planner, 2, NULL), 0);
	assert_int_equal(f.planner.tar_size, 4 * 512);
	finish(&f);
}

static void full_frames_are_handed_out(void **state)
{
	struct fixture f;
	begin(&f);
	add(&f, "", S_IFDIR | 0755, 0);
	for (int i = 0; i < 1000; i++) {
		char name[16];
		snprintf(name, sizeof(name), "%d", i);
		add(&f, name, S_IFREG | 0644, 10000);
	}
	assert_int_equal(planner_end(&f.planner, NULL), 0);
	assert_true(f.planner.ready.len > 20);
	uint32_t next = 0;
	uint64_t size = 0;
	for (size_t i = 0; i + 1 < f.planner.ready.len; i++) {
		const struct frame_plan *p = &f.planner.ready.data[i];
		assert_int_equal(p->first, next);
		assert_true(p->raw <= FRAME_MAX);
		next += p->count;
		size += p->raw;
	}
	assert_int_equal(next, 1001);
	assert_int_equal(size + 1024, f.planner.tar_size);
	assert_int_equal(f.planner.frames, f.planner.ready.len);
	finish(&f);
}

static void what_no_archive_can_hold_is_named(void **state)
{
	struct fixture f;
	begin(&f);
	add(&f, "", S_IFDIR | 0755, 0);
	struct tree_entry *entry;
	assert_int_equal(tree_append(f.tree, "endless", &entry), 0);
	entry->mode = S_IFREG | 0644;
	entry->size = INT64_MAX;
	struct error e = {0};
	assert_int_equal(planner_add(&f.planner, 1, &e), -EFBIG);
	assert_string_equal(e.text, "'top/endless' is past what an archive can hold");
	assert_int_equal(f.planner.ready.len, 0);
	finish(&f);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_members_share_a_frame),
		cmocka_unit_test(a_large_content_has_frames_of_its_own),
		cmocka_unit_test(another_name_has_no_content),
		cmocka_unit_test(full_frames_are_handed_out),
		cmocka_unit_test(what_no_archive_can_hold_is_named),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
