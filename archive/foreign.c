/* foreign_convert(): a foreign archive, read once, to a file of Larder's. */
#include "archive/foreign.h"

#include <errno.h>
#include <string.h>

#include "archive/foreign_frames.h"
#include "archive/foreign_member.h"
#include "archive/format.h"
#include "archive/libarchive.h"
#include "archive/pack_tail.h"
#include "archive/streamer.h"

struct conversion {
	const struct foreign_object *object; /* borrowed */
	const struct call *call;             /* borrowed */
	struct archive *reader;              /* owned: libarchive's */
	struct streamer *bytes;              /* owned */
	struct foreign_members members;
	struct foreign_frames frames;
	struct hasher *hasher; /* owned */
	struct error failure;  /* of reading: libarchive only knows that it failed */
};

static void conversion_finish(struct conversion *c)
{
	la.read_free(c->reader);
	streamer_free(c->bytes);
	foreign_members_finish(&c->members);
	foreign_frames_finish(&c->frames);
	hasher_free(c->hasher);
}

/* --- what libarchive asks for --------------------------------------------------------
 */

static la_ssize_t on_read(struct archive *reader, void *arg, const void **ret)
{
	struct conversion *c = arg;
	size_t len = 0;
	int r = streamer_next(c->bytes, ret, &len, &c->failure);
	if (r == 0)
		return (la_ssize_t)len;
	c->failure.code = r;
	la.set_error(reader, -r, "read failed");
	return ARCHIVE_FATAL;
}

static la_int64_t on_seek(
	struct archive *reader, void *arg, la_int64_t offset, int whence)
{
	struct conversion *c = arg;
	int64_t size = (int64_t)c->object->source->size;
	int64_t base = whence == SEEK_SET   ? 0
		       : whence == SEEK_CUR ? (int64_t)streamer_position(c->bytes)
					    : size;
	int64_t target;
	if (__builtin_add_overflow(base, offset, &target) || target < 0)
		return ARCHIVE_FATAL;
	if (target > size)
		target = size;
	streamer_seek(c->bytes, (uint64_t)target);
	return target;
}

static int open_reader(struct conversion *c, struct error *e)
{
	const struct libarchive_skill skills[] = {
		{"gzip", la.read_support_filter_gzip},
		{"bzip2", la.read_support_filter_bzip2},
		{"xz", la.read_support_filter_xz},
		{"lzma", la.read_support_filter_lzma},
		{"lz4", la.read_support_filter_lz4},
		{"zstd", la.read_support_filter_zstd},
		{"compress", la.read_support_filter_compress},
		{"tar", la.read_support_format_tar},
		{"zip", la.read_support_format_zip},
	};
	c->reader = la.read_new();
	if (!c->reader)
		return -ENOMEM;
	int r = libarchive_teach(
		c->reader, skills, sizeof(skills) / sizeof(skills[0]), e);
	if (r < 0)
		return r;
	la.read_set_read_callback(c->reader, on_read);
	la.read_set_seek_callback(c->reader, on_seek);
	la.read_set_callback_data(c->reader, c);
	la.read_open1(c->reader); /* if it fails, so does the first header */
	return 0;
}

/* libarchive gave up: for the source's sake, or the archive's. */
static int failed(const struct conversion *c, bool first, struct error *e)
{
	const char *why = la.error_string(c->reader);
	if (c->failure.code) {
		error_copy(e, &c->failure);
		return c->failure.code;
	}
	bool unknown = first && la.format(c->reader) == 0;
	bool packed = la.filter_code(c->reader, 0) != ARCHIVE_FILTER_NONE;
	if (unknown && !packed)
		return error_set(e, -EBADMSG,
			"it is neither an archive of Larder's nor a tar or zip");
	return error_set(e, -EBADMSG, "%sit is damaged or cut off: %s",
		unknown ? "it is compressed and holds no tar, or " : "",
		why ? why : "bad data");
}

/* --- content -------------------------------------------------------------------------
 */

