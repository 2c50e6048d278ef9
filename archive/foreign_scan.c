/* foreign_scan(): the headers of a plain tar, and where its contents are. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "archive/foreign_member.h"
#include "archive/format.h"
#include "archive/libarchive.h"
#include "archive/pack_tail.h"
#include "archive/scan_window.h"

#define TAR_BLOCK 512u

/* An object that is as small is fetched whole at once. */
#define WORTH_SCANNING (UINT64_C(8) << 20)

/* When so much was fetched, and it is a good part of what was passed over, the archive is
 * of small files, and converting it keeps what is fetched anyway. */
#define GIVE_UP_BYTES (UINT64_C(16) << 20)
#define GIVE_UP_PART  3

/* Frames of a plain tar: as large as keeps the index small. */
#define PLAIN_FRAME       (256u << 10)
#define PLAIN_FRAME_LARGE (2u << 20)
#define PLAIN_LARGE       (UINT64_C(64) << 30) /* bytes of object */

struct scan {
	const struct foreign_object *object; /* borrowed */
	struct archive *reader;              /* owned: libarchive's */
	struct scan_window window;
	struct foreign_members members;
	struct foreign_options options;
	struct buf warnings;  /* NUL-terminated; said once the scan has succeeded */
	struct error failure; /* of the window: libarchive only knows that it failed */
	uint64_t next_header; /* where the next member must begin; 0: anywhere */
};

static void scan_finish(struct scan *s)
{
	la.read_free(s->reader);
	scan_window_finish(&s->window);
	foreign_members_finish(&s->members);
	buf_finish(&s->warnings);
}

static void on_warning(void *arg, const char *sentence)
{
	struct scan *s = arg;
	buf_append(&s->warnings, sentence, strlen(sentence) + 1);
}

static void say_warnings(const struct scan *s, const struct foreign_options *options)
{
	for (size_t at = 0; options->warn && at < s->warnings.len;) {
		options->warn(options->arg, s->warnings.data + at);
		at += strlen(s->warnings.data + at) + 1;
	}
}

static la_ssize_t on_read(struct archive *reader, void *arg, const void **ret)
{
	struct scan *s = arg;
	size_t len;
	int r = scan_window_next(&s->window, ret, &len, &s->failure);
	if (r == 0)
		return (la_ssize_t)len;
	s->failure.code = r;
	la.set_error(reader, -r, "read failed");
	return ARCHIVE_FATAL;
}

static la_int64_t on_skip(struct archive *reader, void *arg, la_int64_t len)
{
	struct scan *s = arg;
	return len > 0 ? (la_int64_t)scan_window_skip(&s->window, (uint64_t)len) : 0;
}

static int open_reader(struct scan *s, struct error *e)
{
	const struct libarchive_skill skills[] = {
		{"what is not compressed", la.read_support_filter_none},
		{"tar", la.read_support_format_tar},
	};
	s->reader = la.read_new();
	if (!s->reader)
		return -ENOMEM;
	int r = libarchive_teach(
		s->reader, skills, sizeof(skills) / sizeof(skills[0]), e);
	if (r < 0)
		return r;
	la.read_set_read_callback(s->reader, on_read);
	la.read_set_skip_callback(s->reader, on_skip);
	la.read_set_callback_data(s->reader, s);
	return la.read_open1(s->reader) == ARCHIVE_OK ? 0 : -EAGAIN;
}

/* libarchive says where a member's headers begin; that they do where the content before
 * ends proves where that content was. */
static bool is_in_place(const struct scan *s)
{
	return !s->next_header ||
	       (uint64_t)la.read_header_position(s->reader) == s->next_header;
}

static bool is_worth_it(const struct scan *s)
{
	return s->window.fetched < GIVE_UP_BYTES ||
	       s->window.fetched < s->window.position / GIVE_UP_PART;
}

