/* The small pure parts of fs/: numbers, errors, attributes, signals, setbacks,
 * complaints. */
#include "tests/unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/attributes.h"
#include "fs/complaints.h"
#include "fs/errors.h"
#include "fs/inode.h"
#include "fs/setbacks.h"
#include "fs/signals.h"
#include "fs/slots.h"
#include "tests/unit/archive_builder.h"

/* --- inode numbers ------------------------------------------------------------------ */

static void the_mountpoint_is_number_one(void **state)
{
	assert_int_equal(inode_make(0, 0), 1);
}

static void inodes_come_apart_as_they_were_put_together(void **state)
{
	static const uint32_t slots[] = {0, 1, 77, INODE_SLOT_MOST};
	static const uint32_t numbers[] = {0, 1, 1u << 28, INODE_NUMBER_MOST};
	for (size_t i = 0; i < 4; i++) {
		for (size_t j = 0; j < 4; j++) {
			uint64_t inode = inode_make(slots[i], numbers[j]);
			uint32_t slot, number;
			assert_true(inode_split(inode, &slot, &number));
			assert_int_equal(slot, slots[i]);
			assert_int_equal(number, numbers[j]);
			assert_true(inode < UINT64_C(1) << 53);
		}
	}
}

static void numbers_never_given_are_refused(void **state)
{
	uint32_t slot, number;
	assert_false(inode_split(0, &slot, &number));
	assert_false(inode_split(UINT64_C(5) << INODE_SLOT_SHIFT, &slot, &number));
	assert_false(inode_split(UINT64_MAX, &slot, &number));
	assert_false(inode_split(
		inode_make(INODE_SLOT_MOST, 0) + (UINT64_C(1) << INODE_SLOT_SHIFT), &slot,
		&number));
}

static void slots_are_found_dropped_and_not_used_again(void **state)
{
	struct slots *s = malloc(sizeof(*s));
	slots_init(s);
	static char things[3 * SLOTS_BLOCK];
	uint32_t slot;
	for (size_t i = 0; i < sizeof(things); i++) {
		assert_int_equal(
			slots_take(s, (struct generation *)&things[i], &slot), 0);
		assert_int_equal(slot, i + 1);
	}
	assert_int_equal(slots_end(s), sizeof(things) + 1);
	assert_ptr_equal(slots_get(s, 1), &things[0]);
	assert_ptr_equal(slots_get(s, 2 * SLOTS_BLOCK), &things[2 * SLOTS_BLOCK - 1]);
	slots_drop(s, 1);
	assert_null(slots_get(s, 1));
	assert_null(slots_get(s, sizeof(things) + 1));
	assert_null(slots_get(s, UINT32_MAX));
	assert_int_equal(slots_take(s, (struct generation *)&things[0], &slot), 0);
	assert_int_equal(slot, sizeof(things) + 1);
	slots_finish(s);
	free(s);
}

/* --- errors ------------------------------------------------------------------------- */

static void readers_see_few_errors(void **state)
{
	static const struct {
		int code, lookup, read;
	} table[] = {
		{-ENOENT, ENOENT, EIO},
		{-ESTALE, ESTALE, ESTALE},
		{-EACCES, EACCES, EACCES},
		{-EKEYREJECTED, EACCES, EACCES},
		{-ECANCELED, EINTR, EINTR},
		{-ETIMEDOUT, EIO, EIO},
		{-EBADMSG, EIO, EIO},
		{-ENOMEM, EIO, EIO},
		{-EINVAL, EIO, EIO},
		{-ECONNRESET, EIO, EIO},
		{-EIO, EIO, EIO},
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		assert_int_equal(errno_of_lookup(table[i].code), table[i].lookup);
		assert_int_equal(errno_of_read(table[i].code), table[i].read);
	}
}

/* --- attributes --------------------------------------------------------------------- */

static struct index *small_index(struct archive_builder *b)
{
	builder_file(b, "file", "0123456789", 10)->mode = S_IFREG | 04755;
	builder_link(b, "zlink", "file");
	builder_symlink(b, "sym", "target");
	builder_dir(b, "dir")->mode = S_IFDIR | 02750;
	builder_file(b, "dir/inner", "x", 1)->seconds = 77;
	for (size_t i = 0; i < b->count; i++) {
		b->entries[i].uid = 1234;
		b->entries[i].gid = 4321;
	}
	b->owners = true;
	builder_lay(b);
	size_t len;
	void *raw = builder_index(b, &len);
	struct index *ix;
	assert_int_equal(index_parse(raw, len, &ix, NULL), 0);
	return ix;
}

