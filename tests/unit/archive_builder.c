#include "tests/unit/archive_builder.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <zstd.h>

#include "archive/seek_table.h"
#include "fetch/base/bytes.h"

#define BUF_MOST ((size_t)2 << 30)

static void must(bool ok)
{
	if (!ok)
		abort();
}

struct archive_builder *builder_new(void)
{
	struct archive_builder *b = calloc(1, sizeof(*b));
	must(b);
	b->cut = 64 << 10;
	b->version = FORMAT_VERSION;
	b->content_digests = true;
	buf_init(&b->tar, BUF_MOST);
	buf_init(&b->frames, BUF_MOST);
	buf_init(&b->digests, BUF_MOST);
	buf_init(&b->raw_index, BUF_MOST);
	for (size_t i = 0; i < SECTION_OUTER + 4; i++)
		buf_init(&b->columns[i], BUF_MOST);
	builder_dir(b, "");
	return b;
}

void builder_free(struct archive_builder *b)
{
	if (!b)
		return;
	for (size_t i = 0; i < b->count; i++) {
		free(b->entries[i].path);
		free(b->entries[i].link_to);
	}
	free(b->entries);
	buf_finish(&b->tar);
	buf_finish(&b->frames);
	buf_finish(&b->digests);
	buf_finish(&b->raw_index);
	for (size_t i = 0; i < SECTION_OUTER + 4; i++)
		buf_finish(&b->columns[i]);
	free(b);
}

static size_t depth_of(const char *path)
{
	size_t depth = *path != '\0';
	for (; *path; path++)
		depth += *path == '/';
	return depth;
}

static struct builder_entry *add(struct archive_builder *b, const char *path, mode_t mode)
{
	if (b->count == b->size) {
		b->size = b->size ? b->size * 2 : 64;
		b->entries = reallocarray(b->entries, b->size, sizeof(*b->entries));
		must(b->entries);
	}
	struct builder_entry *e = &b->entries[b->count++];
	*e = (struct builder_entry){.path = strdup(path),
		.depth = depth_of(path),
		.mode = mode,
		.seconds = 1700000000};
	must(e->path);
	return e;
}

struct builder_entry *builder_dir(struct archive_builder *b, const char *path)
{
	return add(b, path, S_IFDIR | 0755);
}

struct builder_entry *builder_file(
	struct archive_builder *b, const char *path, const void *content, size_t size)
{
	struct builder_entry *e = add(b, path, S_IFREG | 0644);
	e->content = content;
	e->size = size;
	return e;
}

struct builder_entry *builder_symlink(
	struct archive_builder *b, const char *path, const char *target)
{
	struct builder_entry *e = add(b, path, S_IFLNK | 0777);
	e->content = target;
	e->size = strlen(target);
	return e;
}

struct builder_entry *builder_link(
	struct archive_builder *b, const char *path, const char *primary)
{
	struct builder_entry *e = add(b, path, S_IFREG | 0644);
	e->link_to = strdup(primary);
	must(e->link_to);
	return e;
}

void builder_xattr(
	struct archive_builder *b, const char *path, const char *name, const char *value)
{
	must(b->xattr_count < 16);
	b->xattrs[b->xattr_count++] =
		(struct builder_xattr){path, name, value, strlen(value)};
}

/* By components: '/' comes before every other byte. */
static int compare_paths(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	unsigned x = *a == '/' ? 1 : (unsigned char)*a * 2u;
	unsigned y = *b == '/' ? 1 : (unsigned char)*b * 2u;
	return (x > y) - (x < y);
}

static int compare_breadth(const void *a, const void *b)
{
	const struct builder_entry *x = a, *y = b;
	return x->depth != y->depth ? (x->depth > y->depth) - (x->depth < y->depth)
				    : compare_paths(x->path, y->path);
}

