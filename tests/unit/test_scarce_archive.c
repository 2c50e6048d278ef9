/* Archives made, opened, read and unpacked, where memory runs out at any point. */
#include "tests/unit/test.h"

#include <errno.h>
#include <string.h>
#include <sys/xattr.h>

#include "archive/archive_open.h"
#include "archive/pack.h"
#include "archive/prefetcher.h"
#include "archive/unpack.h"
#include "fetch/base/buf.h"
#include "tests/unit/foreign_builder.h"
#include "tests/unit/scarce.h"
#include "tests/unit/scarce_libarchive.h"
#include "tests/unit/scratch.h"

#define ARCHIVE_MOST ((size_t)64 << 20)
#define TAIL_MOST    4096u
#define PLAIN_SIZE   ((size_t)9 << 20) /* of a tar that is left where it is */

/* A tree on disk, and what came of it. */
struct world {
	struct scratch dir;
	struct buf packed;
	unsigned unpacked; /* how often: each time into another directory */
};

static void make_tree(const struct scratch *dir)
{
	char large[300000];
	memset(large, 'x', sizeof(large) - 1);
	large[sizeof(large) - 1] = '\0';
	scratch_write(dir, "tree/a/b/file", "content");
	scratch_write(dir, "tree/large", large);
	scratch_write(dir, "tree/small", "s");
	assert_int_equal(symlink("a/b/file", scratch_path(dir, "tree/symlink")), 0);
	assert_int_equal(
		link(scratch_path(dir, "tree/small"), scratch_path(dir, "tree/linked")),
		0);
	setxattr(scratch_path(dir, "tree/small"), "user.test", "value", 5, 0);
}

/* --- packing ---------------------------------------------------------------------------
 */

static int keep(void *arg, const void *data, size_t len, struct error *e)
{
	return buf_append(arg, data, len);
}

