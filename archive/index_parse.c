#include <inttypes.h>

#include "archive/index_private.h"

/* How long each section must be: `element` bytes times entries or frames; 0: free. */
static const struct section_shape {
	const char *word;
	uint8_t element;
	bool per_frame;
	bool optional;
} shapes[SECTION_OUTER + 1] = {
	[SECTION_MODES] = {"modes", 2},
	[SECTION_PARENTS] = {"parents", 4},
	[SECTION_NAME_LENGTHS] = {"name lengths", 1},
	[SECTION_NAMES] = {"names", 0},
	[SECTION_MTIME_SECONDS] = {"mtime seconds", 8},
	[SECTION_MTIME_NANOSECONDS] = {"mtime nanoseconds", 4},
	[SECTION_SIZES] = {"sizes", 8},
	[SECTION_PLACES] = {"places", 8},
	[SECTION_OWNERS] = {"owners", 8, .optional = true},
	[SECTION_TARGETS] = {"targets", 0, .optional = true},
	[SECTION_LINKS] = {"links", 0, .optional = true},
	[SECTION_XATTRS] = {"xattrs", 0, .optional = true},
	[SECTION_FRAME_SIZES] = {"frame sizes", FRAME_SIZES_SIZE, .per_frame = true},
	[SECTION_FRAME_DIGESTS] = {"frame digests", DIGEST_SIZE, .per_frame = true},
	[SECTION_OUTER] = {"outer sections", 0, .optional = true},
};

static int parse_header(struct index *ix, uint64_t allowed_flags, uint32_t *ret_sections,
	struct error *e)
{
	if (ix->raw_len < INDEX_HEADER_SIZE || memcmp(ix->raw, INDEX_MAGIC, 8) != 0)
		return error_set(e, -EBADMSG, "the index does not begin with its magic");
	uint32_t version = load_le32(ix->raw + 8);
	if (version != FORMAT_VERSION)
		return error_set(e, -EBADMSG,
			"the index is of version %" PRIu32
			", this reader knows version %d",
			version, FORMAT_VERSION);
	uint32_t sections = load_le32(ix->raw + 12);
	uint64_t count = load_le64(ix->raw + 16);
	uint64_t frames = load_le64(ix->raw + 24);
	if (count < 1 || count > ENTRY_COUNT_LIMIT)
		return error_set(e, -EBADMSG,
			"the index has an impossible number of entries: %" PRIu64, count);
	if (frames > FRAME_COUNT_LIMIT)
		return error_set(e, -EBADMSG,
			"the index has an impossible number of frames: %" PRIu64, frames);
	ix->flags = load_le64(ix->raw + 40);
	if (ix->flags & ~allowed_flags)
		return error_set(e, -EBADMSG, "the index has flags nobody knows");
	if (sections > (ix->raw_len - INDEX_HEADER_SIZE) / SECTION_ENTRY_SIZE)
		return error_set(e, -EBADMSG,
			"the index is too short for its %" PRIu32 " sections", sections);
	ix->count = (uint32_t)count;
	ix->frames = (uint32_t)frames;
	ix->tar_size = load_le64(ix->raw + 32);
	*ret_sections = sections;
	return 0;
}

/* Also false when [from, to) is no range of the raw index. */
static bool zero_between(const struct index *ix, uint64_t from, uint64_t to)
{
	if (from > to || to > ix->raw_len)
		return false;
	const unsigned char *p = ix->raw + from;
	size_t len = to - from;
	return !len || (p[0] == 0 && memcmp(p, p + 1, len - 1) == 0);
}

struct section {
	uint32_t id;
	uint32_t flags;
	uint64_t offset;
	uint64_t length;
};

/* Section `at` of the table: follows what ended at *end, with zeros between. */
static int parse_section(const struct index *ix, uint32_t at, uint32_t last_id,
	uint64_t *end, struct section *ret, struct error *e)
{
	const unsigned char *p =
		ix->raw + INDEX_HEADER_SIZE + (size_t)at * SECTION_ENTRY_SIZE;
	struct section s = {
		.id = load_le32(p),
		.flags = load_le32(p + 4),
		.offset = load_le64(p + 8),
		.length = load_le64(p + 16),
	};
	if (load_le64(p + 24) != 0 || s.id <= last_id)
		return error_set(e, -EBADMSG,
			"the index's table of sections is damaged at entry %" PRIu32, at);
	if (s.offset % 8 != 0 || !range_within(s.offset, s.length, ix->raw_len))
		return error_set(e, -EBADMSG,
			"section %" PRIu32 " of the index lies outside of it", s.id);
	if (!zero_between(ix, *end, s.offset))
		return error_set(e, -EBADMSG,
			"section %" PRIu32
			" of the index overlaps or follows stray bytes",
			s.id);
	*end = s.offset + s.length;
	*ret = s;
	return 0;
}