static int compare_depth(const void *a, const void *b)
{
	const struct builder_entry *const *x = a, *const *y = b;
	return compare_paths((*x)->path, (*y)->path);
}

static struct builder_entry *find(const struct archive_builder *b, const char *path)
{
	struct builder_entry key = {.path = (char *)path, .depth = depth_of(path)};
	return bsearch(&key, b->entries, b->count, sizeof(key), compare_breadth);
}

uint32_t builder_number(const struct archive_builder *b, const char *path)
{
	struct builder_entry *e = find(b, path);
	must(e);
	return e->number;
}

static const char *name_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

static uint32_t parent_of(const struct archive_builder *b, const char *path)
{
	const char *slash = strrchr(path, '/');
	char *parent = slash ? strndup(path, (size_t)(slash - path)) : strdup("");
	must(parent);
	uint32_t number = builder_number(b, parent);
	free(parent);
	return number;
}

static void put(struct buf *b, const void *data, size_t len)
{
	must(buf_append(b, data, len) == 0);
}

static void put32(struct buf *b, uint32_t v)
{
	uint8_t p[4];
	store_le32(p, v);
	put(b, p, 4);
}

static void put64(struct buf *b, uint64_t v)
{
	uint8_t p[8];
	store_le64(p, v);
	put(b, p, 8);
}

static void pad(struct buf *b, size_t multiple)
{
	static const char zeros[512];
	put(b, zeros, (multiple - b->len % multiple) % multiple);
}

static char type_flag(const struct builder_entry *e)
{
	if (e->link_to)
		return '1';
	return S_ISDIR(e->mode) ? '5' : S_ISLNK(e->mode) ? '2' : '0';
}

static void put_header(struct archive_builder *b, const struct builder_entry *e)
{
	char h[512 + 16] = "";
	const char *name = *e->path ? e->path : ".";
	snprintf(h, 101, "%s%s", name, S_ISDIR(e->mode) ? "/" : "");
	h[100] = '\0';
	snprintf(h + 100, 8, "%07o", (unsigned)e->mode & 07777u);
	snprintf(h + 108, 8, "%07o", e->uid);
	snprintf(h + 116, 8, "%07o", e->gid);
	snprintf(h + 124, 12, "%011llo",
		type_flag(e) == '0' ? (unsigned long long)e->size : 0);
	snprintf(h + 136, 12, "%011llo", (unsigned long long)e->seconds);
	memset(h + 148, ' ', 8);
	h[156] = type_flag(e);
	const char *target = e->link_to ? e->link_to : e->content;
	if (type_flag(e) == '1' || type_flag(e) == '2')
		memcpy(h + 157, target, strnlen(target, 100));
	memcpy(h + 257,
		"ustar\0"
		"00",
		8);
	unsigned sum = 0;
	for (size_t i = 0; i < 512; i++)
		sum += (unsigned char)h[i];
	snprintf(h + 148, 8, "%06o", sum & 0777777u);
	put(&b->tar, h, 512);
}

static void put_member(struct archive_builder *b, struct builder_entry *e)
{
	put_header(b, e);
	if (type_flag(e) != '0')
		return;
	e->place = b->tar.len;
	if (e->size)
		put(&b->tar, e->content, e->size);
	pad(&b->tar, 512);
}

static void lay_tar(struct archive_builder *b)
{
	struct builder_entry **order = calloc(b->count, sizeof(*order));
	must(order);
	for (size_t i = 0; i < b->count; i++)
		order[i] = &b->entries[i];
	qsort(order, b->count, sizeof(*order), compare_depth);
	for (size_t i = 0; i < b->count; i++)
		put_member(b, order[i]);
	free(order);
	static const char end[1024];
	put(&b->tar, end, sizeof(end));
}