static void owners_are_the_mounters_unless_preserved(void **state)
{
	CLEANUP(cleanup_builder) struct archive_builder *b = builder_new();
	CLEANUP(cleanup_index) struct index *ix = small_index(b);
	uint32_t file = builder_number(b, "file");
	struct owner_policy owner = {.uid = 5, .gid = 6};
	struct stat st;
	attributes_of_entry(ix, file, 99, &owner, &st);
	assert_int_equal(st.st_ino, 99);
	assert_int_equal(st.st_uid, 5);
	assert_int_equal(st.st_gid, 6);
	assert_int_equal(st.st_mode, S_IFREG | 0755);
	owner.preserve = true;
	attributes_of_entry(ix, file, 99, &owner, &st);
	assert_int_equal(st.st_uid, 1234);
	assert_int_equal(st.st_gid, 4321);
	assert_int_equal(st.st_mode, S_IFREG | 04755);
}

static void sizes_links_and_times_are_told(void **state)
{
	CLEANUP(cleanup_builder) struct archive_builder *b = builder_new();
	CLEANUP(cleanup_index) struct index *ix = small_index(b);
	const struct owner_policy owner = {0};
	struct stat st;
	attributes_of_entry(ix, builder_number(b, "file"), 1, &owner, &st);
	assert_int_equal(st.st_nlink, 2);
	assert_int_equal(st.st_size, 10);
	assert_int_equal(st.st_blocks, 1);
	attributes_of_entry(ix, builder_number(b, "sym"), 1, &owner, &st);
	assert_int_equal(st.st_mode, S_IFLNK | 0777);
	assert_int_equal(st.st_size, strlen("target"));
	assert_int_equal(st.st_blocks, 0);
	attributes_of_entry(ix, builder_number(b, "dir"), 1, &owner, &st);
	assert_int_equal(st.st_mode, S_IFDIR | 02750);
	assert_int_equal(st.st_nlink, 1);
	attributes_of_entry(ix, builder_number(b, "dir/inner"), 1, &owner, &st);
	assert_int_equal(st.st_mtim.tv_sec, 77);
	assert_int_equal(st.st_ctim.tv_sec, 77);
}

static void names_of_one_file_have_one_inode(void **state)
{
	CLEANUP(cleanup_builder) struct archive_builder *b = builder_new();
	CLEANUP(cleanup_index) struct index *ix = small_index(b);
	uint64_t one = attributes_inode(ix, 3, builder_number(b, "file"));
	assert_int_equal(attributes_inode(ix, 3, builder_number(b, "zlink")), one);
	assert_int_not_equal(attributes_inode(ix, 4, builder_number(b, "file")), one);
	assert_int_not_equal(attributes_inode(ix, 3, builder_number(b, "sym")), one);
}

/* --- signals ------------------------------------------------------------------------ */

static bool says_stop(const char *own, const char *shared, const char *blocked,
	const char *ignored, const char *caught)
{
	char status[512];
	snprintf(status, sizeof(status),
		"Name:\tx\nSigQ:\t0/"
		"1\nSigPnd:\t%s\nShdPnd:\t%s\nSigBlk:\t%s\nSigIgn:\t%s\n"
		"SigCgt:\t%s\nCapInh:\t0\n",
		own, shared, blocked, ignored, caught);
	return signals_say_stop(status, false);
}

#define NONE "0000000000000000"
#define INT  "0000000000000002"
#define KILL "0000000000000100"
#define SEGV "0000000000000400"
#define TERM "0000000000004000"
#define CHLD "0000000000010000"
#define URG  "0000000000400000"
#define USR1 "0000000000000200"
#define ALRM "0000000000002000"

