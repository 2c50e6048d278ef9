#include "tests/unit/test.h"

#include <errno.h>
#include <sys/resource.h>

#include "archive/archive.h"
#include "archive/format.h"
#include "archive/pack.h"
#include "archive/reader.h"
#include "fetch/base/buf.h"
#include "tests/unit/pseudo_random.h"
#include "tests/unit/scratch.h"

#define MIB (1u << 20)

/* What the file system answers instead; 0: nothing. */
static struct {
	int pread_fails;
	int getdents_fails;
} disk;

/* pread(2), by the name that it has where offsets have 64 bits. */
ssize_t __real_pread64(int fd, void *buf, size_t len, off_t offset);
ssize_t __wrap_pread64(int fd, void *buf, size_t len, off_t offset);
ssize_t __wrap_pread64(int fd, void *buf, size_t len, off_t offset)
{
	if (!disk.pread_fails)
		return __real_pread64(fd, buf, len, offset);
	errno = disk.pread_fails;
	return -1;
}

ssize_t __real_getdents64(int fd, void *buf, size_t len);
ssize_t __wrap_getdents64(int fd, void *buf, size_t len);
ssize_t __wrap_getdents64(int fd, void *buf, size_t len)
{
	if (!disk.getdents_fails)
		return __real_getdents64(fd, buf, len);
	errno = disk.getdents_fails;
	return -1;
}

/* Receives an archive, and may do something at its first byte. */
struct receiver {
	struct buf bytes;
	void (*at_first)(const struct scratch *dir);
	const struct scratch *dir;
	int fail_with;
	unsigned calls;
};

static int receive(void *arg, const void *data, size_t len, struct error *e)
{
	struct receiver *r = arg;
	if (!r->calls++ && r->at_first)
		r->at_first(r->dir);
	if (r->fail_with)
		return error_set(e, r->fail_with, "the sink is full");
	return buf_append(&r->bytes, data, len);
}

static void receiver_finish(struct receiver *r)
{
	buf_finish(&r->bytes);
}

#define RECEIVER ((struct receiver){.bytes = BUF_INIT(256 * (size_t)MIB)})

static const struct pack_options plain = {.level = PACK_LEVEL_DEFAULT, .threads = 1};