static int keep_section(struct index *ix, const struct section *s, struct error *e)
{
	if (s->id <= SECTION_OUTER) {
		ix->columns[s->id] = (struct column){ix->raw + s->offset, s->length};
		return 0;
	}
	if (s->flags & SECTION_FLAG_REQUIRED)
		return error_set(e, -EBADMSG,
			"the index needs a newer reader: it has section %" PRIu32, s->id);
	return 0;
}

static int parse_sections(struct index *ix, uint32_t sections, struct error *e)
{
	uint64_t end = INDEX_HEADER_SIZE + (uint64_t)sections * SECTION_ENTRY_SIZE;
	uint32_t last_id = 0;
	for (uint32_t i = 0; i < sections; i++) {
		struct section s = {0};
		int r = parse_section(ix, i, last_id, &end, &s, e);
		if (r < 0)
			return r;
		r = keep_section(ix, &s, e);
		if (r < 0)
			return r;
		last_id = s.id;
	}
	if (!zero_between(ix, end, ix->raw_len))
		return error_set(e, -EBADMSG, "the index has stray bytes at its end");
	return 0;
}

static int check_shape(const struct index *ix, uint32_t id, struct error *e)
{
	const struct section_shape *shape = &shapes[id];
	const struct column *c = &ix->columns[id];
	bool plain = ix->flags & INDEX_FLAG_PLAIN && id == SECTION_FRAME_DIGESTS;
	if (plain && c->data)
		return error_set(e, -EBADMSG, "the index has digests of plain bytes");
	if (!c->data)
		return shape->optional || plain
			       ? 0
			       : error_set(e, -EBADMSG, "the index has no %s",
					 shape->word);
	uint64_t rows = shape->per_frame ? ix->frames : ix->count;
	uint64_t want = shape->element * rows;
	if (!shape->element)
		return 0;
	if (c->len != want)
		return error_set(e, -EBADMSG,
			"the index has %zu bytes of %s where %" PRIu64 " are due", c->len,
			shape->word, want);
	return 0;
}

static int check_shapes(const struct index *ix, struct error *e)
{
	for (uint32_t id = SECTION_MODES; id <= SECTION_OUTER; id++) {
		int r = check_shape(ix, id, e);
		if (r < 0)
			return r;
	}
	if (ix->columns[SECTION_LINKS].len % LINK_SIZE)
		return error_set(e, -EBADMSG, "the index's links are cut short");
	if (ix->columns[SECTION_OUTER].len % OUTER_SECTION_SIZE)
		return error_set(e, -EBADMSG, "the index's outer sections are cut short");
	return 0;
}

static int check_frame(const struct index *ix, uint32_t frame, uint32_t stored,
	uint32_t raw, struct error *e)
{
	if (!raw || raw > FRAME_SIZE_LIMIT)
		return error_set(e, -EBADMSG,
			"frame %" PRIu32 " would decompress to %" PRIu32 " bytes", frame,
			raw);
	bool plain = ix->flags & INDEX_FLAG_PLAIN;
	if (!stored || stored > frame_stored_limit(raw) || (plain && stored != raw))
		return error_set(e, -EBADMSG,
			"frame %" PRIu32 " has an impossible size of %" PRIu32 " bytes",
			frame, stored);
	return 0;
}

/* Sums cannot overflow: at most 2^27 times 2^24. */
static int sum_frames(struct index *ix, struct error *e)
{
	ix->stored_offsets = calloc((size_t)ix->frames + 1, sizeof(uint64_t));
	ix->tar_offsets = calloc((size_t)ix->frames + 1, sizeof(uint64_t));
	if (!ix->stored_offsets || !ix->tar_offsets)
		return -ENOMEM;
	for (uint32_t i = 0; i < ix->frames; i++) {
		uint32_t stored, raw;
		index_frame_sizes(ix, i, &stored, &raw);
		int r = check_frame(ix, i, stored, raw, e);
		if (r < 0)
			return r;
		ix->stored_offsets[i + 1] = ix->stored_offsets[i] + stored;
		ix->tar_offsets[i + 1] = ix->tar_offsets[i] + raw;
	}
	if (ix->tar_offsets[ix->frames] != ix->tar_size)
		return error_set(e, -EBADMSG,
			"the frames hold %" PRIu64
			" bytes of tar, the index says %" PRIu64,
			ix->tar_offsets[ix->frames], ix->tar_size);
	return 0;
}