/* data NULL: zeros. */
static int add_bytes(
	struct conversion *c, const void *data, uint64_t len, struct error *e)
{
	static const unsigned char zeros[64 << 10];
	int r = foreign_frames_append(&c->frames, data, len, e);
	while (r == 0 && len) {
		size_t part = data || len < sizeof(zeros) ? len : sizeof(zeros);
		r = hasher_update(c->hasher, data ? data : zeros, part);
		len -= part;
	}
	return r;
}

/* Brings the content, which has come to *at, to `to` with zeros: in pieces, so that the
 * call can end it. */
static int add_hole(struct conversion *c, uint64_t *at, uint64_t to, struct error *e)
{
	int r = 0;
	while (r == 0 && *at < to) {
		uint64_t part = to - *at < LARGE_FRAME ? to - *at : LARGE_FRAME;
		r = add_bytes(c, NULL, part, e);
		*at += part;
		if (r == 0)
			r = call_check(c->call);
	}
	return r;
}

/* Too large a hole is refused before, not after, it is filled. */
static int check_size(const struct conversion *c, uint64_t size, struct error *e)
{
	if (size <= c->frames.max_raw)
		return 0;
	return error_set(
		e, -EBADMSG, "it would unpack to a thousand times its size and more");
}

static int copy_blocks(struct conversion *c, uint64_t *at, struct error *e)
{
	for (;;) {
		const void *data;
		size_t len;
		la_int64_t offset;
		int code = la.read_data_block(c->reader, &data, &len, &offset);
		if (code == ARCHIVE_EOF)
			return 0;
		if (code != ARCHIVE_OK || offset < 0 || (uint64_t)offset < *at)
			return failed(c, false, e);
		int r = check_size(c, (uint64_t)offset, e);
		if (r == 0)
			r = add_hole(c, at, (uint64_t)offset, e);
		if (r == 0)
			r = add_bytes(c, data, len, e);
		if (r == 0)
			r = call_check(c->call);
		if (r < 0)
			return r;
		*at += len;
	}
}

/* A tar's file may end with a hole; in a zip there are none, and libarchive says nothing
 * of a member that is stored and shorter than it should be. */
static int add_last_hole(struct conversion *c, uint64_t *at, uint64_t size, struct error *e)
{
	bool zip = (la.format(c->reader) & ARCHIVE_FORMAT_BASE_MASK) == ARCHIVE_FORMAT_ZIP;
	if (zip && *at < size)
		return error_set(e, -EBADMSG,
			"it is damaged or cut off: a member is shorter than it says");
	return add_hole(c, at, size, e);
}

static int copy_content(struct conversion *c, struct archive_entry *entry, uint32_t inode,
	struct error *e)
{
	uint64_t at = 0, size = 0;
	struct digest d;
	if (la.entry_size_is_set(entry) && la.entry_size(entry) > 0)
		size = (uint64_t)la.entry_size(entry);
	int r = check_size(c, size, e);
	if (r == 0)
		r = copy_blocks(c, &at, e);
	if (r == 0)
		r = add_last_hole(c, &at, size, e);
	if (r == 0)
		r = hasher_finish(c->hasher, &d);
	if (r == 0 && at > LARGE_FILE)
		r = foreign_frames_cut(&c->frames, e);
	if (r == 0)
		foreign_tree_set_content(c->members.tree, inode, at, d.bytes);
	return r;
}

static int convert_member(
	struct conversion *c, struct archive_entry *entry, struct error *e)
{
	uint64_t place = 0;
	uint32_t inode = 0;
	int r = 0;
	if (la.entry_is_encrypted(entry))
		return error_set(e, -EBADMSG, "it is encrypted");
	if (foreign_member_has_content(entry))
		r = foreign_frames_begin(&c->frames,
			la.entry_size_is_set(entry) && la.entry_size(entry) > 0
				? (uint64_t)la.entry_size(entry)
				: 0,
			&place, e);
	if (r == 0)
		r = foreign_members_add(&c->members, entry, place, &inode, e);
	return r == 1 ? copy_content(c, entry, inode, e) : r;
}

