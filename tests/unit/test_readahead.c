#include "tests/unit/test.h"

#include <string.h>

#include "archive/readahead.h"
#include "fetch/base/call.h"

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)

static const struct link_facts cloud = {20 * NS_PER_MS, 90000000, 7};
static const struct link_facts lan = {1 * NS_PER_MS, 1000000000, 4};

/* A policy over frames of one size, with what has been wished for. */
struct fixture {
	struct readahead *ra;
	uint64_t *offsets, *places;
	uint8_t *wished; /* times */
	uint32_t frames;
	uint64_t now;
	struct link_facts link;
};

static void fixture_init_of(struct fixture *f, uint32_t frames, uint64_t frame_size,
	uint64_t decoded_size, bool source_keeps)
{
	*f = (struct fixture){.frames = frames, .link = cloud};
	f->offsets = calloc(frames + 1, sizeof(*f->offsets));
	f->places = calloc(frames + 1, sizeof(*f->places));
	f->wished = calloc(frames + 1, 1);
	for (uint32_t i = 0; i < frames; i++) {
		f->offsets[i + 1] = f->offsets[i] + frame_size;
		f->places[i + 1] = f->places[i] + decoded_size;
	}
	struct readahead_shape shape = {
		.frames = frames,
		.offsets = f->offsets,
		.places = f->places,
		.memory = 64 * MIB,
	};
	f->ra = readahead_new(&shape);
	assert_non_null(f->ra);
	readahead_tell_room(f->ra, source_keeps ? UINT64_MAX : 0);
}

static void fixture_init(
	struct fixture *f, uint32_t frames, uint64_t frame_size, bool source_keeps)
{
	fixture_init_of(f, frames, frame_size, frame_size * 3, source_keeps);
}

static void fixture_finish(struct fixture *f)
{
	readahead_free(f->ra);
	free(f->offsets);
	free(f->places);
	free(f->wished);
}

/* Takes all wishes there are. Returns how many frames. */
static uint32_t grant(struct fixture *f)
{
	struct readahead_wish w;
	uint32_t total = 0;
	while (readahead_next(f->ra, &f->link, &w)) {
		assert_true(w.count > 0);
		assert_in_range(w.first + w.count, 1, f->frames);
		for (uint32_t i = w.first; i < w.first + w.count; i++)
			f->wished[i]++;
		total += w.count;
	}
	return total;
}

static bool touch(struct fixture *f, uint32_t frame)
{
	uint64_t waited = f->wished[frame] ? 0 : 23 * NS_PER_MS;
	f->now += waited + NS_PER_MS;
	return readahead_touch(f->ra, &f->link, f->now, frame, 1, waited);
}

static struct readahead_stats stats_of(const struct fixture *f)
{
	struct readahead_stats s;
	readahead_stats(f->ra, &s);
	return s;
}

static void nothing_is_wished_before_a_touch(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f, 100, 100 * KIB, true);
	assert_int_equal(grant(&f), 0);
}

static void a_window_grows_along_a_stream(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f, 4000, 100 * KIB, false);
	uint32_t ahead = 0, most = 0, misses = 0;
	for (uint32_t i = 0; i < 1000; i++) {
		misses += !f.wished[i];
		touch(&f, i);
		grant(&f);
		ahead = 0;
		while (i + 1 + ahead < f.frames && f.wished[i + 1 + ahead])
			ahead++;
		most = ahead > most ? ahead : most;
	}
	assert_in_range(misses, 1, 3);
	/* A quarter of the memory, as it expands threefold: 5.3 MiB stored. */
	assert_in_range(most, 40, 54);
	assert_in_range(stats_of(&f).confidence, 250, 256);
	assert_int_equal(stats_of(&f).right, 1000 - misses);
}

