/* What generations of several keys keep together. */
#include "tests/unit/test.h"

#include <stdlib.h>
#include <string.h>

#include "archive/decoders.h"
#include "archive/hoard.h"
#include "fs/view.h"
#include "tests/unit/pseudo_random.h"
#include "tests/unit/shelf.h"

#define LENGTH 100000 /* bytes of each key's one file */

static bool crowded; /* another thread needs room whenever a keeper joins */

void __real_hoard_join(struct hoard *h, struct keeper *k);
void __wrap_hoard_join(struct hoard *h, struct keeper *k);
void __wrap_hoard_join(struct hoard *h, struct keeper *k)
{
	__real_hoard_join(h, k);
	if (!crowded)
		return;
	hoard_tell(h, 0, 2 * h->limit);
	hoard_tell(h, 2 * h->limit, 0);
}

/* Of two frames. */
static void put(struct shelf *s, const char *key, uint32_t seed, unsigned char *content)
{
	CLEANUP(cleanup_builder) struct archive_builder *b = builder_new();
	pseudo_random_bytes(content, LENGTH, seed);
	builder_file(b, "file", content, LENGTH);
	builder_lay(b);
	shelf_put(s, key, b);
}

static void expect_first(struct generation *g, const unsigned char *content, size_t len)
{
	uint32_t entry;
	struct view v;
	struct iovec iov[VIEW_SPANS];
	assert_int_equal(index_find(generation_index(g), "file", &entry), 0);
	assert_int_equal(view_of_entry(g, CALL_PATIENT, entry, 0, len, &v, NULL), 0);
	size_t at = 0;
	for (int i = 0, count = view_iov(&v, iov); i < count; i++) {
		assert_memory_equal(iov[i].iov_base, content + at, iov[i].iov_len);
		at += iov[i].iov_len;
	}
	assert_int_equal(at, len);
	view_release(&v);
}

static void expect(struct generation *g, const unsigned char *content)
{
	expect_first(g, content, LENGTH);
}

static size_t memory_of(struct generation *g)
{
	struct generation_stats s;
	generation_stats(g, &s);
	return s.memory;
}

/* What came with the opening serves until others need the room; then the store does. */
static void the_tail_of_an_idle_key_goes(void **state)
{
	static unsigned char old_content[LENGTH], new_content[LENGTH];
	CLEANUP(shelf_finish) struct shelf s;
	struct hoard hoard;
	struct decoders decoders;
	struct opened old, fresh;
	hoard_init(&hoard, LENGTH * 3 / 2);
	shelf_init(&s);
	decoders_init(&decoders);
	s.supply.hoard = &hoard;
	s.supply.decoders = &decoders;
	s.supply.frame_budget = 1; /* tails alone are kept */
	put(&s, "old", 1, old_content);
	put(&s, "new", 2, new_content);
	shelf_open(&s, "old", &old);
	expect(old.g, old_content);
	assert_int_equal(s.store->reads, 0);
	assert_in_range(atomic_load(&hoard.bytes), LENGTH, LENGTH * 3 / 2);
	size_t before = memory_of(old.g);
	shelf_open(&s, "new", &fresh);
	assert_in_range(atomic_load(&hoard.bytes), LENGTH, LENGTH * 3 / 2);
	assert_in_range(memory_of(old.g), 0, before - LENGTH);
	expect(fresh.g, new_content);
	assert_int_equal(s.store->reads, 0);
	expect(old.g, old_content);
	assert_in_range(s.store->reads, 1, 10);
	opened_close(&old);
	opened_close(&fresh);
	assert_int_equal(atomic_load(&hoard.bytes), 0);
	hoard_finish(&hoard);
	decoders_finish(&decoders);
}

/* Who needs room may ask a keeper for it at the moment that it joins. */
static void a_tail_may_go_as_soon_as_it_has_come(void **state)
{
	static unsigned char content[LENGTH];
	CLEANUP(shelf_finish) struct shelf s;
	struct hoard hoard;
	struct decoders decoders;
	struct opened o;
	hoard_init(&hoard, LENGTH * 3 / 2);
	shelf_init(&s);
	decoders_init(&decoders);
	s.supply.hoard = &hoard;
	s.supply.decoders = &decoders;
	s.supply.frame_budget = 1;
	put(&s, "key", 1, content);
	crowded = true;
	shelf_open(&s, "key", &o);
	crowded = false;
	assert_int_equal(atomic_load(&hoard.bytes), 0);
	expect(o.g, content);
	assert_in_range(s.store->reads, 1, 10);
	opened_close(&o);
	assert_int_equal(atomic_load(&hoard.bytes), 0);
	hoard_finish(&hoard);
	decoders_finish(&decoders);
}

/* One that has what others need, when it is its turn. */
struct pantry {
	struct keeper keeper;
	struct hoard *hoard;
	size_t kept;
};

static void fill(struct pantry *p, size_t bytes)
{
	size_t before = p->kept;
	p->kept = bytes;
	hoard_tell(p->hoard, before, bytes);
}

static void empty(void *arg, size_t bytes, bool all)
{
	fill(arg, 0);
}

/* The key is read while others need room, so many times. */
static void read_in_need(
	struct generation *g, const unsigned char *content, size_t len, struct pantry *p)
{
	for (unsigned i = 0; i < 6; i++) {
		expect_first(g, content, len);
		fill(p, p->hoard->limit);
		assert_int_equal(p->kept, 0);
	}
}

/* As long as there is more to be read of it. */
static void the_tail_of_a_key_that_is_read_on_stays(void **state)
{
	static unsigned char content[LENGTH];
	CLEANUP(shelf_finish) struct shelf s;
	struct hoard hoard;
	struct decoders decoders;
	struct opened o;
	hoard_init(&hoard, 8 * LENGTH);
	shelf_init(&s);
	decoders_init(&decoders);
	s.supply.hoard = &hoard;
	s.supply.decoders = &decoders;
	put(&s, "key", 1, content);
	struct pantry other = {{.yield = empty, .arg = &other}, .hoard = &hoard};
	hoard_join(&hoard, &other.keeper);
	shelf_open(&s, "key", &o);
	read_in_need(o.g, content, 100, &other);
	expect(o.g, content);
	assert_int_equal(s.store->reads, 0);
	size_t whole = memory_of(o.g);
	read_in_need(o.g, content, LENGTH, &other);
	assert_in_range(memory_of(o.g), 0, whole - LENGTH);
	hoard_leave(&hoard, &other.keeper);
	opened_close(&o);
	assert_int_equal(atomic_load(&hoard.bytes), 0);
	hoard_finish(&hoard);
	decoders_finish(&decoders);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_tail_of_an_idle_key_goes),
		cmocka_unit_test(the_tail_of_a_key_that_is_read_on_stays),
		cmocka_unit_test(a_tail_may_go_as_soon_as_it_has_come),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
