/* What a probe makes of a store's answers. */
#include "tests/unit/test.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "fetch/http_probe.h"
#include "tests/unit/play.h"

#define STORED   ANSWER("200 OK", "", "")
#define EXISTS   ANSWER("412 Precondition Failed", "", "")
#define CONFLICT ANSWER("409 Conflict", "", "")
#define GONE     ANSWER("404 Not Found", "", "")
#define THERE    ANSWER("200 OK", "ETag: \"e\"\r\n", "larder probe\n")
#define DENIED   ANSWER("403 Forbidden", "", "")
#define NO_WAY   ANSWER("501 Not Implemented", "", "")

static struct http_root root_of(struct play *p)
{
	return (struct http_root){
		.exchanger = play_exchanger(p), .path = "/b", .store = "the play"};
}

static int quick(
	const char *const *answers, enum honour *ret, struct probe_sight *ret_sight)
{
	struct play *p = play_begin(0, answers);
	const struct http_root root = root_of(p);
	struct error e = {0};
	int r = http_probe_quick(&root, CALL_PATIENT, ret, ret_sight, &e);
	assert_int_equal(e.code, r);
	assert_true(play_asked(p, 1, "PUT /b/.larder/probe HTTP"));
	assert_true(play_asked(p, 1, "if-none-match: *"));
	play_end(p);
	return r;
}

static void assert_quick(enum honour expected, const char *const *answers)
{
	enum honour found = HONOUR_UNKNOWN;
	struct probe_sight sight;
	assert_int_equal(quick(answers, &found, &sight), 0);
	assert_int_equal(found, expected);
}

static void the_second_write_must_be_refused(void **state)
{
	assert_quick(HONOUR_ATOMIC, ANSWERS(STORED, EXISTS, THERE));
	assert_quick(HONOUR_NO, ANSWERS(STORED, STORED));
	assert_quick(HONOUR_NO, ANSWERS(NO_WAY, STORED));
	assert_quick(HONOUR_NO, ANSWERS(STORED, NO_WAY, STORED));
}

/* That is no answer about conditions, and --unsafe-overwrite would not help. */
static void a_store_that_takes_no_writes_is_a_failure(void **state)
{
	enum honour found = HONOUR_UNKNOWN;
	struct probe_sight sight;
	assert_int_equal(quick(ANSWERS(NO_WAY, NO_WAY), &found, &sight), -EIO);
	assert_int_equal(quick(ANSWERS(NO_WAY, DENIED), &found, &sight), -EACCES);
}

static void a_probe_from_before_is_refused_at_once(void **state)
{
	assert_quick(HONOUR_ATOMIC, ANSWERS(EXISTS, THERE));
}

/* Else the first to publish would be told that somebody was there before. */
static void a_refusal_about_nothing_is_no_honour(void **state)
{
	assert_quick(HONOUR_NO, ANSWERS(EXISTS, GONE));
}

static void what_may_not_be_looked_at_is_taken_to_be_there(void **state)
{
	assert_quick(HONOUR_ATOMIC, ANSWERS(STORED, EXISTS, DENIED));
}

static void conflicts_are_waited_out_or_are_the_refusal(void **state)
{
	assert_quick(HONOUR_ATOMIC, ANSWERS(STORED, CONFLICT, EXISTS, THERE));
	assert_quick(HONOUR_ATOMIC,
		ANSWERS(STORED, CONFLICT, CONFLICT, CONFLICT, CONFLICT, CONFLICT, THERE));
}

static void who_may_not_write_may_not_probe(void **state)
{
	enum honour found;
	struct probe_sight sight;
	assert_int_equal(quick(ANSWERS(DENIED), &found, &sight), -EACCES);
}

#define VERSION(id) ANSWER("200 OK", "ETag: \"e\"\r\nx-amz-version-id: " id "\r\n", "x")

static void the_quick_probe_sees_whether_versions_are_kept(void **state)
{
	enum honour found;
	struct probe_sight sight;
	assert_int_equal(quick(ANSWERS(STORED, EXISTS, THERE), &found, &sight), 0);
	assert_true(sight.seen);
	assert_string_equal(sight.version_id, "");
	assert_int_equal(quick(ANSWERS(EXISTS, VERSION("v/1")), &found, &sight), 0);
	assert_true(sight.seen);
	assert_string_equal(sight.version_id, "v/1");
	assert_int_equal(quick(ANSWERS(EXISTS, DENIED), &found, &sight), 0);
	assert_false(sight.seen);
	assert_string_equal(sight.version_id, "");
}

/* --- races ----------------------------------------------------------------------------
 */

