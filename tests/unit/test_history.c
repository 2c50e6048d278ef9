#include "tests/unit/test.h"

#include <stdio.h>
#include <string.h>

#include "fetch/base/cleanup.h"
#include "fs/history.h"

/* The identity of content number n: no two of them share their first 128 bits. */
static struct digest content(uint64_t n)
{
	struct digest d = {{0}};
	memcpy(d.bytes + 8, &n, sizeof(n));
	return d;
}

static void note(struct history *h, const char *key, uint64_t n)
{
	const struct digest identity = content(n);
	history_note(h, key, &identity);
}

static void other_content_than_the_last_time_counts(void **state)
{
	CLEANUP(history_finish) struct history h;
	history_init(&h);
	note(&h, "a", 1);
	note(&h, "b", 2);
	note(&h, "a", 1);
	assert_int_equal(history_overwrites(&h), 0);
	note(&h, "a", 2);
	assert_int_equal(history_overwrites(&h), 1);
	note(&h, "a", 2);
	note(&h, "b", 2);
	assert_int_equal(history_overwrites(&h), 1);
	note(&h, "a", 1);
	note(&h, "", 1);
	assert_int_equal(history_overwrites(&h), 2);
}

static void note_many(struct history *h, unsigned first, unsigned end, uint64_t from)
{
	for (unsigned i = first; i < end; i++) {
		char key[16];
		snprintf(key, sizeof(key), "%u", i);
		note(h, key, from + i);
	}
}

static void many_keys_are_told_apart(void **state)
{
	enum { KEYS = 10000 };
	CLEANUP(history_finish) struct history h;
	history_init(&h);
	note_many(&h, 0, KEYS, 0);
	note_many(&h, 0, KEYS, 0);
	assert_int_equal(history_overwrites(&h), 0);
	note_many(&h, 0, KEYS, KEYS);
	assert_int_equal(history_overwrites(&h), KEYS);
}

/* What has no room any more may have been there before. */
static void beyond_its_room_nothing_is_believed(void **state)
{
	CLEANUP(history_finish) struct history h;
	history_init(&h);
	note_many(&h, 0, HISTORY_MOST, 0);
	assert_int_equal(history_overwrites(&h), 0);
	size_t size = h.size;
	note_many(&h, HISTORY_MOST, 2 * HISTORY_MOST, 0);
	assert_in_range(history_overwrites(&h), 1, HISTORY_MOST);
	assert_in_range(h.size, size, 2 * HISTORY_MOST);
	uint64_t before = history_overwrites(&h);
	note_many(&h, 0, 1000, 0);
	assert_int_equal(history_overwrites(&h), before);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(other_content_than_the_last_time_counts),
		cmocka_unit_test(many_keys_are_told_apart),
		cmocka_unit_test(beyond_its_room_nothing_is_believed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