/* Zeros take next to nothing in the object: a window of stored bytes has no end in them. */
static void what_grows_when_decoded_keeps_to_the_memory(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init_of(&f, 10000, 100, MIB, false);
	struct readahead_wish w;
	uint32_t wishes = 0, ahead = 0;
	for (uint32_t i = 0; i < 1000; i++) {
		touch(&f, i);
		while (readahead_next(f.ra, &f.link, &w)) {
			assert_true(w.decode);
			ahead = w.first + w.count - (i + 1);
			assert_in_range(ahead, 1, 64 / 4);
			f.wished[i] = 1;
			wishes++;
		}
	}
	/* by the half of what may lie ahead */
	assert_in_range(wishes, 1, 1000 / 8 + 2);
}

/* One that is larger than what may lie ahead is still read while the one before is used. */
static void a_large_frame_is_read_ahead_alone(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init_of(&f, 100, 100, 17 * MIB, false);
	for (uint32_t i = 0; i < 50; i++) {
		touch(&f, i);
		assert_int_equal(grant(&f), 1);
		assert_int_equal(f.wished[i + 1], 1);
	}
}

/* Beside what grows much, what does not has a window as ever. */
static void a_window_is_of_the_frames_that_lie_in_it(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f, 4000, 100 * KIB, false);
	for (uint32_t i = 2000; i <= 4000; i++)
		f.places[i] += (i - 2000) * 1000 * MIB;
	uint32_t misses = 0;
	for (uint32_t i = 0; i < 1000; i++) {
		misses += !f.wished[i];
		touch(&f, i);
		grant(&f);
	}
	assert_in_range(misses, 1, 3);
}

static void no_frame_is_wished_twice(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f, 500, 100 * KIB, true);
	for (uint32_t i = 0; i < 500; i++) {
		touch(&f, i);
		grant(&f);
	}
	for (uint32_t i = 0; i < 500; i++)
		assert_in_range(f.wished[i], 0, 1);
}

/* What the connections carry in a round trip, on both sides. */
static void around_a_miss_is_guessed_while_it_is_waited_for(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f, 1000, 100 * KIB, true);
	f.link.bytes_per_s /= 4;
	uint64_t credit = 7 * f.link.bytes_per_s / 50;
	assert_true(readahead_miss(f.ra, &f.link, 500, 1));
	struct readahead_wish w;
	assert_true(readahead_next(f.ra, &f.link, &w));
	assert_false(w.decode); /* it only passes the source */
	assert_true(w.first + w.count == 500 || w.first == 501);
	uint32_t guessed = w.count + grant(&f);
	assert_in_range(guessed * 100 * KIB, credit, credit + 100 * KIB);
	assert_true(f.wished[498] || w.first <= 498);
	touch(&f, 500);
	uint32_t stream = grant(&f); /* what is decoded ahead comes from the disk */
	assert_in_range(stream, 1, 10);
}

/* However fast the link is: readers share the processors with what it brings. */
static void not_too_much_is_guessed_for_one_miss(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f, 1000, 100 * KIB, true);
	assert_in_range(7 * f.link.bytes_per_s / 50, 8 * MIB, SIZE_MAX);
	assert_true(readahead_miss(f.ra, &f.link, 500, 1));
	assert_in_range(grant(&f) * 100 * KIB, 4 * MIB, 4 * MIB + 100 * KIB);
}

/* Pieces of large files are not guessed at, but by one who reads such a file here and
 * there. */
static void small_files_are_guessed_at_past_large_ones(void **state)
{
	for (uint32_t missed = 500; missed <= 501; missed++) {
		CLEANUP(fixture_finish) struct fixture f;
		fixture_init(&f, 1000, 100 * KIB, true);
		for (uint32_t i = 0; i < 1000; i++)
			if (i % 4)
				readahead_tell_part(f.ra, i);
		assert_true(readahead_miss(f.ra, &f.link, missed, 1));
		assert_true(grant(&f) >= 40);
		unsigned parts = 0;
		for (uint32_t i = 0; i < 1000; i++)
			parts += i % 4 && f.wished[i];
		if (missed == 500)
			assert_int_equal(parts, 0);
		else
			assert_true(parts >= 20);
	}
}