static void lay_frame(struct archive_builder *b, const char *data, size_t len)
{
	must(buf_reserve(&b->frames, ZSTD_compressBound(len)) == 0);
	size_t stored = ZSTD_compress(
		b->frames.data + b->frames.len, ZSTD_compressBound(len), data, len, 1);
	must(!ZSTD_isError(stored));
	struct digest d;
	must(digest_of(b->frames.data + b->frames.len, stored, &d) == 0);
	b->frames.len += stored;
	put32(&b->columns[SECTION_FRAME_SIZES], (uint32_t)stored);
	put32(&b->columns[SECTION_FRAME_SIZES], (uint32_t)len);
	put(&b->columns[SECTION_FRAME_DIGESTS], d.bytes, DIGEST_SIZE);
}

static void lay_frames(struct archive_builder *b)
{
	for (size_t at = 0; at < b->tar.len; at += b->cut) {
		size_t left = b->tar.len - at;
		lay_frame(b, b->tar.data + at, left < b->cut ? left : b->cut);
	}
}

/* Copies what a hard link must repeat; places come when they are known. */
static void resolve_links(struct archive_builder *b)
{
	for (size_t i = 0; i < b->count; i++) {
		struct builder_entry *e = &b->entries[i];
		if (!e->link_to)
			continue;
		const struct builder_entry *p = find(b, e->link_to);
		must(p);
		e->mode = p->mode;
		e->content = p->content;
		e->size = p->size;
		e->seconds = p->seconds;
		e->nanoseconds = p->nanoseconds;
		e->uid = p->uid;
		e->gid = p->gid;
		put32(&b->columns[SECTION_LINKS], e->number);
		put32(&b->columns[SECTION_LINKS], p->number);
	}
}

static void lay_places(struct archive_builder *b)
{
	for (size_t i = 0; i < b->count; i++) {
		struct builder_entry *e = &b->entries[i];
		if (e->link_to)
			e->place = find(b, e->link_to)->place;
		put64(&b->columns[SECTION_SIZES], e->size);
		put64(&b->columns[SECTION_PLACES], e->place);
	}
}

static void lay_row(struct archive_builder *b, const struct builder_entry *e)
{
	uint8_t mode[2];
	store_le16(mode, (uint16_t)e->mode);
	put(&b->columns[SECTION_MODES], mode, 2);
	put32(&b->columns[SECTION_PARENTS], parent_of(b, e->path));
	uint8_t length = (uint8_t)strlen(name_of(e->path));
	put(&b->columns[SECTION_NAME_LENGTHS], &length, 1);
	put(&b->columns[SECTION_NAMES], name_of(e->path), strlen(name_of(e->path)));
	put64(&b->columns[SECTION_MTIME_SECONDS], (uint64_t)e->seconds);
	put32(&b->columns[SECTION_MTIME_NANOSECONDS], e->nanoseconds);
	if (!b->owners)
		return;
	put32(&b->columns[SECTION_OWNERS], e->uid);
	put32(&b->columns[SECTION_OWNERS], e->gid);
}

/* Number of children and the first, by counting parents that were laid already. */
static void count_children(const struct archive_builder *b, uint32_t *counts)
{
	for (size_t i = 1; i < b->count; i++)
		counts[load_le32(b->columns[SECTION_PARENTS].data + i * 4)]++;
}

static void lay_sizes(struct archive_builder *b)
{
	uint32_t *counts = calloc(b->count, sizeof(*counts));
	must(counts);
	count_children(b, counts);
	uint64_t next = 1;
	for (size_t i = 0; i < b->count; i++) {
		struct builder_entry *e = &b->entries[i];
		if (S_ISDIR(e->mode)) {
			e->size = counts[i];
			e->place = counts[i] ? next : 0;
			next += counts[i];
		} else if (S_ISLNK(e->mode) && !e->link_to) {
			e->place = b->columns[SECTION_TARGETS].len;
			put(&b->columns[SECTION_TARGETS], e->content, e->size);
		}
	}
	free(counts);
}