static int sum_names(struct index *ix, struct error *e)
{
	const unsigned char *lengths = ix->columns[SECTION_NAME_LENGTHS].data;
	uint64_t end = 0;
	ix->name_offsets = calloc((size_t)ix->count + 1, sizeof(uint32_t));
	if (!ix->name_offsets)
		return -ENOMEM;
	for (uint32_t i = 0; i < ix->count && end <= UINT32_MAX; i++) {
		end += lengths[i];
		ix->name_offsets[i + 1] = (uint32_t)end;
	}
	if (end != ix->columns[SECTION_NAMES].len || end > UINT32_MAX)
		return error_set(
			e, -EBADMSG, "the index's names do not end where they should");
	return 0;
}

static int compare_u32(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

static int gather_links(struct index *ix)
{
	ix->link_count = ix->columns[SECTION_LINKS].len / LINK_SIZE;
	if (!ix->link_count)
		return 0;
	ix->link_primaries = malloc(ix->link_count * sizeof(uint32_t));
	if (!ix->link_primaries)
		return -ENOMEM;
	for (size_t i = 0; i < ix->link_count; i++)
		ix->link_primaries[i] = index_link_primary(ix, i);
	qsort(ix->link_primaries, ix->link_count, sizeof(uint32_t), compare_u32);
	return 0;
}

/* The length of the record at `offset`, header and padding included; 0: it does not fit.
 */
static uint64_t xattr_record_size(const struct index *ix, uint64_t offset)
{
	const struct column *c = &ix->columns[SECTION_XATTRS];
	if (c->len - offset < XATTR_HEADER_SIZE)
		return 0;
	const unsigned char *p = c->data + offset;
	uint64_t content = (uint64_t)load_le32(p + 4) + load_le32(p + 8);
	uint64_t size = XATTR_HEADER_SIZE + ((content + 7) & ~UINT64_C(7));
	return size <= c->len - offset ? size : 0;
}

static int count_xattrs(struct index *ix, struct error *e)
{
	for (uint64_t at = 0; at < ix->columns[SECTION_XATTRS].len;) {
		uint64_t size = xattr_record_size(ix, at);
		if (!size)
			return error_set(e, -EBADMSG, "the index's xattrs are cut short");
		at += size;
		ix->xattr_count++;
	}
	return 0;
}

static int gather_xattrs(struct index *ix, struct error *e)
{
	int r = count_xattrs(ix, e);
	if (r < 0 || !ix->xattr_count)
		return r;
	ix->xattr_offsets = malloc(ix->xattr_count * sizeof(uint64_t));
	if (!ix->xattr_offsets)
		return -ENOMEM;
	uint64_t at = 0;
	for (size_t i = 0; i < ix->xattr_count; i++) {
		ix->xattr_offsets[i] = at;
		at += xattr_record_size(ix, at);
	}
	return 0;
}

/* Set-id bits of files are nobody's to give when owners were not preserved. */
static mode_t mode_mask(const struct index *ix)
{
	return ix->columns[SECTION_OWNERS].data ? 07777 : 01777;
}

static int parse(struct index *ix, uint64_t allowed_flags, struct error *e)
{
	uint32_t sections = 0;
	int r = parse_header(ix, allowed_flags, &sections, e);
	if (r == 0)
		r = parse_sections(ix, sections, e);
	if (r == 0)
		r = check_shapes(ix, e);
	ix->mode_mask = mode_mask(ix);
	if (r == 0)
		r = sum_frames(ix, e);
	if (r == 0)
		r = sum_names(ix, e);
	if (r == 0)
		r = gather_links(ix);
	if (r == 0)
		r = gather_xattrs(ix, e);
	if (r == 0)
		r = index_check(ix, e);
	return r;
}

static int parse_new(void *raw, size_t len, uint64_t allowed_flags, struct index **ret,
	struct error *e)
{
	CLEANUP(cleanup_index) struct index *ix = calloc(1, sizeof(*ix));
	if (!ix) {
		free(raw);
		return -ENOMEM;
	}
	ix->raw = raw;
	ix->raw_len = len;
	int r = parse(ix, allowed_flags, e);
	if (r == -ENOMEM)
		return error_set(e, r, "no memory for the index");
	if (r < 0)
		return r;
	*ret = steal_pointer(ix);
	return 0;
}

int index_parse(void *raw, size_t len, struct index **ret, struct error *e)
{
	return parse_new(raw, len, 0, ret, e);
}

int index_parse_local(void *raw, size_t len, struct index **ret, struct error *e)
{
	return parse_new(raw, len, INDEX_FLAG_LOOSE | INDEX_FLAG_PLAIN, ret, e);
}
