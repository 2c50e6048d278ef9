#include "tests/unit/test.h"

#include <errno.h>
#include <stdio.h>

#include "fs/duds.h"

#define NOW (77 * NS_PER_SECOND)

static const struct error junk = {.text = "it is no archive"};

static void a_dud_is_remembered_for_its_time(void **state)
{
	struct duds d = {0};
	assert_null(duds_find(&d, NOW, "key"));
	duds_note(&d, NOW, NOW + DUD_NS, "key", -EBADMSG, &junk);
	const struct error *why = duds_find(&d, NOW + DUD_NS - 1, "key");
	assert_non_null(why);
	assert_int_equal(why->code, -EBADMSG);
	assert_string_equal(why->text, junk.text);
	assert_null(duds_find(&d, NOW, "key2"));
	assert_null(duds_find(&d, NOW, "ke"));
	assert_null(duds_find(&d, NOW + DUD_NS, "key"));
	duds_finish(&d);
}

static void noting_it_again_makes_it_no_longer(void **state)
{
	struct duds d = {0};
	duds_note(&d, NOW, NOW + DUD_NS, "key", -EBADMSG, &junk);
	duds_note(&d, NOW + DUD_NS - 1, NOW + 2 * DUD_NS - 1, "key", -ENOENT, NULL);
	assert_int_equal(duds_find(&d, NOW + DUD_NS - 1, "key")->code, -EBADMSG);
	assert_null(duds_find(&d, NOW + DUD_NS, "key"));
	duds_note(&d, NOW + DUD_NS, NOW + DUD_NS, "key", -ENOENT, NULL);
	assert_null(duds_find(&d, NOW + DUD_NS, "key")); /* its time was over */
	duds_note(&d, NOW + DUD_NS, NOW + DUD_NS + 1, "key", -ENOENT, NULL);
	assert_int_equal(duds_find(&d, NOW + DUD_NS, "key")->code, -ENOENT);
	duds_finish(&d);
}

static void of_too_many_the_first_is_forgotten(void **state)
{
	struct duds d = {0};
	char key[16];
	for (unsigned i = 0; i < DUDS_MOST + 2; i++) {
		snprintf(key, sizeof(key), "key %u", i);
		duds_note(&d, NOW + i, NOW + i + DUD_NS, key, -ENOENT, NULL);
	}
	assert_null(duds_find(&d, NOW + DUDS_MOST, "key 0"));
	assert_null(duds_find(&d, NOW + DUDS_MOST, "key 1"));
	for (unsigned i = 2; i < DUDS_MOST + 2; i++) {
		snprintf(key, sizeof(key), "key %u", i);
		assert_non_null(duds_find(&d, NOW + DUDS_MOST, key));
	}
	duds_finish(&d);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_dud_is_remembered_for_its_time),
		cmocka_unit_test(noting_it_again_makes_it_no_longer),
		cmocka_unit_test(of_too_many_the_first_is_forgotten),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