static int pack_into(const struct scratch *dir, const struct pack_options *options,
	const struct call *call, struct receiver *r, struct pack_result *ret,
	struct error *e)
{
	CLEANUP(cleanup_close)
	int fd = open(dir->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	r->dir = dir;
	return pack_directory(fd, "top", options, call, receive, r, ret, e);
}

static void pack_well(const struct scratch *dir, const struct pack_options *options,
	struct receiver *r, struct pack_result *ret)
{
	struct error e = {0};
	if (pack_into(dir, options, CALL_PATIENT, r, ret, &e) < 0)
		fail_msg("%s", e.text);
}

/* An archive just packed, opened. */
struct opened {
	struct range_source *source;
	struct archive *archive;
	struct reader *reader;
};

static struct opened open_archive(const struct receiver *r)
{
	struct opened o = {.source = memory_source_new(r->bytes.data, r->bytes.len)};
	struct error e = {0};
	bool foreign;
	if (archive_load(o.source, CALL_PATIENT, r->bytes.data, r->bytes.len, "packed",
		    &o.archive, &foreign, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(reader_new(o.archive, o.source, 64 * MIB, &o.reader), 0);
	return o;
}

static void opened_finish(struct opened *o)
{
	reader_free(o->reader);
	archive_free(o->archive);
	range_source_free(o->source);
}

static uint32_t find(const struct opened *o, const char *path)
{
	uint32_t entry;
	assert_int_equal(index_find(archive_index(o->archive), path, &entry), 0);
	return entry;
}

static void assert_content(const struct opened *o, const char *path, const char *want)
{
	char buf[256];
	size_t len = 0;
	assert_int_equal(reader_read(o->reader, CALL_PATIENT, find(o, path), 0,
				 sizeof(buf), buf, &len, NULL),
		0);
	assert_int_equal(len, strlen(want));
	assert_memory_equal(buf, want, len);
}

static void what_was_packed_is_read(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	scratch_write(&dir, "a/file", "content of a");
	scratch_write(&dir, "b", "");
	assert_int_equal(symlink("a/file", scratch_path(&dir, "link")), 0);
	assert_int_equal(
		link(scratch_path(&dir, "a/file"), scratch_path(&dir, "hard")), 0);
	assert_int_equal(mkfifo(scratch_path(&dir, "fifo"), 0600), 0);
	CLEANUP(receiver_finish) struct receiver r = RECEIVER;
	struct pack_result result = {0};
	pack_well(&dir, &plain, &r, &result);
	assert_int_equal(result.entries, 6);
	assert_int_equal(result.files, 3);
	assert_int_equal(result.content_bytes, 12);
	assert_int_equal(result.left_out, 1);
	assert_int_equal(result.stored_bytes, r.bytes.len);
	CLEANUP(opened_finish) struct opened o = open_archive(&r);
	assert_true(digest_equal(archive_identity(o.archive), &result.identity));
	assert_int_equal(index_count(archive_index(o.archive)), 6);
	assert_content(&o, "a/file", "content of a");
	assert_content(&o, "hard", "content of a");
	assert_content(&o, "b", "");
	assert_int_equal(index_primary(archive_index(o.archive), find(&o, "hard")),
		find(&o, "a/file"));
}

/* It is refused, or (in the number that says what kind of frame the identity's is, four
 * bits tell of frames for others) does not touch what is read. */
static void no_changed_bit_behind_the_frames_passes(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	for (char name[] = "a/file-a"; name[7] <= 'z'; name[7]++)
		scratch_write(&dir, name, name);
	CLEANUP(receiver_finish) struct receiver r = RECEIVER;
	struct pack_result result = {0};
	pack_well(&dir, &plain, &r, &result);
	CLEANUP(opened_finish) struct opened o = open_archive(&r);
	struct outer_section digests;
	assert_int_equal(
		index_outer(archive_index(o.archive), OUTER_CONTENT_DIGESTS, &digests),
		0);
	size_t begin = (size_t)(digests.offset + digests.stored_len), refused = 0;
	for (size_t bit = begin * 8; bit < r.bytes.len * 8; bit++) {
		struct archive *damaged = NULL;
		r.bytes.data[bit / 8] ^= (char)(1 << bit % 8);
		int code = archive_load(o.source, CALL_PATIENT, r.bytes.data, r.bytes.len,
			"packed", &damaged, NULL, NULL);
		if (code == 0)
			assert_true(digest_equal(
				archive_identity(damaged), &result.identity));
		else
			assert_int_equal(code, -EBADMSG);
		refused += code < 0;
		archive_free(damaged);
		r.bytes.data[bit / 8] ^= (char)(1 << bit % 8);
	}
	assert_in_range((r.bytes.len - begin) * 8 - refused, 0, 4);
}

/* A file of `size` bytes that do not compress, the same for the same seed. */
static void write_noise(
	const struct scratch *dir, const char *name, size_t size, uint32_t seed)
{
	CLEANUP(cleanup_free) char *noise = malloc(size + 1);
	pseudo_random_bytes(noise, size, seed);
	for (size_t i = 0; i < size; i++)
		noise[i] |= 1;
	noise[size] = '\0';
	scratch_write(dir, name, noise);
}

static void content_digests_are_those_of_the_content(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	scratch_write(&dir, "a", "one");
	scratch_write(&dir, "b", "two");
	write_noise(&dir, "large", LARGE_FILE + 1, 1);
	CLEANUP(receiver_finish) struct receiver r = RECEIVER;
	struct pack_result result;
	pack_well(&dir, &plain, &r, &result);
	CLEANUP(opened_finish) struct opened o = open_archive(&r);
	uint8_t(*digests)[16] = NULL;
	assert_int_equal(archive_content_digests(
				 o.archive, o.source, CALL_PATIENT, &digests, NULL),
		0);
	struct digest want;
	assert_int_equal(digest_of("one", 3, &want), 0);
	assert_memory_equal(digests[find(&o, "a")], &want, 16);
	assert_int_equal(digest_of("two", 3, &want), 0);
	assert_memory_equal(digests[find(&o, "b")], &want, 16);
	static const uint8_t none[16];
	assert_memory_equal(digests[find(&o, "large")], none, 16);
	free(digests);
}

static void fill(const struct scratch *dir, int files, size_t size)
{
	for (int i = 0; i < files; i++) {
		char name[32];
		snprintf(name, sizeof(name), "d%d/file-%03d", i % 7, i);
		write_noise(dir, name, size, (uint32_t)i);
	}
}

static void any_number_of_threads_writes_the_same(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	fill(&dir, 300, 9000);
	write_noise(&dir, "large", 5 * MIB + 12345, 1);
	write_noise(&dir, "d3/large", 2 * MIB, 2);
	struct pack_options options = plain;
	CLEANUP(receiver_finish) struct receiver one = RECEIVER;
	struct pack_result first;
	pack_well(&dir, &options, &one, &first);
	for (options.threads = 2; options.threads <= 16; options.threads += 7) {
		CLEANUP(receiver_finish) struct receiver more = RECEIVER;
		struct pack_result result;
		pack_well(&dir, &options, &more, &result);
		assert_int_equal(more.bytes.len, one.bytes.len);
		assert_memory_equal(more.bytes.data, one.bytes.data, one.bytes.len);
		assert_memory_equal(&result.identity, &first.identity, DIGEST_SIZE);
	}
}

/* Frames of b that a has as well. */
static uint32_t frames_shared(const struct opened *a, const struct opened *b)
{
	const struct index *x = archive_index(a->archive), *y = archive_index(b->archive);
	uint32_t shared = 0;
	for (uint32_t i = 0; i < index_frame_count(y); i++)
		for (uint32_t k = 0; k < index_frame_count(x); k++)
			if (digest_equal(&index_frame_digests(x)[k],
				    &index_frame_digests(y)[i])) {
				shared++;
				break;
			}
	return shared;
}

static void a_change_leaves_other_frames_as_they_were(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	fill(&dir, 700, 9000);
	write_noise(&dir, "large", 3 * MIB, 1);
	CLEANUP(receiver_finish) struct receiver before = RECEIVER;
	struct pack_result result;
	struct pack_options options = {.level = 1, .reproducible = true};
	pack_well(&dir, &options, &before, &result);
	CLEANUP(opened_finish) struct opened a = open_archive(&before);
	uint32_t frames = index_frame_count(archive_index(a.archive));
	assert_true(frames > 20);
	for (int change = 0; change < 3; change++) {
		if (change == 0)
			scratch_write(&dir, "d3/file-150", "is another one now");
		else if (change == 1)
			scratch_write(&dir, "d1/file-new", "is new");
		else
			assert_int_equal(unlink(scratch_path(&dir, "d5/file-054")), 0);
		CLEANUP(receiver_finish) struct receiver after = RECEIVER;
		pack_well(&dir, &options, &after, &result);
		CLEANUP(opened_finish) struct opened b = open_archive(&after);
		uint32_t now = index_frame_count(archive_index(b.archive));
		assert_true(now - frames_shared(&a, &b) <= 3 * (uint32_t)(change + 1));
	}
}

static void change_last_file(const struct scratch *dir)
{
	scratch_write(dir, "z", "12345");
}

/* Its frame is the one that has just been handed over. */
static void change_first_file(const struct scratch *dir)
{
	scratch_write(dir, "a", "in place");
}

static void add_a_file(const struct scratch *dir)
{
	scratch_write(dir, "d/new", "");
}

static void remove_a_directory(const struct scratch *dir)
{
	assert_int_equal(unlink(scratch_path(dir, "y/file")), 0);
	assert_int_equal(rmdir(scratch_path(dir, "y")), 0);
}

/* What happens at the first byte is behind the walk, and before the last files are read:
 * with one thread there are four frames at most on their way. */
static void assert_busy(void (*at_first)(const struct scratch *), const char *named)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	scratch_write(&dir, "a", "1");
	scratch_mkdir(&dir, "d");
	write_noise(&dir, "large", 9 * MIB, 1);
	scratch_write(&dir, "y/file", "1");
	scratch_write(&dir, "z", "54321");
	CLEANUP(receiver_finish) struct receiver r = RECEIVER;
	r.at_first = at_first;
	struct error e = {0};
	struct pack_result result;
	assert_int_equal(pack_into(&dir, &plain, CALL_PATIENT, &r, &result, &e), -EBUSY);
	char want[128];
	snprintf(want, sizeof(want), "'%s' changed while it was being packed", named);
	assert_string_equal(e.text, want);
	assert_int_equal(e.code, -EBUSY);
}

static void a_tree_that_does_not_hold_still_is_refused(void **state)
{
	assert_busy(change_last_file, "top/z");
	assert_busy(change_first_file, "top/a");
	assert_busy(add_a_file, "top/d");
	assert_busy(remove_a_directory, "top/y/file");
}

static void the_sink_s_error_ends_it(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	write_noise(&dir, "large", 20 * MIB, 1);
	CLEANUP(receiver_finish) struct receiver r = RECEIVER;
	r.fail_with = -ENOSPC;
	struct error e = {0};
	struct pack_result result;
	assert_int_equal(pack_into(&dir, &plain, CALL_PATIENT, &r, &result, &e), -ENOSPC);
	assert_string_equal(e.text, "the sink is full");
	assert_int_equal(r.calls, 1);
}

static void a_call_that_is_over_ends_it(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	scratch_write(&dir, "a", "1");
	CLEANUP(receiver_finish) struct receiver r = RECEIVER;
	struct cancel cancel;
	cancel_init(&cancel);
	cancel_fire(&cancel);
	struct call call = {.deadline_ns = DEADLINE_NONE, .cancel = &cancel};
	struct pack_result result;
	struct error e = {0};
	assert_int_equal(pack_into(&dir, &plain, &call, &r, &result, &e), -ECANCELED);
	assert_string_equal(e.text, "packing 'top' was interrupted");
	cancel_finish(&cancel);
	call = (struct call){.deadline_ns = 1};
	assert_int_equal(pack_into(&dir, &plain, &call, &r, &result, &e), -ETIMEDOUT);
}

static void an_unreadable_file_is_named(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	scratch_write(&dir, "d/secret", "1");
	assert_int_equal(chmod(dir.path, 0755), 0);
	assert_int_equal(chmod(scratch_path(&dir, "d/secret"), 0), 0);
	CLEANUP(receiver_finish) struct receiver r = RECEIVER;
	struct pack_result result;
	struct error e = {0};
	uid_t before = geteuid();
	if (before == 0)
		assert_int_equal(seteuid(65534), 0);
	int code = pack_into(&dir, &plain, CALL_PATIENT, &r, &result, &e);
	assert_int_equal(seteuid(before), 0);
	assert_int_equal(code, -EACCES);
	assert_string_equal(e.text, "cannot read 'top/d/secret': Permission denied");
}

static void options_reach_the_index(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	scratch_write(&dir, "keep", "1");
	scratch_write(&dir, "drop.o", "1");
	const char *exclude[] = {"*.o", NULL};
	struct pack_options options = {
		.level = 19,
		.preserve_owner = true,
		.reproducible = true,
		.reproducible_mtime_s = 1234,
		.exclude = exclude,
	};
	CLEANUP(receiver_finish) struct receiver r = RECEIVER;
	struct pack_result result;
	pack_well(&dir, &options, &r, &result);
	assert_int_equal(result.entries, 2);
	CLEANUP(opened_finish) struct opened o = open_archive(&r);
	struct entry_info info;
	index_info(archive_index(o.archive), find(&o, "keep"), &info);
	assert_int_equal(info.mtime.tv_sec, 1234);
	assert_int_equal(info.mtime.tv_nsec, 0);
	assert_true(info.has_owner);
	assert_int_equal(info.uid, geteuid());
}

static void levels_are_those_of_zstd(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(receiver_finish) struct receiver r = RECEIVER;
	struct pack_result result;
	struct error e = {0};
	for (int level = 0; level <= 20; level += 20) {
		struct pack_options options = {.level = level};
		assert_int_equal(pack_into(&dir, &options, CALL_PATIENT, &r, &result, &e),
			-EINVAL);
	}
	assert_string_equal(e.text, "there is no compression level 20: 1 to 19");
}

/* What the disk says is no word of Larder's: neither "published already" nor the like. */
static void what_the_file_system_says_is_a_failure(void **state)
{
	static const int codes[] = {EINVAL, EEXIST, EOPNOTSUPP, ETIMEDOUT, EBADMSG,
		EKEYREJECTED, ECANCELED, EIO};
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	scratch_write(&dir, "a/file", "content");
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		for (int of_names = 0; of_names < 2; of_names++) {
			CLEANUP(receiver_finish) struct receiver r = RECEIVER;
			struct pack_result result;
			struct error e = {0};
			char want[128];
			disk.pread_fails = of_names ? 0 : codes[i];
			disk.getdents_fails = of_names ? codes[i] : 0;
			int code = pack_into(&dir, &plain, CALL_PATIENT, &r, &result, &e);
			disk.pread_fails = disk.getdents_fails = 0;
			snprintf(want, sizeof(want), "cannot read 'top%s': %s",
				of_names ? "" : "/a/file", strerror(codes[i]));
			assert_int_equal(code, -EIO);
			assert_int_equal(e.code, -EIO);
			assert_string_equal(e.text, want);
		}
	}
}

/* Many processors are no reason to run out of descriptors. */
static void as_many_directories_are_open_as_may_be(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	for (int i = 0; i < 2000; i++) {
		char name[32];
		snprintf(name, sizeof(name), "a/%d/b%d/file", i % 7, i);
		write_noise(&dir, name, 3000, (uint32_t)i);
	}
	struct pack_options options = plain;
	CLEANUP(receiver_finish) struct receiver one = RECEIVER;
	struct pack_result first, result;
	pack_well(&dir, &options, &one, &first);
	static const rlim_t limits[] = {512, 80};
	options.threads = 64;
	for (size_t i = 0; i < 2; i++) {
		CLEANUP(receiver_finish) struct receiver r = RECEIVER;
		struct rlimit before, low;
		assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
		low = (struct rlimit){limits[i], before.rlim_max};
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
		struct error e = {0};
		int code = pack_into(&dir, &options, CALL_PATIENT, &r, &result, &e);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
		if (code < 0)
			fail_msg("%s", e.text);
		assert_true(digest_equal(&result.identity, &first.identity));
	}
}

/* 600 MiB of nothing: read in no time, and a thousand times smaller in the index too. */
static void a_hole_costs_little(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	scratch_write(&dir, "a/sparse", "");
	uint64_t size = 600 * (uint64_t)MIB;
	assert_int_equal(truncate(scratch_path(&dir, "a/sparse"), (off_t)size), 0);
	CLEANUP(receiver_finish) struct receiver r = RECEIVER;
	struct pack_result result;
	pack_well(&dir, &plain, &r, &result);
	assert_int_equal(result.content_bytes, size);
	assert_true(r.bytes.len < 100 * 1024);
	CLEANUP(opened_finish) struct opened o = open_archive(&r);
	assert_int_equal(index_frame_count(archive_index(o.archive)), 602);
}

struct seen {
	unsigned calls;
	struct pack_progress last;
};

static void note_progress(void *arg, const struct pack_progress *p)
{
	struct seen *seen = arg;
	seen->calls++;
	seen->last = *p;
}

/* Equal targets make an index that readers take for a bomb: better none than that one. */
static void what_nobody_could_read_is_not_packed(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(receiver_finish) struct receiver r = RECEIVER;
	char target[4000], name[8];
	memset(target, 'x', sizeof(target) - 1);
	target[sizeof(target) - 1] = '\0';
	for (int i = 0; i < 400; i++) {
		snprintf(name, sizeof(name), "%d", i);
		assert_int_equal(symlink(target, scratch_path(&dir, name)), 0);
	}
	struct pack_result result;
	struct error e = {0};
	assert_int_equal(pack_into(&dir, &plain, CALL_PATIENT, &r, &result, &e), -EFBIG);
	assert_string_equal(e.text, "'top' is past what an archive can hold");
}

static void progress_ends_with_everything(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	fill(&dir, 20, 1000);
	write_noise(&dir, "large", 3 * MIB, 1);
	struct seen seen = {0};
	struct pack_options options = plain;
	options.progress = note_progress;
	options.arg = &seen;
	CLEANUP(receiver_finish) struct receiver r = RECEIVER;
	struct pack_result result;
	pack_well(&dir, &options, &r, &result);
	assert_true(seen.calls >= 1);
	assert_int_equal(seen.last.entries, result.entries);
	assert_int_equal(seen.last.total_bytes, result.content_bytes);
	assert_int_equal(seen.last.packed_bytes, result.content_bytes);
	assert_int_equal(seen.last.stored_bytes, r.bytes.len);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_packed_is_read),
		cmocka_unit_test(no_changed_bit_behind_the_frames_passes),
		cmocka_unit_test(content_digests_are_those_of_the_content),
		cmocka_unit_test(any_number_of_threads_writes_the_same),
		cmocka_unit_test(a_change_leaves_other_frames_as_they_were),
		cmocka_unit_test(a_tree_that_does_not_hold_still_is_refused),
		cmocka_unit_test(the_sink_s_error_ends_it),
		cmocka_unit_test(a_call_that_is_over_ends_it),
		cmocka_unit_test(an_unreadable_file_is_named),
		cmocka_unit_test(options_reach_the_index),
		cmocka_unit_test(levels_are_those_of_zstd),
		cmocka_unit_test(what_the_file_system_says_is_a_failure),
		cmocka_unit_test(as_many_directories_are_open_as_may_be),
		cmocka_unit_test(a_hole_costs_little),
		cmocka_unit_test(what_nobody_could_read_is_not_packed),
		cmocka_unit_test(progress_ends_with_everything),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