static void a_stream_reads_pieces_of_large_files(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f, 100, 100 * KIB, true);
	for (uint32_t i = 0; i < 100; i++)
		readahead_tell_part(f.ra, i);
	for (uint32_t i = 10; i < 14; i++)
		touch(&f, i);
	grant(&f);
	for (uint32_t i = 14; i < 18; i++)
		assert_int_equal(f.wished[i], 1);
}

static void nothing_is_guessed_that_cannot_be_kept(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f, 1000, 100 * KIB, false);
	assert_false(readahead_miss(f.ra, &f.link, 500, 1));
	assert_int_equal(grant(&f), 0);
}

static void nothing_is_guessed_when_all_is_coming(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f, 300, 100 * KIB, true);
	readahead_want_all(f.ra);
	assert_false(readahead_miss(f.ra, &f.link, 100, 1));
	assert_int_equal(grant(&f), 300);
}

static void the_window_is_as_long_as_the_link_is(void **state)
{
	uint32_t most[2];
	for (int k = 0; k < 2; k++) {
		CLEANUP(fixture_finish) struct fixture f;
		fixture_init(&f, 3000, 20 * KIB, false);
		f.link = k ? (struct link_facts){NS_PER_MS, 100000000, 2} : cloud;
		most[k] = 0;
		for (uint32_t i = 0; i < 1000; i++) {
			touch(&f, i);
			uint32_t n = grant(&f);
			most[k] = n > most[k] ? n : most[k];
		}
	}
	assert_in_range(most[1], 1, 60);
	assert_in_range(most[0], 2 * most[1], 1000);
}

static void wishes_are_worth_a_request(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f, 2000, 50 * KIB, false);
	uint32_t wishes = 0, frames = 0;
	for (uint32_t i = 0; i < 1000; i++) {
		touch(&f, i);
		struct readahead_wish w;
		while (readahead_next(f.ra, &f.link, &w)) {
			for (uint32_t k = w.first; k < w.first + w.count; k++)
				f.wished[k] = 1;
			wishes++;
			frames += w.count;
		}
	}
	/* One range of this link holds 1.8 MB, 35 frames. */
	assert_in_range(frames / wishes, 15, 35);
}

static uint32_t scattered(uint32_t i, uint32_t frames)
{
	return (uint32_t)((uint64_t)i * 2654435761u % frames);
}

static void wrong_guesses_end_the_guessing(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f, 100000, 100 * KIB, false);
	uint32_t early = 0, late = 0;
	for (uint32_t i = 0; i < 400; i++) {
		touch(&f, scattered(i, f.frames));
		uint32_t n = grant(&f);
		if (i < 100)
			early += n;
		if (i >= 300)
			late += n;
	}
	assert_in_range(early, 1, 200);
	assert_in_range(late, 0, 2);
	assert_in_range(stats_of(&f).confidence, 0, 63);
	/* A stream is still recognised, by its second touch. */
	touch(&f, 50);
	assert_int_equal(grant(&f), 0);
	touch(&f, 51);
	assert_true(grant(&f) > 0);
}

static void skipping_halves_the_window(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f, 4000, 100 * KIB, false);
	uint32_t at = 0;
	for (; at < 200; at++) {
		touch(&f, at);
		grant(&f);
	}
	uint32_t wished = 0;
	for (int i = 0; i < 6; i++) {
		at += 5;
		touch(&f, at);
		wished = grant(&f);
	}
	assert_in_range(wished, 0, 6);
}

static void several_streams_run_side_by_side(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f, 8000, 50 * KIB, false);
	uint32_t misses = 0;
	for (uint32_t i = 0; i < 200; i++)
		for (uint32_t s = 0; s < 6; s++) {
			uint32_t frame = s * 1000 + i;
			misses += !f.wished[frame];
			touch(&f, frame);
			grant(&f);
		}
	assert_in_range(misses, 6, 18);
}

