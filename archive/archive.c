#include "archive/archive.h"

#include <inttypes.h>
#include <sys/mman.h>
#include <zstd.h>

#include "archive/archive_tail.h"
#include "archive/format.h"
#include "fetch/base/bytes.h"

#define HUGE_PAGE ((size_t)2 << 20) /* bytes */

struct archive {
	char *name;       /* owned; for messages */
	struct index *ix; /* owned */
	struct digest identity;
	bool local; /* converted: its index may be loose */
};

void archive_free(struct archive *a)
{
	if (!a)
		return;
	index_free(a->ix);
	free(a->name);
	free(a);
}

/* stored must be one zstd frame, whole, that says its own content size. */
static int frame_raw_size(
	const void *stored, size_t len, uint64_t *ret, const char *what, struct error *e)
{
	unsigned long long raw = ZSTD_getFrameContentSize(stored, len);
	if (raw == ZSTD_CONTENTSIZE_ERROR || raw == ZSTD_CONTENTSIZE_UNKNOWN ||
		load_le32(stored) != ZSTD_MAGICNUMBER ||
		ZSTD_findFrameCompressedSize(stored, len) != len)
		return error_set(e, -EBADMSG, "%s is no zstd frame of known size", what);
	*ret = raw;
	return 0;
}

/* Where the kernel has large pages, an index of a million entries (55 MB) is touched for
 * the first time 30 times and not 13,000 times. */