static void only_ends_end_a_wait(void **state)
{
	assert_true(says_stop(KILL, NONE, NONE, NONE, NONE));
	assert_true(says_stop(NONE, INT, NONE, NONE, NONE));
	assert_true(says_stop(NONE, INT, NONE, NONE, INT));
	assert_true(says_stop(NONE, TERM, NONE, NONE, TERM));
	assert_true(says_stop(SEGV, NONE, NONE, NONE, NONE));
	assert_true(says_stop(NONE, USR1, NONE, NONE, NONE));
	assert_false(says_stop(NONE, NONE, NONE, NONE, NONE));
	assert_false(says_stop(NONE, CHLD, NONE, NONE, CHLD));
	assert_false(says_stop(NONE, CHLD, NONE, NONE, NONE));
	assert_false(says_stop(URG, NONE, NONE, NONE, URG));
	assert_false(says_stop(NONE, USR1, NONE, NONE, USR1));
	assert_false(says_stop(NONE, ALRM, NONE, NONE, ALRM));
	assert_false(says_stop(NONE, INT, INT, NONE, NONE));
	assert_false(says_stop(NONE, INT, NONE, INT, NONE));
}

static void what_cannot_be_read_is_as_one_takes_it(void **state)
{
	for (int unseen = 0; unseen < 2; unseen++) {
		assert_int_equal(signals_say_stop("", unseen), unseen);
		assert_int_equal(
			signals_say_stop("Name:\tx\nSigPnd:\t0\n", unseen), unseen);
		assert_int_equal(thread_wants_stop(0, unseen), unseen);
		assert_int_equal(thread_wants_stop(INT_MAX, unseen), unseen);
		assert_false(thread_wants_stop(getpid(), unseen));
	}
}

/* --- setbacks ----------------------------------------------------------------------- */

static void a_second_try_inherits_the_deadline(void **state)
{
	static struct setbacks s;
	setbacks_init(&s);
	uint64_t now = 100 * NS_PER_SECOND, late = now + 30 * NS_PER_SECOND;
	assert_int_equal(setbacks_deadline(&s, now, 7, 0, 4096, late), late);
	setbacks_note(&s, now, 7, 0, 131072, now);
	assert_int_equal(setbacks_deadline(&s, now, 7, 4096, 4096, late), now);
	assert_int_equal(setbacks_deadline(&s, now, 7, 131072, 4096, late), late);
	assert_int_equal(setbacks_deadline(&s, now, 8, 4096, 4096, late), late);
	assert_int_equal(
		setbacks_deadline(&s, now + SETBACK_NS, 7, 4096, 4096, late), late);
	setbacks_finish(&s);
}

static void the_earliest_deadline_counts(void **state)
{
	static struct setbacks s;
	setbacks_init(&s);
	uint64_t now = NS_PER_SECOND;
	setbacks_note(&s, now, 1, 0, 10, now + 500);
	setbacks_note(&s, now, 1, 5, 10, now + 300);
	assert_int_equal(setbacks_deadline(&s, now, 1, 6, 1, now + 400), now + 300);
	assert_int_equal(setbacks_deadline(&s, now, 1, 6, 1, now + 200), now + 200);
	setbacks_finish(&s);
}

static void old_setbacks_give_way(void **state)
{
	static struct setbacks s;
	setbacks_init(&s);
	uint64_t now = NS_PER_SECOND;
	for (uint64_t i = 0; i <= SETBACKS_MOST; i++)
		setbacks_note(&s, now, 1, 100 * i, 10, now);
	assert_int_equal(setbacks_deadline(&s, now, 1, 0, 10, now + 9), now + 9);
	assert_int_equal(setbacks_deadline(&s, now, 1, 100, 10, now + 9), now);
	setbacks_finish(&s);
}

static void hundreds_of_files_and_places_are_kept_in_mind(void **state)
{
	static struct setbacks s;
	setbacks_init(&s);
	uint64_t now = NS_PER_SECOND;
	for (uint32_t i = 0; i < 1000; i++) {
		setbacks_note(&s, now, inode_make(1, i), 0, 10, now);
		setbacks_note(&s, now, 1, 100 * i, 10, now);
	}
	for (uint32_t i = 0; i < 1000; i++) {
		assert_int_equal(
			setbacks_deadline(&s, now, inode_make(1, i), 0, 10, now + 9),
			now);
		assert_int_equal(
			setbacks_deadline(&s, now, 1, 100 * i, 10, now + 9), now);
	}
	setbacks_finish(&s);
}

static void names_are_subjects_of_their_own(void **state)
{
	uint64_t a = setbacks_subject(1, "a");
	assert_int_equal(setbacks_subject(1, "a"), a);
	assert_int_not_equal(setbacks_subject(1, "b"), a);
	assert_int_not_equal(setbacks_subject(2, "a"), a);
	assert_true(a > inode_make(INODE_SLOT_MOST, INODE_NUMBER_MOST));
}

/* --- complaints --------------------------------------------------------------------- */

