#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "archive/unpack_private.h"
#include "fetch/base/io.h"

#define HOLE_BLOCK 4096u       /* bytes: holes begin and end at multiples of it */
#define HOLE_MIN   (64u << 10) /* bytes of zeros that become a hole */

/* One worker's state. */
struct writer {
	struct unpack *u;
	const struct call *call;
	struct unpack_dirs dirs;
	unsigned char *stored, *raw; /* owned; scratch for a run and for one frame */
	size_t stored_size, raw_size;

	const struct unpack_run *run;
	size_t file;   /* in the plan's files: the one that comes next */
	int fd;        /* of that file; -1: not open */
	bool has_hole; /* that file got one */
	bool has_mode; /* that file was made with its last permission bits */
};

static void writer_finish(struct writer *w)
{
	cleanup_close(&w->fd);
	unpack_dirs_finish(&w->dirs);
	free(w->stored);
	free(w->raw);
}

static int grow(unsigned char **buf, size_t *size, size_t need)
{
	if (need <= *size)
		return 0;
	free(*buf);
	*buf = malloc(need);
	*size = *buf ? need : 0;
	return *buf ? 0 : -ENOMEM;
}

/* The record of a file that other runs write to as well, or NULL. */
static struct unpack_shared *shared_of(const struct writer *w, uint32_t entry)
{
	if (w->run->head && w->run->head->entry == entry)
		return w->run->head;
	if (w->run->tail && w->run->tail->entry == entry)
		return w->run->tail;
	return NULL;
}

/* Also its owner cannot give xattrs to a file that he may not write to. */
static bool is_closed_to_xattrs(const struct writer *w, uint32_t entry)
{
	size_t cursor = 0, name_len, value_len;
	const char *name;
	const void *value;
	return !(unpack_file_mode(w->u, entry) & 0200) &&
	       index_xattr_next(
		       w->u->ix, entry, &cursor, &name, &name_len, &value, &value_len);
}

static int open_file(struct writer *w, uint32_t entry, struct error *e)
{
	char name[NAME_LIMIT + 1];
	unpack_name(w->u->ix, entry, name);
	int parent = -1;
	int r = unpack_dirs_open(&w->dirs, index_parent(w->u->ix, entry), &parent);
	if (r < 0)
		return unpack_error(w->u, entry, r, "open the directory of", e);
	bool shared = shared_of(w, entry) != NULL;
	w->has_hole = false;
	w->has_mode = !shared && !is_closed_to_xattrs(w, entry);
	w->fd = openat(parent, name,
		O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC | (shared ? 0 : O_EXCL),
		w->has_mode ? unpack_file_mode(w->u, entry) & 0777 : 0600);
	return w->fd < 0 ? unpack_error(w->u, entry, -errno, "make", e) : 0;
}

/* The last that writes to a file gives it its size and attributes. */
static int close_file(struct writer *w, uint32_t entry, uint64_t size, struct error *e)
{
	struct unpack_shared *shared = shared_of(w, entry);
	bool last = !shared || atomic_fetch_sub(&shared->left, 1) == 1;
	int r = 0;
	if (last && (shared || w->has_hole) && ftruncate(w->fd, (off_t)size) < 0)
		r = unpack_error(w->u, entry, -errno, "write", e);
	if (r == 0 && last)
		r = unpack_attrs_file(w->u, entry, w->fd, w->has_mode, e);
	if (close(steal_fd(&w->fd)) < 0 && r == 0)
		r = unpack_error(w->u, entry, -errno, "write", e);
	if (r == 0 && last)
		atomic_fetch_add(&w->u->files, 1);
	return r;
}

static bool is_zero(const unsigned char *p, size_t len)
{
	return p[0] == 0 && memcmp(p, p + 1, len - 1) == 0;
}

/* The length of the zeros at p, in whole blocks. */
static size_t zeros_at(const unsigned char *p, size_t len)
{
	size_t n = 0;
	while (len - n >= HOLE_BLOCK && is_zero(p + n, HOLE_BLOCK))
		n += HOLE_BLOCK;
	return n;
}

/* The bytes before the next hole; *ret_hole: its length, 0 when there is none. */
static size_t find_hole(const unsigned char *p, size_t len, size_t *ret_hole)
{
	*ret_hole = 0;
	for (size_t at = 0; len - at >= HOLE_MIN; at += HOLE_BLOCK) {
		size_t zeros = zeros_at(p + at, len - at);
		if (zeros >= HOLE_MIN) {
			*ret_hole = zeros;
			return at;
		}
		at += zeros;
		if (len - at < HOLE_MIN)
			break;
	}
	return len;
}

static int write_part(
	struct writer *w, const unsigned char *data, size_t len, uint64_t offset)
{
	while (len) {
		size_t hole, before = find_hole(data, len, &hole);
		int r = before ? pwrite_fully(w->fd, data, before, offset) : 0;
		if (r < 0)
			return r;
		w->has_hole |= hole != 0;
		data += before + hole;
		offset += before + hole;
		len -= before + hole;
	}
	return 0;
}