static int races(const char *const *answers, enum honour *ret, unsigned *ret_requests)
{
	struct play *p = play_begin(0, answers);
	const struct http_root root = root_of(p);
	int r = http_probe_races(&root, CALL_PATIENT, 2, 2, ret, NULL);
	assert_true(play_asked(p, 1, "PUT /b/.larder/probe-"));
	*ret_requests = play_requests(p);
	play_end(p);
	return r;
}

#define DELETED ANSWER("204 No Content", "", "")
#define FRESH   STORED, EXISTS, THERE, THERE, DELETED, GONE

static void two_winners_are_not_atomic(void **state)
{
	enum honour found;
	unsigned requests;
	assert_int_equal(races(ANSWERS(FRESH, STORED, STORED, THERE, DELETED, GONE),
				 &found, &requests),
		0);
	assert_int_equal(found, HONOUR_SEQUENTIAL);
	assert_int_equal(requests, 11); /* not raced again */
}

static void one_winner_each_time_is(void **state)
{
	enum honour found;
	unsigned requests;
	assert_int_equal(races(ANSWERS(FRESH, STORED, EXISTS, THERE, DELETED, GONE,
				       EXISTS, STORED, THERE, DELETED, GONE),
				 &found, &requests),
		0);
	assert_int_equal(found, HONOUR_ATOMIC);
	assert_int_equal(requests, 16);
}

static void what_ignores_the_condition_is_not_raced(void **state)
{
	enum honour found;
	unsigned requests;
	assert_int_equal(
		races(ANSWERS(STORED, STORED, THERE, DELETED, GONE), &found, &requests),
		0);
	assert_int_equal(found, HONOUR_NO);
	assert_int_equal(requests, 5);
}

static const struct probe_sight plain_sight = {.seen = true};

static enum honour raced_once(const char *const *answers, unsigned *ret_requests)
{
	enum honour found = HONOUR_ATOMIC;
	struct play *p = play_begin(0, answers);
	const struct http_root root = root_of(p);
	assert_int_equal(
		http_probe_race_once(&root, CALL_PATIENT, &plain_sight, &found, NULL), 0);
	assert_true(play_asked(p, 1, "DELETE /b/.larder/probe-removed HTTP"));
	*ret_requests = play_requests(p);
	play_end(p);
	return found;
}

#define SIX_LOSERS EXISTS, EXISTS, EXISTS, EXISTS, EXISTS, EXISTS

static void one_race_finds_two_winners(void **state)
{
	unsigned requests;
	assert_int_equal(raced_once(ANSWERS(GONE, SIX_LOSERS, EXISTS, STORED, THERE,
					    DELETED, GONE),
				 &requests),
		HONOUR_ATOMIC);
	assert_int_equal(requests, 12);
	assert_int_equal(raced_once(ANSWERS(DELETED, STORED, SIX_LOSERS, STORED, THERE,
					    DELETED, GONE),
				 &requests),
		HONOUR_SEQUENTIAL);
}

#define BUSY        ANSWER("503 Slow Down", "", "")
#define FIVE_LOSERS EXISTS, EXISTS, EXISTS, EXISTS, EXISTS

static void a_race_that_a_busy_store_spoils_tells_what_it_can(void **state)
{
	unsigned requests;
	assert_int_equal(
		raced_once(ANSWERS(GONE, STORED, SIX_LOSERS, BUSY, THERE, DELETED, GONE),
			&requests),
		HONOUR_ATOMIC);
	assert_int_equal(requests, 12);
	assert_int_equal(raced_once(ANSWERS(GONE, BUSY, STORED, FIVE_LOSERS, STORED,
					    THERE, DELETED, GONE),
				 &requests),
		HONOUR_SEQUENTIAL);
}

#define SEVEN_SILENT                                                                     \
	PLAY_SILENCE, PLAY_SILENCE, PLAY_SILENCE, PLAY_SILENCE, PLAY_SILENCE,            \
		PLAY_SILENCE, PLAY_SILENCE

/* Whatever befell one of the racers before. */
static void a_race_that_was_ended_is_a_failure(void **state)
{
	enum honour found = HONOUR_ATOMIC;
	struct error e = {0};
	struct play *p = play_begin(0, ANSWERS(GONE, BUSY, SEVEN_SILENT, GONE));
	const struct http_root root = root_of(p);
	const struct call call = {.deadline_ns = clock_monotonic_ns() + 300 * NS_PER_MS};
	assert_int_equal(
		http_probe_race_once(&root, &call, &plain_sight, &found, &e), -ETIMEDOUT);
	assert_int_equal(e.code, -ETIMEDOUT);
	play_end(p);
}

static void nothing_is_written_that_cannot_be_removed(void **state)
{
	unsigned requests;
	assert_int_equal(raced_once(ANSWERS(DENIED), &requests), HONOUR_ATOMIC);
	assert_int_equal(requests, 1);
}