static void lay_xattrs(struct archive_builder *b)
{
	struct buf *c = &b->columns[SECTION_XATTRS];
	for (size_t i = 0; i < b->xattr_count; i++) {
		const struct builder_xattr *x = &b->xattrs[i];
		put32(c, builder_number(b, x->path));
		put32(c, (uint32_t)strlen(x->name));
		put32(c, (uint32_t)x->value_len);
		put32(c, 0);
		put(c, x->name, strlen(x->name));
		put(c, x->value, x->value_len);
		pad(c, 8);
	}
}

static void put_skippable(struct buf *b, uint32_t magic, const void *raw, size_t len)
{
	size_t bound = ZSTD_compressBound(len);
	must(buf_reserve(b, bound + SKIPPABLE_HEADER_SIZE) == 0);
	char *p = b->data + b->len;
	size_t stored = ZSTD_compress(p + SKIPPABLE_HEADER_SIZE, bound, raw, len, 1);
	must(!ZSTD_isError(stored));
	store_le32(p, magic);
	store_le32(p + 4, (uint32_t)stored);
	b->len += SKIPPABLE_HEADER_SIZE + stored;
}

static void lay_digests(struct archive_builder *b)
{
	uint8_t(*raw)[16] = calloc(b->count, sizeof(*raw));
	must(raw);
	for (size_t i = 0; i < b->count; i++) {
		const struct builder_entry *e = &b->entries[i];
		struct digest d;
		if (!S_ISREG(e->mode))
			continue;
		must(digest_of(e->content ? e->content : "", e->size, &d) == 0);
		memcpy(raw[i], d.bytes, sizeof(raw[i]));
	}
	put_skippable(&b->digests, SKIPPABLE_MAGIC_DIGESTS, raw, b->count * sizeof(*raw));
	free(raw);
}

static void lay_outer(struct archive_builder *b)
{
	struct buf *c = &b->columns[SECTION_OUTER];
	struct digest d;
	must(digest_of(b->digests.data + 8, b->digests.len - 8, &d) == 0);
	put32(c, OUTER_CONTENT_DIGESTS);
	put32(c, 0);
	put64(c, b->frames.len + SKIPPABLE_HEADER_SIZE);
	put64(c, b->digests.len - SKIPPABLE_HEADER_SIZE);
	put64(c, b->count * 16);
	put(c, d.bytes, DIGEST_SIZE);
}

void builder_lay(struct archive_builder *b)
{
	qsort(b->entries, b->count, sizeof(*b->entries), compare_breadth);
	for (size_t i = 0; i < b->count; i++)
		b->entries[i].number = (uint32_t)i;
	resolve_links(b);
	lay_tar(b);
	lay_frames(b);
	for (size_t i = 0; i < b->count; i++)
		lay_row(b, &b->entries[i]);
	lay_sizes(b);
	lay_places(b);
	lay_xattrs(b);
	if (b->content_digests) {
		lay_digests(b);
		lay_outer(b);
	}
	put(&b->columns[SECTION_TARGETS], "", 0);
	put(&b->columns[SECTION_NAMES], "", 0);
	b->header_entries = b->count;
	b->header_frames = b->columns[SECTION_FRAME_DIGESTS].len / DIGEST_SIZE;
	b->header_tar = b->tar.len;
}

void builder_set8(struct archive_builder *b, uint32_t section, size_t i, uint8_t v)
{
	must(i < b->columns[section].len);
	b->columns[section].data[i] = (char)v;
}

void builder_set16(struct archive_builder *b, uint32_t section, size_t i, uint16_t v)
{
	must((i + 1) * 2 <= b->columns[section].len);
	store_le16(b->columns[section].data + i * 2, v);
}

void builder_set32(struct archive_builder *b, uint32_t section, size_t i, uint32_t v)
{
	must((i + 1) * 4 <= b->columns[section].len);
	store_le32(b->columns[section].data + i * 4, v);
}