static int convert_members(struct conversion *c, struct error *e)
{
	for (bool first = true;; first = false) {
		struct archive_entry *entry;
		int code = la.read_next_header(c->reader, &entry);
		if (code == ARCHIVE_EOF)
			return 0;
		if (code != ARCHIVE_OK && code != ARCHIVE_WARN)
			return failed(c, first, e);
		int r = convert_member(c, entry, e);
		if (r == 0)
			r = call_check(c->call);
		if (r < 0)
			return r;
	}
}

/* An index has at least one frame; an archive of empty files has nothing for it. */
static int end_frames(struct conversion *c, struct error *e)
{
	int r = 0;
	if (!c->frames.frames.len && !c->frames.len)
		r = foreign_frames_append(&c->frames, NULL, 1, e);
	return r < 0 ? r : foreign_frames_cut(&c->frames, e);
}

static int put_tail(struct conversion *c, struct error *e)
{
	CLEANUP(cleanup_tree) struct tree *tree = NULL;
	CLEANUP(buf_finish) struct buf tail = BUF_INIT(PACK_TAIL_LIMIT);
	int r = foreign_tree_finish(c->members.tree, &tree);
	if (r == 0)
		r = pack_tail_local(tree, c->frames.frames.data, c->frames.frames.len,
			c->frames.stored, &tail);
	return r < 0 ? error_set_errno(e, r, "cannot index it")
		     : foreign_frames_write(&c->frames, tail.data, tail.len, e);
}

static bool is_zip(struct conversion *c)
{
	const void *data;
	size_t len = 0;
	int r = streamer_next(c->bytes, &data, &len, NULL);
	streamer_seek(c->bytes, 0);
	return r == 0 && len >= 4 &&
	       (memcmp(data, "PK\3\4", 4) == 0 || memcmp(data, "PK\5\6", 4) == 0);
}

static int conversion_init(struct conversion *c, const struct foreign_options *options,
	int fd, struct error *e)
{
	const struct foreign_object *o = c->object;
	int r = streamer_new(o->source, c->call, o->tail, o->tail_len, &c->bytes);
	if (r == 0)
		r = foreign_members_init(&c->members, o->name, is_zip(c), options);
	if (r == 0)
		r = foreign_frames_init(&c->frames, fd);
	c->hasher = hasher_new();
	if (r == 0 && !c->hasher)
		r = -ENOMEM;
	c->frames.max_stored = options->max_stored;
	c->frames.max_raw = o->source->size < FOREIGN_RAW_FLOOR / FOREIGN_RAW_RATIO
				    ? FOREIGN_RAW_FLOOR
				    : o->source->size * FOREIGN_RAW_RATIO;
	return r < 0 ? r : open_reader(c, e);
}

/* The codes that foreign.h promises, with the object's name in front. */
static int explain(const char *name, int r, struct error *e)
{
	if (r == -ETIMEDOUT || r == -ECANCELED)
		return error_set(e, r, "gave up reading '%s'", name);
	if (r == -ENOMEM)
		return error_set_errno(e, r, "cannot read '%s'", name);
	error_prefix(e, "'%s' cannot be read: ", name);
	if (r == -EFBIG && e)
		e->code = -EBADMSG;
	return r == -EFBIG ? -EBADMSG : r;
}

int foreign_convert(const struct foreign_object *object,
	const struct foreign_options *options, const struct call *call, int fd,
	struct error *e)
{
	int r = libarchive_load(e);
	if (r < 0)
		return explain(object->name, r, e);
	CLEANUP(conversion_finish)
	struct conversion c = {.object = object, .call = call};
	r = conversion_init(&c, options, fd, e);
	if (r == 0)
		r = convert_members(&c, e);
	if (r == 0)
		r = end_frames(&c, e);
	if (r == 0)
		r = put_tail(&c, e);
	if (r < 0)
		return explain(object->name, r, e);
	foreign_members_conclude(&c.members);
	return 0;
}