/* Without a version the answer would be another right's, and leave a marker. */
static void the_right_to_remove_a_version_is_asked_for_with_one(void **state)
{
	const struct probe_sight versioned = {.seen = true, .version_id = "v/1"};
	enum honour found = HONOUR_ATOMIC;
	struct play *p = play_begin(0, ANSWERS(DENIED));
	const struct http_root root = root_of(p);
	assert_int_equal(
		http_probe_race_once(&root, CALL_PATIENT, &versioned, &found, NULL), 0);
	assert_true(
		play_asked(p, 1, "DELETE /b/.larder/probe-removed?versionId=v%2F1 HTTP"));
	assert_int_equal(play_requests(p), 1);
	assert_int_equal(found, HONOUR_ATOMIC);
	play_end(p);
}

static void what_cannot_be_seen_cannot_be_removed(void **state)
{
	const struct probe_sight none = {.seen = false};
	enum honour found = HONOUR_ATOMIC;
	struct play *p = play_begin(0, ANSWERS(DENIED));
	const struct http_root root = root_of(p);
	assert_int_equal(
		http_probe_race_once(&root, CALL_PATIENT, &none, &found, NULL), 0);
	assert_int_equal(play_requests(p), 0);
	assert_int_equal(found, HONOUR_ATOMIC);
	play_end(p);
}

struct turnout {
	atomic_uint count;
	unsigned failing;
};

static int turn_out(void *arg, unsigned number, const struct call *call, bool *ret_won,
	struct error *e)
{
	struct turnout *t = arg;
	t->count++;
	if (number == t->failing)
		return error_set(e, -EIO, "racer %u fell", number);
	*ret_won = number % 2;
	return 0;
}

static void every_racer_runs_and_winners_are_counted(void **state)
{
	struct turnout t = {.failing = UINT32_MAX};
	unsigned winners = 0;
	assert_int_equal(
		http_probe_race(CALL_PATIENT, 10, turn_out, &t, &winners, NULL), 0);
	assert_int_equal(winners, 5);
	assert_int_equal(t.count, 10);
	t = (struct turnout){.failing = 3};
	struct error e = {0};
	assert_int_equal(
		http_probe_race(CALL_PATIENT, 10, turn_out, &t, &winners, &e), -EIO);
	assert_string_equal(e.text, "racer 3 fell");
	assert_int_equal(t.count, 10);
}

static void versions_are_removed_one_by_one(void **state)
{
	struct play *p = play_begin(
		0, ANSWERS(ANSWER("200 OK", "x-amz-version-id: v/2\r\n", "x"), DELETED,
			   ANSWER("200 OK", "x-amz-version-id: v1\r\n", "x"), DELETED,
			   GONE));
	const struct http_root root = root_of(p);
	struct probe_key key;
	assert_int_equal(probe_key_init(&root, &key, NULL), 0);
	probe_key_finish(&key);
	assert_true(play_asked(p, 2, "DELETE /b/.larder/probe-"));
	assert_true(play_asked(p, 2, "?versionId=v%2F2 "));
	assert_true(play_asked(p, 4, "?versionId=v1 "));
	assert_int_equal(play_requests(p), 5);
	play_end(p);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_second_write_must_be_refused),
		cmocka_unit_test(a_store_that_takes_no_writes_is_a_failure),
		cmocka_unit_test(a_probe_from_before_is_refused_at_once),
		cmocka_unit_test(a_refusal_about_nothing_is_no_honour),
		cmocka_unit_test(what_may_not_be_looked_at_is_taken_to_be_there),
		cmocka_unit_test(conflicts_are_waited_out_or_are_the_refusal),
		cmocka_unit_test(who_may_not_write_may_not_probe),
		cmocka_unit_test(the_quick_probe_sees_whether_versions_are_kept),
		cmocka_unit_test(two_winners_are_not_atomic),
		cmocka_unit_test(one_winner_each_time_is),
		cmocka_unit_test(one_race_finds_two_winners),
		cmocka_unit_test(a_race_that_a_busy_store_spoils_tells_what_it_can),
		cmocka_unit_test(a_race_that_was_ended_is_a_failure),
		cmocka_unit_test(nothing_is_written_that_cannot_be_removed),
		cmocka_unit_test(the_right_to_remove_a_version_is_asked_for_with_one),
		cmocka_unit_test(what_cannot_be_seen_cannot_be_removed),
		cmocka_unit_test(what_ignores_the_condition_is_not_raced),
		cmocka_unit_test(every_racer_runs_and_winners_are_counted),
		cmocka_unit_test(versions_are_removed_one_by_one),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