static int scan_member(struct scan *s, struct archive_entry *entry, struct error *e)
{
	uint64_t place = (uint64_t)la.filter_bytes(s->reader, -1);
	int64_t size = la.entry_size(entry);
	if (la.entry_sparse_count(entry) > 0 || size < 0 || place % TAR_BLOCK)
		return -EAGAIN;
	bool content = foreign_member_has_content(entry);
	if (content && ((uint64_t)size > s->object->source->size ||
			       place > s->object->source->size - (uint64_t)size))
		return error_set(e, -EBADMSG, "it is cut off");
	s->next_header = content ? place + (((uint64_t)size + TAR_BLOCK - 1) &
						   ~(uint64_t)(TAR_BLOCK - 1))
				 : 0;
	uint32_t inode = 0;
	int r = foreign_members_add(&s->members, entry, place, &inode, e);
	if (r == 1)
		foreign_tree_set_content(s->members.tree, inode, (uint64_t)size,
			(const uint8_t[TREE_DIGEST]){0});
	return r < 0 ? r : 0;
}

/* libarchive gave up: for the source's sake, or the tar's. */
static int failed(const struct scan *s, struct error *e)
{
	if (!s->failure.code)
		return error_set(e, -EBADMSG, "it is damaged or cut off: %s",
			la.error_string(s->reader));
	error_copy(e, &s->failure);
	return s->failure.code;
}

static bool is_tar(const struct scan *s)
{
	return (la.format(s->reader) & ARCHIVE_FORMAT_BASE_MASK) == ARCHIVE_FORMAT_TAR;
}

static int scan_members(struct scan *s, struct error *e)
{
	for (bool first = true;; first = false) {
		struct archive_entry *entry;
		int code = la.read_next_header(s->reader, &entry);
		bool end = code == ARCHIVE_EOF;
		if (!end && code < ARCHIVE_WARN)
			return first && !s->failure.code ? -EAGAIN : failed(s, e);
		if (!is_tar(s) || !is_in_place(s) || !is_worth_it(s))
			return -EAGAIN;
		int r = end ? 0 : scan_member(s, entry, e);
		if (end || r < 0)
			return r;
	}
}

static int put_index(struct scan *s, struct buf *out)
{
	CLEANUP(cleanup_tree) struct tree *tree = NULL;
	CLEANUP(index_frame_vec_finish) struct index_frame_vec frames = {0};
	uint64_t left = s->object->source->size;
	uint32_t most = left < PLAIN_LARGE ? PLAIN_FRAME : PLAIN_FRAME_LARGE;
	int r = foreign_tree_finish(s->members.tree, &tree);
	while (r == 0 && left) {
		uint32_t len = left < most ? (uint32_t)left : most;
		r = index_frame_vec_push(
			&frames, (struct index_frame){.stored = len, .raw = len});
		left -= len;
	}
	return r < 0 ? r : pack_plain_index(tree, frames.data, frames.len, out);
}

static int scan(struct scan *s, const struct call *call, struct buf *out, struct error *e)
{
	const struct foreign_object *o = s->object;
	int r = foreign_members_init(&s->members, o->name, false, &s->options);
	if (r == 0)
		r = scan_window_init(&s->window, o->source, call, o->tail, o->tail_len);
	if (r == 0)
		r = open_reader(s, e);
	if (r == 0)
		r = scan_members(s, e);
	return r < 0 ? r : put_index(s, out);
}

int foreign_scan(const struct foreign_object *object,
	const struct foreign_options *options, const struct call *call, struct buf *out,
	struct error *e)
{
	if (object->source->size < WORTH_SCANNING)
		return -EAGAIN;
	int r = libarchive_load(e);
	if (r < 0)
		return error_prefix(e, "'%s' cannot be read: ", object->name), r;
	CLEANUP(scan_finish)
	struct scan s = {
		.object = object,
		.options = {.warn = on_warning, .arg = &s},
		.warnings = BUF_INIT(ERROR_TEXT_SIZE * (FOREIGN_WARNINGS + 1)),
	};
	r = scan(&s, call, out, e);
	if (r == 0) {
		foreign_members_conclude(&s.members);
		say_warnings(&s, options);
	}
	if (r == -ENOMEM)
		error_set_errno(e, r, "cannot index it");
	if (r < 0 && r != -EAGAIN)
		error_prefix(e, "'%s' cannot be read: ", object->name);
	return r;
}