static void two_readers_of_one_stream_are_one_stream(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f, 2000, 50 * KIB, false);
	uint32_t misses = 0;
	for (uint32_t i = 0; i < 500; i += 2) {
		misses += !f.wished[i] + !f.wished[i + 1];
		touch(&f, i + 1);
		touch(&f, i);
		grant(&f);
	}
	assert_in_range(misses, 1, 8);
}

static void the_same_frame_again_changes_nothing(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f, 1000, MIB, false);
	touch(&f, 10);
	grant(&f);
	assert_false(touch(&f, 10));
	assert_int_equal(grant(&f), 0);
	assert_int_equal(stats_of(&f).touched, MIB);
}

static void the_end_is_the_end(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f, 20, 100 * KIB, false);
	for (uint32_t i = 0; i < 20; i++) {
		touch(&f, i);
		grant(&f);
	}
	touch(&f, 19);
	assert_int_equal(grant(&f), 0);
}

/* Frames that a reader of random places waits for until bulk begins; frames when never.
 */
static uint32_t touches_until_bulk(struct fixture *f)
{
	for (uint32_t i = 0; i < f->frames; i++) {
		uint32_t frame = scattered(i, f->frames);
		f->now += 25 * NS_PER_MS;
		readahead_touch(f->ra, &f->link, f->now, frame, 1, 23 * NS_PER_MS);
		if (stats_of(f).bulk)
			return i + 1;
	}
	return f->frames;
}

static void waiting_for_long_leads_to_bulk(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f, 800, 256 * KIB, true);
	/* 200 MiB at 630 MB/s: 0.35 s, that is 15 waits, and a good part of the object.
	 */
	assert_in_range(touches_until_bulk(&f), 20, 80);
	uint32_t wished = grant(&f);
	assert_in_range(wished, 700, 800);
	assert_int_equal(grant(&f), 0);
	uint64_t touched = stats_of(&f).touched / (256 * KIB);
	assert_int_equal(touched + wished, 800);
}

static void a_small_object_is_taken_sooner(void **state)
{
	uint32_t n[3];
	static const uint32_t frames[3] = {40, 800, 200000};
	for (size_t i = 0; i < 3; i++) {
		CLEANUP(fixture_finish) struct fixture f;
		fixture_init(&f, frames[i], 256 * KIB, true);
		n[i] = touches_until_bulk(&f);
	}
	assert_in_range(n[0], 2, 8);
	assert_true(n[1] > n[0]);
	assert_true(n[2] > 20 * n[1]);
}

static void who_does_not_wait_needs_no_bulk(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f, 800, 256 * KIB, true);
	for (uint32_t i = 0; i < 400; i++)
		readahead_touch(
			f.ra, &f.link, f.now += NS_PER_MS, scattered(i, 800), 1, 0);
	assert_false(stats_of(&f).bulk);
}

static void a_trickle_is_no_reason_for_bulk(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f, 800, 256 * KIB, true);
	for (uint32_t i = 0; i < 400; i++)
		readahead_touch(f.ra, &f.link, f.now += 60 * NS_PER_SECOND,
			scattered(i, 800), 1, 23 * NS_PER_MS);
	assert_false(stats_of(&f).bulk);
}

static void a_faster_link_waits_less_and_pays_less(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f, 800, 256 * KIB, true);
	f.link = lan;
	uint32_t i = 0;
	for (; i < 800 && !stats_of(&f).bulk; i++)
		readahead_touch(f.ra, &f.link, f.now += 2 * NS_PER_MS, scattered(i, 800),
			1, 3 * NS_PER_MS / 2);
	assert_in_range(i, 10, 100);
}

static void bulk_needs_a_place_to_keep_it(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f, 800, 256 * KIB, false);
	assert_int_equal(touches_until_bulk(&f), 800);
	readahead_want_all(f.ra);
	assert_false(stats_of(&f).bulk);

	CLEANUP(fixture_finish) struct fixture small;
	fixture_init(&small, 80, 256 * KIB, false);
	readahead_want_all(small.ra);
	struct readahead_wish w;
	assert_true(readahead_next(small.ra, &cloud, &w));
	assert_true(w.decode);
}