static int pack(void *arg)
{
	static const char *const exclude[] = {"*.o", "/build/", NULL};
	struct world *w = arg;
	const struct pack_options options = {
		.level = 1,
		.threads = 2,
		.exclude = exclude,
	};
	struct pack_result result;
	CLEANUP(cleanup_close)
	int fd = open(scratch_path(&w->dir, "tree"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP(buf_finish) struct buf bytes = BUF_INIT(ARCHIVE_MOST);
	int r = pack_directory(
		fd, "tree", &options, CALL_PATIENT, keep, &bytes, &result, NULL);
	if (r == 0 && w->packed.len) {
		assert_int_equal(bytes.len, w->packed.len);
		assert_memory_equal(bytes.data, w->packed.data, bytes.len);
	}
	if (r == 0 && !w->packed.len)
		r = buf_append(&w->packed, bytes.data, bytes.len);
	return r;
}

/* --- reading ---------------------------------------------------------------------------
 */

struct opened {
	struct range_source *source, *verified;
	struct archive *archive;
	struct reader *reader;
};

static void opened_finish(struct opened *o)
{
	reader_free(o->reader);
	range_source_free(o->verified);
	archive_free(o->archive);
	range_source_free(o->source);
}

static int open_packed(const struct world *w, struct opened *o)
{
	struct chunk_table chunks;
	o->source = memory_source_new(w->packed.data, w->packed.len);
	if (!o->source)
		return -ENOMEM;
	int r = archive_load(
		o->source, CALL_PATIENT, NULL, 0, "key", &o->archive, NULL, NULL);
	if (r < 0)
		return r;
	archive_chunks(o->archive, &chunks);
	r = chunk_source_new(o->source, &chunks, NULL, "key", &o->verified, NULL);
	return r < 0 ? r : reader_new(o->archive, o->verified, 1 << 20, &o->reader);
}

static int read_entry(const struct opened *o, const char *path, const char *want)
{
	uint32_t entry;
	char got[4096];
	size_t len;
	assert_int_equal(index_find(archive_index(o->archive), path, &entry), 0);
	int r = reader_read(
		o->reader, CALL_PATIENT, entry, 0, strlen(want), got, &len, NULL);
	if (r == 0)
		assert_memory_equal(got, want, strlen(want));
	return r;
}

static int read_packed(void *arg)
{
	CLEANUP(opened_finish) struct opened o = {0};
	uint8_t(*digests)[16] = NULL;
	int r = open_packed(arg, &o);
	if (r == 0)
		r = read_entry(&o, "a/b/file", "content");
	if (r == 0)
		r = read_entry(&o, "large", "xxxxx");
	if (r == 0)
		r = archive_content_digests(
			o.archive, o.source, CALL_PATIENT, &digests, NULL);
	free(digests);
	return r;
}

static int read_ahead(void *arg)
{
	const struct prefetch_options options = {
		.memory = 1 << 20,
		.all = true,
		.patience_ns = DEADLINE_NONE,
	};
	CLEANUP(opened_finish) struct opened o = {0};
	CLEANUP(cleanup_prefetcher) struct prefetcher *p = NULL;
	CLEANUP(cleanup_prefetching) struct prefetching *ahead = NULL;
	int r = open_packed(arg, &o);
	if (r == 0)
		r = prefetcher_new(2, 64 << 20, &p, NULL);
	if (r == 0)
		r = prefetching_begin(p, o.reader, &options, &ahead);
	return r < 0 ? r : read_entry(&o, "large", "xxxxx");
}

static int unpack(void *arg)
{
	struct world *w = arg;
	const struct unpack_options options = {.threads = 2};
	CLEANUP(opened_finish) struct opened o = {0};
	char target[32];
	snprintf(target, sizeof(target), "unpacked-%u", w->unpacked++);
	int r = open_packed(arg, &o);
	if (r == 0)
		r = unpack_archive(o.archive, o.verified, CALL_PATIENT,
			scratch_path(&w->dir, target), &options, NULL);
	return r;
}

static void of_our_own(void **state)
{
	struct world w = {.dir = scratch_new(), .packed = BUF_INIT(ARCHIVE_MOST)};
	make_tree(&w.dir);
	assert_int_equal(pack(&w), 0);
	scarce_try("packing", pack, &w);
	scarce_try("reading", read_packed, &w);
	scarce_try("reading ahead", read_ahead, &w);
	scarce_try("unpacking", unpack, &w);
	buf_finish(&w.packed);
	scratch_finish(&w.dir);
}

/* --- foreign ones ----------------------------------------------------------------------
 */

struct foreign {
	unsigned char *bytes; /* owned */
	size_t len;
	const char *cache_dir; /* NULL: none */
};

static int open_foreign(void *arg)
{
	const struct foreign *f = arg;
	CLEANUP(opened_finish) struct opened o = {0};
	o.source = memory_source_new(f->bytes, f->len);
	if (!o.source)
		return -ENOMEM;
	size_t tail_len = f->len < TAIL_MOST ? f->len : TAIL_MOST;
	const struct archive_opening opening = {
		.source = o.source,
		.tail = f->bytes + f->len - tail_len,
		.tail_len = tail_len,
		.name = "key",
		.cache_dir = f->cache_dir,
		.origin = {{1}},
	};
	return archive_open_any(&opening, CALL_PATIENT, &o.archive, &o.verified, NULL);
}

static void of_others(void **state)
{
	scarce_libarchive();
	static const struct member few[] = {{.path = "dir", .type = 'd'},
		{.path = "dir/file", .type = '-', .content = "content", .xattr = "v"},
		{.path = "linked", .type = 'h', .link = "dir/file"},
		{.path = "symlink", .type = 'l', .link = "dir"},
		{.path = "pipe", .type = 'p'}, {0}};
	static const struct member zipped[] = {
		{.path = "dir/file", .type = '-', .content = "content"},
		{.path = "symlink", .type = 'l', .link = "dir"}, {0}};
	static const struct member large[] = {
		{.path = "file", .type = '-', .size = PLAIN_SIZE},
		{.path = "deep/down/file", .type = '-', .content = "content"}, {0}};
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	struct foreign f = {.cache_dir = NULL};
	f.bytes = foreign_build("pax", "gzip", NULL, few, &f.len);
	scarce_try("converting a tar", open_foreign, &f);
	f.cache_dir = dir.path;
	scarce_try("a converted tar", open_foreign, &f);
	free(f.bytes);
	f = (struct foreign){.cache_dir = NULL};
	f.bytes = foreign_build("zip", "none", NULL, zipped, &f.len);
	scarce_try("converting a zip", open_foreign, &f);
	free(f.bytes);
	f.bytes = foreign_build("pax", "none", NULL, large, &f.len);
	scarce_try("scanning a tar", open_foreign, &f);
	free(f.bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(of_our_own),
		cmocka_unit_test(of_others),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
