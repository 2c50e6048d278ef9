/* Names that are known, and change in the store. */
#include "tests/unit/test.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/inode.h"
#include "tests/unit/keyspaces.h"

#define A_WHILE (5 * NS_PER_SECOND)

static int lookup_below(struct world *w, const struct shown *directory, const char *name,
	struct shown *ret)
{
	return keyspace_lookup(
		w->keyspace, NULL, directory->number, name, false, ret, NULL);
}

static int lookup_at_hand(struct world *w, const char *name, struct shown *ret)
{
	return lookup_below(w, &(struct shown){0}, name, ret);
}

/* A world whose top directory was listed at this moment, with the clock stopped. */
static struct world *listed_world(const char *const keys[])
{
	struct world *w = world_new(NULL);
	for (; *keys; keys++)
		world_put(w, *keys, "x");
	world_now_ns = 77 * NS_PER_SECOND;
	listing_unref(world_list(w, 0));
	return w;
}

static void a_known_name_that_a_newer_listing_lacks_is_asked_for(void **state)
{
	struct world *w = listed_world((const char *[]){"k0", "k1", "dir/k", NULL});
	struct shown k0, k1, dir, s;
	assert_int_equal(world_lookup(w, 0, "k0", &k0), 0);
	assert_int_equal(world_lookup(w, 0, "k1", &k1), 0);
	assert_int_equal(world_lookup(w, 0, "dir", &dir), 0);
	memory_remove(w->store, "k1");
	memory_remove(w->store, "dir/k");
	world_now_ns += A_WHILE;
	listing_unref(world_list(w, 0));
	assert_int_equal(lookup_at_hand(w, "k1", &s), -EAGAIN);
	assert_int_equal(lookup_at_hand(w, "dir", &s), -EAGAIN);
	assert_int_equal(lookup_at_hand(w, "k0", &s), 0);
	assert_int_equal(s.number, k0.number);
	assert_int_equal(world_lookup(w, 0, "k1", &s), -ENOENT);
	assert_int_equal(world_lookup(w, 0, "dir", &s), -ENOENT);
	/* who has them open still has them, and they may come back */
	assert_int_equal(keyspace_node(w->keyspace, k1.number, &s), 0);
	assert_int_equal(keyspace_node(w->keyspace, dir.number, &s), 0);
	world_now_ns += A_WHILE;
	world_put(w, "k1", "y");
	world_put(w, "dir/other", "y");
	assert_int_equal(world_lookup(w, 0, "k1", &s), 0);
	assert_int_equal(s.number, k1.number);
	assert_int_equal(world_lookup(w, 0, "dir", &s), 0);
	assert_int_equal(s.number, dir.number);
	assert_int_equal(lookup_at_hand(w, "k1", &s), 0);
	assert_int_equal(lookup_at_hand(w, "dir", &s), 0);
	world_free(w);
}

static void a_known_directory_that_became_a_key_is_the_key(void **state)
{
	struct world *w = listed_world((const char *[]){"name/k", NULL});
	struct shown old, fresh, s;
	assert_int_equal(world_lookup(w, 0, "name", &old), 0);
	assert_null(old.doorway);
	world_put(w, "name", "x"); /* now it is both */
	world_now_ns += A_WHILE;
	listing_unref(world_list(w, 0));
	assert_int_equal(world_lookup(w, 0, "name", &fresh), 0);
	assert_non_null(fresh.doorway);
	assert_int_not_equal(fresh.number, old.number);
	/* the directory is there by its number, and what lies below it */
	assert_int_equal(world_lookup(w, old.number, "k", &s), 0);
	keyspace_forget(w->keyspace, old.number, 1);
	assert_int_equal(keyspace_node(w->keyspace, old.number, &old), 0);
	keyspace_forget(w->keyspace, s.number, 1);
	assert_int_equal(keyspace_node(w->keyspace, old.number, &old), -ENOENT);
	assert_int_equal(lookup_at_hand(w, "name", &s), 0);
	assert_int_equal(s.number, fresh.number);
	world_free(w);
}