void builder_set64(struct archive_builder *b, uint32_t section, size_t i, uint64_t v)
{
	must((i + 1) * 8 <= b->columns[section].len);
	store_le64(b->columns[section].data + i * 8, v);
}

static void put_section_table(
	const struct archive_builder *b, uint32_t sections, struct buf *out)
{
	uint64_t at = INDEX_HEADER_SIZE + (uint64_t)sections * SECTION_ENTRY_SIZE;
	for (uint32_t id = 1; id < SECTION_OUTER + 4; id++) {
		if (!b->columns[id].data)
			continue;
		put32(out, id);
		put32(out, b->section_flags[id]);
		put64(out, at);
		put64(out, b->columns[id].len);
		put64(out, 0);
		at += (b->columns[id].len + 7) & ~UINT64_C(7);
	}
}

void *builder_index(const struct archive_builder *b, size_t *ret_len)
{
	struct buf out = BUF_INIT(BUF_MOST);
	uint32_t sections = 0;
	for (uint32_t id = 1; id < SECTION_OUTER + 4; id++)
		sections += b->columns[id].data != NULL;
	if (b->raw_index.len) {
		put(&out, b->raw_index.data, b->raw_index.len);
		*ret_len = out.len;
		return buf_steal(&out);
	}
	put(&out, INDEX_MAGIC, 8);
	put32(&out, b->version);
	put32(&out, sections + b->section_count_extra);
	put64(&out, b->header_entries);
	put64(&out, b->header_frames);
	put64(&out, b->header_tar);
	put64(&out, b->header_flags);
	put_section_table(b, sections, &out);
	for (uint32_t id = 1; id < SECTION_OUTER + 4; id++) {
		if (b->columns[id].len)
			put(&out, b->columns[id].data, b->columns[id].len);
		pad(&out, 8);
	}
	*ret_len = out.len;
	return buf_steal(&out);
}

/* The identity and the index. */
static void put_index(
	const struct archive_builder *b, struct buf *ret, struct seek_entry_vec *seek)
{
	CLEANUP(buf_finish) struct buf index = BUF_INIT(UINT32_MAX);
	size_t raw_len;
	CLEANUP(cleanup_free) void *raw = builder_index(b, &raw_len);
	put_skippable(&index, SKIPPABLE_MAGIC_INDEX, raw, raw_len);
	struct digest identity;
	must(digest_of(index.data + SKIPPABLE_HEADER_SIZE,
		     index.len - SKIPPABLE_HEADER_SIZE, &identity) == 0);
	if (!b->unproved) {
		put32(ret, SKIPPABLE_MAGIC_IDENTITY);
		put32(ret, DIGEST_SIZE);
		put(ret, identity.bytes, DIGEST_SIZE);
		must(seek_entry_vec_push(
			     seek, (struct seek_entry){IDENTITY_FRAME_SIZE, 0}) == 0);
	}
	put(ret, index.data, index.len);
	must(seek_entry_vec_push(seek, (struct seek_entry){(uint32_t)index.len, 0}) == 0);
}

void builder_object(const struct archive_builder *b, struct buf *ret)
{
	struct seek_entry_vec seek = {0};
	const struct buf *sizes = &b->columns[SECTION_FRAME_SIZES];
	for (size_t i = 0; i + 8 <= sizes->len; i += 8)
		must(seek_entry_vec_push(
			     &seek, (struct seek_entry){load_le32(sizes->data + i),
					    load_le32(sizes->data + i + 4)}) == 0);
	put(ret, b->frames.data, b->frames.len);
	if (b->digests.len) {
		put(ret, b->digests.data, b->digests.len);
		must(seek_entry_vec_push(&seek,
			     (struct seek_entry){(uint32_t)b->digests.len, 0}) == 0);
	}
	put_index(b, ret, &seek);
	must(seek_table_write(seek.data, seek.len, ret) == 0);
	seek_entry_vec_finish(&seek);
}