/* Writes what of the file lies in [begin, begin + len) of the tar; *ret_done when that is
 * its end. */
static int write_file(struct writer *w, uint32_t entry, uint64_t begin, size_t len,
	bool *ret_done, struct error *e)
{
	struct entry_info info;
	index_info(w->u->ix, entry, &info);
	uint64_t place = index_place(w->u->ix, entry);
	uint64_t from = place > begin ? place : begin;
	uint64_t end = place + info.size, to = end < begin + len ? end : begin + len;
	int r = w->fd < 0 ? open_file(w, entry, e) : 0;
	if (r < 0)
		return r;
	if (to > from) {
		r = write_part(
			w, w->raw + (from - begin), (size_t)(to - from), from - place);
		if (r < 0)
			return unpack_error(w->u, entry, r, "write", e);
		atomic_fetch_add(&w->u->bytes, to - from);
	}
	*ret_done = !info.size || to >= end;
	return *ret_done ? close_file(w, entry, info.size, e) : 0;
}

/* All files that end in [begin, begin + len), and the beginning of one that does not. */
static int write_files(struct writer *w, uint64_t begin, size_t len, struct error *e)
{
	while (w->file < w->run->end_file) {
		uint32_t entry = w->u->plan.files[w->file];
		struct entry_info info;
		index_info(w->u->ix, entry, &info);
		if (info.size && index_place(w->u->ix, entry) >= begin + len)
			return 0;
		bool done = false;
		int r = write_file(w, entry, begin, len, &done, e);
		if (r < 0 || !done)
			return r;
		w->file++;
	}
	return 0;
}

static int decode_frame(
	struct writer *w, uint32_t frame, size_t *ret_len, struct error *e)
{
	uint32_t stored, raw;
	index_frame_sizes(w->u->ix, frame, &stored, &raw);
	const uint64_t *offsets = index_frame_offsets(w->u->ix);
	int r = grow(&w->raw, &w->raw_size, raw);
	const unsigned char *from =
		w->stored + (offsets[frame] - offsets[w->run->first_frame]);
	if (r == 0 && index_is_plain(w->u->ix))
		memcpy(w->raw, from, raw);
	else if (r == 0)
		r = decoders_decode(&w->u->decoders, from, stored, w->raw, raw);
	if (r == -ENOMEM)
		return error_set(e, r, "no memory to decode frame %" PRIu32, frame);
	if (r < 0)
		return error_set(e, r,
			"frame %" PRIu32
			" of '%s' does not decompress to what the index says",
			frame, archive_name(w->u->archive));
	*ret_len = raw;
	return 0;
}

static int read_run(struct writer *w, struct error *e)
{
	const uint64_t *offsets = index_frame_offsets(w->u->ix);
	uint64_t begin = offsets[w->run->first_frame];
	size_t len = (size_t)(offsets[w->run->first_frame + w->run->frame_count] - begin);
	int r = grow(&w->stored, &w->stored_size, len);
	if (r < 0)
		return error_set(
			e, r, "no memory to read '%s'", archive_name(w->u->archive));
	return range_source_read(w->u->source, w->call, begin, len, w->stored, e);
}

static int write_run(struct writer *w, const struct unpack_run *run, struct error *e)
{
	w->run = run;
	w->file = run->first_file;
	int r = run->frame_count ? read_run(w, e) : 0;
	for (uint32_t i = 0; r == 0 && i < run->frame_count; i++) {
		uint32_t frame = run->first_frame + i;
		uint64_t begin = index_frame_begin(w->u->ix, frame);
		size_t len = 0;
		if (atomic_load(&w->u->failed))
			return 0;
		r = decode_frame(w, frame, &len, e);
		if (r == 0)
			r = write_files(w, begin, len, e);
	}
	if (r < 0)
		return r;
	if (w->fd >= 0) {
		uint32_t entry = w->u->plan.files[w->file++];
		struct entry_info info;
		index_info(w->u->ix, entry, &info);
		r = close_file(w, entry, info.size, e);
	}
	/* What is left is empty. */
	return r < 0 ? r : write_files(w, index_tar_size(w->u->ix), 0, e);
}

int unpack_runs(struct unpack *u, const struct call *call, struct error *e)
{
	CLEANUP(writer_finish) struct writer w = {.u = u, .call = call, .fd = -1};
	unpack_dirs_init(&w.dirs, u->rootfd, u->ix, true);
	while (!atomic_load(&u->failed)) {
		size_t next = atomic_fetch_add(&u->next_run, 1);
		if (next >= u->plan.run_count)
			return 0;
		int r = write_run(&w, &u->plan.runs[next], e);
		if (r < 0)
			return r;
	}
	return 0;
}