static void a_known_key_that_became_a_directory_is_the_directory(void **state)
{
	struct world *w = listed_world((const char *[]){"name", NULL});
	struct shown old, fresh, s;
	assert_int_equal(world_lookup(w, 0, "name", &old), 0);
	memory_remove(w->store, "name");
	world_put(w, "name/k", "x");
	world_now_ns += A_WHILE;
	assert_int_equal(world_lookup(w, 0, "name", &fresh), 0);
	assert_null(fresh.doorway);
	assert_int_equal(world_lookup(w, fresh.number, "k", &s), 0);
	/* what the old one's readers find out is nothing to the new one */
	keyspace_lose(w->keyspace, old.number, UINT64_MAX);
	assert_int_equal(lookup_at_hand(w, "name", &s), 0);
	assert_int_equal(s.number, fresh.number);
	world_free(w);
}

static void a_directory_that_turns_out_empty_is_asked_for(void **state)
{
	struct world *w = listed_world((const char *[]){"name/k", NULL});
	struct shown old, s;
	assert_int_equal(world_lookup(w, 0, "name", &old), 0);
	memory_remove(w->store, "name/k");
	world_put(w, "name", "x");
	world_now_ns += A_WHILE;
	assert_int_equal(lookup_at_hand(w, "name", &s), 0);
	listing_unref(world_list(w, old.number));
	assert_int_equal(world_lookup(w, 0, "name", &s), 0);
	assert_non_null(s.doorway);
	world_free(w);
}

static void a_path_into_an_opened_key_stays(void **state)
{
	struct world *w = listed_world((const char *[]){"a/b/k", "k0", NULL});
	struct shown a, b, k, s;
	assert_int_equal(world_lookup(w, 0, "a", &a), 0);
	assert_int_equal(world_lookup(w, a.number, "b", &b), 0);
	assert_int_equal(world_lookup(w, b.number, "k", &k), 0);
	memory_remove(w->store, "a/b/k");
	world_now_ns += A_WHILE;
	listing_unref(world_list(w, 0));
	listing_unref(world_list(w, a.number));
	listing_unref(world_list(w, b.number));
	assert_int_equal(lookup_at_hand(w, "a", &s), 0);
	assert_int_equal(s.number, a.number);
	assert_int_equal(lookup_below(w, &a, "b", &s), 0);
	assert_int_equal(lookup_below(w, &b, "k", &s), 0);
	/* nor is it exchanged for what is a key by now */
	world_put(w, "a", "x");
	world_now_ns += A_WHILE;
	listing_unref(world_list(w, 0));
	assert_int_equal(lookup_at_hand(w, "a", &s), 0);
	assert_int_equal(s.number, a.number);
	/* until nobody has that key any more */
	memory_remove(w->store, "a");
	keyspace_forget(w->keyspace, k.number, 2);
	assert_int_equal(lookup_at_hand(w, "a", &s), -EAGAIN);
	assert_int_equal(world_lookup(w, 0, "a", &s), -ENOENT);
	world_free(w);
}

/* What has lost its name is reached by nobody who comes anew. */
static void no_path_leads_through_what_lost_its_name(void **state)
{
	struct world *w = listed_world((const char *[]){"a/name/k", NULL});
	struct shown a, old, fresh, s;
	assert_int_equal(world_lookup(w, 0, "a", &a), 0);
	listing_unref(world_list(w, a.number));
	assert_int_equal(world_lookup(w, a.number, "name", &old), 0);
	world_put(w, "a/name", "x");
	world_now_ns += A_WHILE;
	listing_unref(world_list(w, a.number));
	assert_int_equal(world_lookup(w, a.number, "name", &fresh), 0);
	assert_int_not_equal(fresh.number, old.number);
	assert_int_equal(world_lookup(w, old.number, "k", &s), 0);
	memory_remove(w->store, "a/name");
	memory_remove(w->store, "a/name/k");
	world_put(w, "k0", "x");
	listing_unref(world_list(w, 0));
	assert_int_equal(lookup_at_hand(w, "a", &s), 0); /* to fresh, which is open */
	keyspace_forget(w->keyspace, fresh.number, 1);
	assert_int_equal(lookup_at_hand(w, "a", &s), -EAGAIN);
	world_free(w);
}