/* It goes on when there is room again. */
static void bulk_rests_while_there_is_no_room_for_all(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f, 80, 256 * KIB, false);
	readahead_want_all(f.ra);
	struct readahead_wish w;
	assert_true(readahead_next(f.ra, &cloud, &w));
	readahead_tell_memory(f.ra, 59 * MIB);
	assert_int_equal(grant(&f), 0);
	readahead_tell_memory(f.ra, 60 * MIB);
	assert_int_equal(w.count + grant(&f), 80);
}

static void a_window_keeps_to_the_memory_of_the_day(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init_of(&f, 800, 64 * KIB, 64 * KIB, false);
	uint32_t at = 0, ahead = 0;
	for (; at < 100; at++) {
		touch(&f, at);
		ahead += grant(&f);
	}
	assert_in_range(ahead, 100 + 64, 100 + 256);
	readahead_tell_memory(f.ra, MIB);
	for (; at < 400; at++) {
		touch(&f, at);
		ahead += grant(&f);
	}
	assert_in_range(ahead, 400, 400 + 4);
}

static void all_is_wished_from_the_start_when_told(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f, 333, 256 * KIB, true);
	readahead_want_all(f.ra);
	struct readahead_wish w;
	assert_true(readahead_next(f.ra, &cloud, &w));
	assert_false(w.decode);
	/* Four round trips' worth would be more than one range may be. */
	assert_int_equal(w.count, 16);
	assert_int_equal(w.count + grant(&f), 333);
}

static void a_stream_comes_before_bulk(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f, 2000, 100 * KIB, true);
	readahead_want_all(f.ra);
	struct readahead_wish w;
	assert_true(readahead_next(f.ra, &cloud, &w));
	touch(&f, 1000);
	touch(&f, 1001);
	assert_true(readahead_next(f.ra, &cloud, &w));
	assert_int_equal(w.first, 1002);
	assert_true(w.decode);
}

static void a_failure_pauses_until_a_demand_succeeds(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f, 400, 256 * KIB, true);
	readahead_want_all(f.ra);
	struct readahead_wish first, w;
	assert_true(readahead_next(f.ra, &cloud, &first));
	assert_true(readahead_next(f.ra, &cloud, &w));
	readahead_failed(f.ra, &first);
	assert_false(readahead_next(f.ra, &cloud, &w));
	assert_true(touch(&f, 399));
	memset(f.wished, 0, f.frames);
	grant(&f);
	/* What failed is wished for again. */
	assert_int_equal(f.wished[first.first], 1);
	assert_int_equal(f.wished[first.first + first.count - 1], 1);
}

/* What the disk cannot take any more would be fetched twice. */
static void bulk_waits_while_there_is_no_room(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f, 800, 256 * KIB, true);
	readahead_want_all(f.ra);
	struct readahead_wish w;
	assert_true(readahead_next(f.ra, &cloud, &w));
	assert_false(w.decode);
	readahead_tell_room(f.ra, 0);
	assert_false(readahead_next(f.ra, &cloud, &w));
	assert_true(readahead_tell_room(f.ra, 200 * MIB)); /* just so much */
	assert_int_equal(grant(&f) + w.count, 800);
}

static void bulk_needs_room_for_the_whole_object(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f, 800, 256 * KIB, true);
	readahead_tell_room(f.ra, 200 * MIB - 1);
	assert_int_equal(touches_until_bulk(&f), 800);
	readahead_want_all(f.ra);
	assert_false(stats_of(&f).bulk);
}