static void *alloc_raw(size_t len)
{
	if (len < 2 * HUGE_PAGE)
		return malloc(len ? len : 1);
	size_t whole = (len + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
	void *raw = aligned_alloc(HUGE_PAGE, whole);
	if (raw)
		madvise(raw, whole, MADV_HUGEPAGE);
	return raw;
}

/* Decompresses what frame_raw_size() was content with, into fresh memory. */
static int inflate(const void *stored, size_t len, size_t raw_len, void **ret,
	const char *what, struct error *e)
{
	CLEANUP(cleanup_free) void *raw = alloc_raw(raw_len);
	if (!raw)
		return error_set(e, -ENOMEM, "no memory for %s", what);
	size_t got = ZSTD_decompress(raw, raw_len, stored, len);
	if (ZSTD_isError(got) || got != raw_len)
		return error_set(e, -EBADMSG, "%s does not decompress", what);
	*ret = steal_pointer(raw);
	return 0;
}

static int load_index(const void *stored, size_t len, uint32_t frames, bool local,
	struct index **ret, struct error *e)
{
	uint64_t raw_len = 0;
	int r = frame_raw_size(stored, len, &raw_len, "the index", e);
	if (r < 0)
		return r;
	if (raw_len > index_raw_most(len, frames))
		return error_set(e, -EBADMSG,
			"the index would grow from %zu to %" PRIu64 " bytes", len,
			raw_len);
	void *raw = NULL;
	r = inflate(stored, len, (size_t)raw_len, &raw, "the index", e);
	if (r < 0)
		return r;
	return local ? index_parse_local(raw, (size_t)raw_len, ret, e)
		     : index_parse(raw, (size_t)raw_len, ret, e);
}

/* The identity covers section 13 and not the seek table, so the two must agree. */
static int compare_frames(
	const struct index *ix, const struct seek_table *table, struct error *e)
{
	if (table->frames != index_frame_count(ix))
		return error_set(e, -EBADMSG,
			"the seek table has %" PRIu32 " frames, the index %" PRIu32,
			table->frames, index_frame_count(ix));
	for (uint32_t i = 0; i < table->frames; i++) {
		struct seek_entry s = seek_table_entry(table, i);
		uint32_t stored, raw;
		index_frame_sizes(ix, i, &stored, &raw);
		if (s.stored != stored || s.raw != raw)
			return error_set(e, -EBADMSG,
				"seek table and index differ about frame %" PRIu32, i);
	}
	return 0;
}

/* Between the tar and the seek table; the digests are as many as there are entries. */
static int check_outer(const struct index *ix, const struct seek_table *table,
	uint64_t object_size, struct error *e)
{
	struct outer_section outer;
	if (index_outer(ix, OUTER_CONTENT_DIGESTS, &outer) == -ENOENT)
		return 0;
	uint64_t room = object_size - table->size;
	if (outer.offset < table->frames_stored ||
		!range_within(outer.offset, outer.stored_len, room))
		return error_set(
			e, -EBADMSG, "the content digests lie outside the archive");
	uint64_t want = (uint64_t)index_count(ix) * 16;
	if (outer.raw_len != want || outer.stored_len > ZSTD_compressBound(want))
		return error_set(
			e, -EBADMSG, "the content digests have an impossible size");
	return 0;
}

/* What is looked for at an object's end; arg: what comes of it. */
typedef int look_fn(struct archive_tail *t, void *arg, struct error *e);

/* What was damaged on its way is well the second time. */
static int look_twice(struct archive_tail *t, look_fn *look, void *arg, struct error *e)
{
	struct error first = {0};
	bool same = false;
	int r = look(t, arg, &first);
	if (r == -EBADMSG) {
		int again = archive_tail_read_again(t, &same, e);
		if (again < 0)
			return again;
		if (!same)
			return look(t, arg, e);
	}
	error_copy(e, &first);
	return r;
}

/* look_fn; arg: the archive. */
static int load_tail(struct archive_tail *t, void *arg, struct error *e)
{
	struct archive *a = arg;
	const void *stored = NULL;
	size_t len = 0;
	struct seek_table table = {0};
	int r = archive_tail_index(t, &stored, &len, &a->identity, e);
	if (r == 0)
		r = archive_tail_seek_table(t, &table, e);
	if (r < 0)
		return r;
	index_free(steal_pointer(a->ix)); /* of a first look */
	r = load_index(stored, len, table.frames, a->local, &a->ix, e);
	if (r == 0)
		r = compare_frames(a->ix, &table, e);
	return r < 0 ? r : check_outer(a->ix, &table, t->source->size, e);
}

/* Words for the person: which object, and whether it is damaged or something else. */
static int explain(int code, const char *name, struct error *e)
{
	if (code == -ENOMSG)
		error_prefix(e, "'%s' is no archive of Larder's: ", name);
	else if (code == -EBADMSG)
		error_prefix(e, "'%s' is damaged: ", name);
	if (code != -ENOMSG)
		return code;
	if (e)
		e->code = -EBADMSG;
	return -EBADMSG;
}

static int load(struct range_source *source, const struct call *call, const void *tail,
	size_t tail_len, bool local, const char *name, struct archive **ret,
	bool *ret_foreign, struct error *e)
{
	CLEANUP(cleanup_archive) struct archive *a = calloc(1, sizeof(*a));
	if (!a || !(a->name = strdup(name)))
		return error_set(e, -ENOMEM, "no memory for the archive '%s'", name);
	CLEANUP(archive_tail_finish) struct archive_tail t;
	archive_tail_init(&t, source, call, tail, tail_len);
	a->local = local;
	int r = local ? load_tail(&t, a, e) : look_twice(&t, load_tail, a, e);
	if (ret_foreign)
		*ret_foreign = r == -ENOMSG;
	if (r < 0)
		return explain(r, name, e);
	*ret = steal_pointer(a);
	return 0;
}

int archive_load(struct range_source *source, const struct call *call, const void *tail,
	size_t tail_len, const char *name, struct archive **ret, bool *ret_foreign,
	struct error *e)
{
	return load(source, call, tail, tail_len, false, name, ret, ret_foreign, e);
}

int archive_load_local(struct range_source *source, const struct call *call,
	const char *name, struct archive **ret, struct error *e)
{
	return load(source, call, NULL, 0, true, name, ret, NULL, e);
}

static int plain_identity(const void *stored, size_t len, const struct digest *origin,
	struct digest *ret)
{
	struct hasher *h = hasher_new();
	int r = h ? hasher_update(h, stored, len) : -ENOMEM;
	if (r == 0)
		r = hasher_update(h, origin, sizeof(*origin));
	if (r == 0)
		r = hasher_finish(h, ret);
	hasher_free(h);
	return r;
}

int archive_load_plain(const void *stored, size_t len, uint64_t size,
	const struct digest *origin, const char *name, struct archive **ret,
	struct error *e)
{
	CLEANUP(cleanup_archive) struct archive *a = calloc(1, sizeof(*a));
	if (!a || !(a->name = strdup(name)))
		return error_set(e, -ENOMEM, "no memory for the archive '%s'", name);
	int r = plain_identity(stored, len, origin, &a->identity);
	if (r == 0)
		r = load_index(stored, len, FRAME_COUNT_LIMIT, true, &a->ix, e);
	if (r == 0 && (!index_is_plain(a->ix) || index_tar_size(a->ix) != size))
		r = error_set(e, -EBADMSG, "the index of '%s' is another's", name);
	if (r == 0)
		*ret = steal_pointer(a);
	return r;
}

const char *archive_name(const struct archive *a)
{
	return a->name;
}

const struct index *archive_index(const struct archive *a)
{
	return a->ix;
}

const struct digest *archive_identity(const struct archive *a)
{
	return &a->identity;
}

void archive_chunks(const struct archive *a, struct chunk_table *ret)
{
	*ret = (struct chunk_table){
		.count = index_frame_count(a->ix),
		.offsets = index_frame_offsets(a->ix),
		.digests = index_frame_digests(a->ix),
	};
}

/* look_fn; arg: the digest. */
static int identify(struct archive_tail *t, void *arg, struct error *e)
{
	const void *stored;
	size_t len;
	return archive_tail_index(t, &stored, &len, arg, e);
}

int archive_identify(struct range_source *source, const struct call *call,
	const void *tail, size_t tail_len, struct digest *ret, bool *ret_foreign,
	struct error *e)
{
	CLEANUP(archive_tail_finish) struct archive_tail t;
	archive_tail_init(&t, source, call, tail, tail_len);
	int r = look_twice(&t, identify, ret, e);
	if (ret_foreign)
		*ret_foreign = r == -ENOMSG;
	if (r == -ENOMSG)
		return error_set(e, -EBADMSG, "the object is no archive of Larder's");
	return r;
}

/* Reads an outer section and proves its bytes. *ret is the caller's. */
static int read_outer(struct range_source *source, const struct call *call,
	const struct outer_section *outer, void **ret, struct error *e)
{
	CLEANUP(cleanup_free) void *stored = malloc(outer->stored_len + 1);
	if (!stored)
		return error_set(e, -ENOMEM, "no memory for the content digests");
	int r = range_source_read(
		source, call, outer->offset, outer->stored_len, stored, e);
	if (r < 0)
		return r;
	struct digest d;
	r = digest_of(stored, outer->stored_len, &d);
	if (r < 0)
		return error_set(e, r, "no memory for the content digests");
	if (!digest_equal(&d, &outer->digest)) {
		error_set(e, -EBADMSG, "the content digests are not what was written");
		range_source_condemn(source, e);
		return -EBADMSG;
	}
	*ret = steal_pointer(stored);
	return 0;
}

int archive_content_digests(const struct archive *a, struct range_source *source,
	const struct call *call, uint8_t (**ret)[16], struct error *e)
{
	struct outer_section outer;
	int r = index_outer(a->ix, OUTER_CONTENT_DIGESTS, &outer);
	if (r < 0)
		return error_set(e, r, "'%s' has no content digests", a->name);
	CLEANUP(cleanup_free) void *stored = NULL;
	void *raw = NULL;
	uint64_t raw_len = 0;
	r = read_outer(source, call, &outer, &stored, e);
	if (r == 0)
		r = frame_raw_size(
			stored, outer.stored_len, &raw_len, "the content digests", e);
	if (r == 0 && raw_len != outer.raw_len)
		r = error_set(e, -EBADMSG, "the content digests have an impossible size");
	if (r == 0)
		r = inflate(stored, outer.stored_len, (size_t)raw_len, &raw,
			"the content digests", e);
	if (r < 0)
		return explain(r, a->name, e);
	*ret = raw;
	return 0;
}