static void list_and_open_below(struct world *w)
{
	struct shown directory;
	w->when_opened = NULL;
	memory_remove(w->store, "name");
	world_put(w, "name/k", "x");
	listing_unref(world_list(w, 0));
	assert_int_equal(lookup_at_hand(w, "name", &directory), 0);
	assert_int_equal(world_lookup(w, directory.number, "k", &w->meanwhile), 0);
}

static void a_key_that_was_found_takes_no_path_from_an_opened_one(void **state)
{
	struct world *w = world_new(NULL);
	struct shown s;
	world_put(w, "name", "x");
	w->when_opened = list_and_open_below;
	assert_int_equal(world_lookup(w, 0, "name", &s), 0);
	assert_null(s.doorway);
	assert_int_equal(lookup_below(w, &s, "k", &s), 0);
	assert_int_equal(s.number, w->meanwhile.number);
	world_free(w);
}

/* The request that finds it out is the one that opens the key for who reads on. */
static void a_key_that_was_not_opened_is_believed_for_a_while(void **state)
{
	struct world *w = listed_world((const char *[]){"k", "dir/k", NULL});
	struct shown s;
	CLEANUP(cleanup_generation) struct generation *g = NULL;
	assert_int_equal(world_lookup(w, 0, "k", &s), 0);
	assert_int_equal(world_lookup(w, 0, "dir", &s), 0);
	world_now_ns += A_WHILE - 1;
	assert_int_equal(lookup_at_hand(w, "k", &s), 0);
	assert_int_equal(w->store->opens, 0);
	world_now_ns++;
	assert_int_equal(lookup_at_hand(w, "k", &s), -EAGAIN);
	assert_int_equal(world_lookup(w, 0, "k", &s), 0);
	assert_int_equal(doorway_generation(s.doorway, CALL_PATIENT, &g, NULL), 0);
	assert_int_equal(w->store->opens, 1);
	/* once open it stays, and a directory does unless something speaks against it */
	memory_remove(w->store, "k");
	world_now_ns += 100 * A_WHILE;
	assert_int_equal(lookup_at_hand(w, "k", &s), 0);
	assert_int_equal(lookup_at_hand(w, "dir", &s), 0);
	listing_unref(world_list(w, 0));
	assert_int_equal(lookup_at_hand(w, "k", &s), 0);
	assert_int_equal(w->store->opens, 1);
	assert_int_equal(w->store->lists, 2);
	cleanup_generation(&g);
	world_free(w);
}

static void a_newer_listing_vouches_for_a_known_name(void **state)
{
	struct world *w = listed_world((const char *[]){"k", NULL});
	struct shown dir, s;
	world_put(w, "dir/k", "x");
	assert_int_equal(world_lookup(w, 0, "dir", &dir), 0);
	assert_int_equal(world_lookup(w, 0, "k", &s), 0);
	int64_t before_s = s.mtime_s;
	world_put(w, "k", "y");
	world_now_ns += A_WHILE;
	listing_unref(world_list(w, 0));
	assert_int_equal(lookup_at_hand(w, "k", &s), 0);
	assert_true(s.mtime_s > before_s);
	/* in which a directory has no time: it keeps the one that it was shown with */
	assert_int_equal(lookup_at_hand(w, "dir", &s), 0);
	assert_int_equal(s.mtime_s, dir.mtime_s);
	world_now_ns += A_WHILE - 1;
	assert_int_equal(lookup_at_hand(w, "k", &s), 0);
	world_now_ns++;
	assert_int_equal(lookup_at_hand(w, "k", &s), -EAGAIN);
	world_free(w);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_known_name_that_a_newer_listing_lacks_is_asked_for),
		cmocka_unit_test(a_known_directory_that_became_a_key_is_the_key),
		cmocka_unit_test(a_known_key_that_became_a_directory_is_the_directory),
		cmocka_unit_test(a_directory_that_turns_out_empty_is_asked_for),
		cmocka_unit_test(a_path_into_an_opened_key_stays),
		cmocka_unit_test(no_path_leads_through_what_lost_its_name),
		cmocka_unit_test(a_key_that_was_found_takes_no_path_from_an_opened_one),
		cmocka_unit_test(a_key_that_was_not_opened_is_believed_for_a_while),
		cmocka_unit_test(a_newer_listing_vouches_for_a_known_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