/* It is decoded then, and memory keeps it. */
static void what_fits_into_memory_needs_no_room(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f, 80, 256 * KIB, true);
	readahead_want_all(f.ra);
	readahead_tell_room(f.ra, 0);
	struct readahead_wish w;
	for (uint32_t left = 80; left; left -= w.count) {
		assert_true(readahead_next(f.ra, &cloud, &w));
		assert_true(w.decode);
	}
}

static void a_miss_waits_for_room_too(void **state)
{
	CLEANUP(fixture_finish) struct fixture f;
	fixture_init(&f, 1000, 100 * KIB, true);
	assert_true(readahead_miss(f.ra, &f.link, 500, 1));
	readahead_tell_room(f.ra, 0);
	assert_int_equal(grant(&f), 0);
	assert_false(readahead_miss(f.ra, &f.link, 300, 1));
}

/* Of what is guessed not much is in vain: that much is kept long enough by a cache that is
 * smaller than the object. */
static void guesses_need_less_room_than_the_object(void **state)
{
	for (unsigned k = 0; k < 2; k++) {
		CLEANUP(fixture_finish) struct fixture f;
		fixture_init(&f, 20000, 100 * KIB, true);
		readahead_tell_room(f.ra, 1024 * MIB - k);
		assert_int_equal(readahead_miss(f.ra, &f.link, 500, 1), k == 0);
		struct readahead_wish w;
		assert_int_equal(readahead_next(f.ra, &f.link, &w), k == 0);
		if (k == 0)
			assert_false(w.decode);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_wished_before_a_touch),
		cmocka_unit_test(a_window_grows_along_a_stream),
		cmocka_unit_test(what_grows_when_decoded_keeps_to_the_memory),
		cmocka_unit_test(a_large_frame_is_read_ahead_alone),
		cmocka_unit_test(a_window_is_of_the_frames_that_lie_in_it),
		cmocka_unit_test(no_frame_is_wished_twice),
		cmocka_unit_test(the_window_is_as_long_as_the_link_is),
		cmocka_unit_test(wishes_are_worth_a_request),
		cmocka_unit_test(wrong_guesses_end_the_guessing),
		cmocka_unit_test(skipping_halves_the_window),
		cmocka_unit_test(several_streams_run_side_by_side),
		cmocka_unit_test(two_readers_of_one_stream_are_one_stream),
		cmocka_unit_test(the_same_frame_again_changes_nothing),
		cmocka_unit_test(the_end_is_the_end),
		cmocka_unit_test(waiting_for_long_leads_to_bulk),
		cmocka_unit_test(a_small_object_is_taken_sooner),
		cmocka_unit_test(who_does_not_wait_needs_no_bulk),
		cmocka_unit_test(a_trickle_is_no_reason_for_bulk),
		cmocka_unit_test(a_faster_link_waits_less_and_pays_less),
		cmocka_unit_test(bulk_needs_a_place_to_keep_it),
		cmocka_unit_test(bulk_waits_while_there_is_no_room),
		cmocka_unit_test(bulk_needs_room_for_the_whole_object),
		cmocka_unit_test(what_fits_into_memory_needs_no_room),
		cmocka_unit_test(a_miss_waits_for_room_too),
		cmocka_unit_test(guesses_need_less_room_than_the_object),
		cmocka_unit_test(bulk_rests_while_there_is_no_room_for_all),
		cmocka_unit_test(a_window_keeps_to_the_memory_of_the_day),
		cmocka_unit_test(all_is_wished_from_the_start_when_told),
		cmocka_unit_test(around_a_miss_is_guessed_while_it_is_waited_for),
		cmocka_unit_test(not_too_much_is_guessed_for_one_miss),
		cmocka_unit_test(small_files_are_guessed_at_past_large_ones),
		cmocka_unit_test(a_stream_reads_pieces_of_large_files),
		cmocka_unit_test(nothing_is_guessed_that_cannot_be_kept),
		cmocka_unit_test(nothing_is_guessed_when_all_is_coming),
		cmocka_unit_test(a_stream_comes_before_bulk),
		cmocka_unit_test(a_failure_pauses_until_a_demand_succeeds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