static void the_same_complaint_is_said_once_in_a_while(void **state)
{
	static struct complaints c;
	uint64_t quiet = 99, now = NS_PER_SECOND;
	complaints_init(&c);
	assert_true(complaints_due(&c, now, "key", -EIO, &quiet));
	assert_int_equal(quiet, 0);
	for (int i = 0; i < 1000; i++)
		assert_false(complaints_due(&c, now + 1, "key", -EIO, &quiet));
	assert_true(complaints_due(&c, now + 1, "key", -ESTALE, &quiet));
	assert_true(complaints_due(&c, now + 1, "other", -EIO, &quiet));
	assert_true(complaints_due(&c, now + COMPLAINT_NS, "key", -EIO, &quiet));
	assert_int_equal(quiet, 1000);
	complaints_finish(&c);
}

static void many_subjects_do_not_overflow(void **state)
{
	static struct complaints c;
	uint64_t quiet;
	char key[16];
	complaints_init(&c);
	for (int i = 0; i < 3 * COMPLAINTS_MOST; i++) {
		snprintf(key, sizeof(key), "key %d", i);
		assert_true(complaints_due(&c, (uint64_t)i + 1, key, 0, &quiet));
	}
	assert_false(complaints_due(&c, 3 * COMPLAINTS_MOST + 1, key, 0, &quiet));
	assert_true(complaints_due(&c, 3 * COMPLAINTS_MOST + 1, "key 0", 0, &quiet));
	complaints_finish(&c);
}

static void some_complaints_are_said_once(void **state)
{
	static struct complaints c;
	char key[16];
	complaints_init(&c);
	assert_true(complaints_first(&c, "key", -EACCES));
	assert_false(complaints_first(&c, "key", -EACCES));
	assert_true(complaints_first(&c, "key", -EIO));
	for (int i = 2; i < COMPLAINTS_ONCE; i++) {
		snprintf(key, sizeof(key), "key %d", i);
		assert_true(complaints_first(&c, key, -EACCES));
	}
	assert_false(complaints_first(&c, "key", -EACCES));
	assert_true(complaints_first(&c, "one too many", -EACCES));
	assert_true(complaints_first(&c, "key", -EACCES));
	complaints_finish(&c);
}

static void the_last_complaint_is_kept(void **state)
{
	static struct complaints c;
	struct last_complaint last;
	complaints_init(&c);
	complaints_last(&c, &last);
	assert_string_equal(last.sentence, "");
	log_init("test", LOG_ERROR, open("/dev/null", O_WRONLY | O_CLOEXEC));
	complain(&c, LOG_ERROR, "key", -EIO, "one");
	complain(&c, LOG_ERROR, "key", -EIO, "the same, not said again");
	complaints_last(&c, &last);
	assert_string_equal(last.sentence, "the same, not said again");
	assert_in_range(last.when_ns, 1, clock_monotonic_ns());
	complain(&c, LOG_WARNING, "key", -EACCES, "what the log\n\033 does not want");
	complaints_last(&c, &last);
	assert_string_equal(last.sentence, "what the log?? does not want");
	complaints_finish(&c);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_mountpoint_is_number_one),
		cmocka_unit_test(inodes_come_apart_as_they_were_put_together),
		cmocka_unit_test(numbers_never_given_are_refused),
		cmocka_unit_test(slots_are_found_dropped_and_not_used_again),
		cmocka_unit_test(readers_see_few_errors),
		cmocka_unit_test(owners_are_the_mounters_unless_preserved),
		cmocka_unit_test(sizes_links_and_times_are_told),
		cmocka_unit_test(names_of_one_file_have_one_inode),
		cmocka_unit_test(only_ends_end_a_wait),
		cmocka_unit_test(what_cannot_be_read_is_as_one_takes_it),
		cmocka_unit_test(a_second_try_inherits_the_deadline),
		cmocka_unit_test(the_earliest_deadline_counts),
		cmocka_unit_test(old_setbacks_give_way),
		cmocka_unit_test(hundreds_of_files_and_places_are_kept_in_mind),
		cmocka_unit_test(names_are_subjects_of_their_own),
		cmocka_unit_test(the_same_complaint_is_said_once_in_a_while),
		cmocka_unit_test(many_subjects_do_not_overflow),
		cmocka_unit_test(some_complaints_are_said_once),
		cmocka_unit_test(the_last_complaint_is_kept),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
