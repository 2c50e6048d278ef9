/*
 * The length of a script (u8, steps of 8 bytes), the length of a raw index (u32), script,
 * index, and the bytes of the frames. The source proves nothing, so that frames may be
 * anything.
 *
 * A step: operation and budget (u8), entry (u8), offset (u32), length (u16, times 16).
 */
#include "archive/reader.h"
#include "archive/unpack_plan.h"
#include "tests/fuzz/archive_object.h"

#define STEP 8

static const struct call patient = {.deadline_ns = DEADLINE_NONE};

static bool is_expected(int r)
{
	return r == 0 || r == -EBADMSG || r == -EISDIR;
}

static void read_both_ways(struct reader *r, uint32_t entry, uint64_t offset, size_t len)
{
	struct span spans[5];
	size_t count = 0, got = 0, spanned = 0;
	CLEANUP(cleanup_free) char *buf = malloc(len + 1);
	int one = reader_spans(r, &patient, entry, offset, len, spans, 5, &count, NULL);
	int two = reader_read(r, &patient, entry, offset, len, buf, &got, NULL);
	assert(is_expected(one) && is_expected(two));
	if (one < 0)
		return;
	for (size_t i = 0; i < count; i++) {
		if (two == 0)
			assert(memcmp(buf + spanned, spans[i].data, spans[i].len) == 0);
		spanned += spans[i].len;
	}
	assert(spanned <= len && (two < 0 || spanned <= got));
	reader_release(r, spans, count);
}

static void step(struct reader *r, const uint8_t *s)
{
	const struct index *ix = archive_index(reader_archive(r));
	uint32_t entry = s[1] % index_count(ix);
	uint64_t offset = load_le32(s + 2);
	size_t len = (size_t)load_le16(s + 6) * 16;
	uint32_t frames = index_frame_count(ix);
	bool touched;
	if (s[0] % 4 == 3) {
		uint32_t first = (uint32_t)(offset % frames);
		uint32_t count = (uint32_t)len % (frames - first + 1);
		assert(is_expected(
			reader_prefetch(r, &patient, first, count, s[0] & 4, NULL)));
		reader_presence(r, first, &touched);
	} else {
		read_both_ways(r, entry, offset, len);
	}
}

static void run(const struct archive *a, struct range_source *source,
	const uint8_t *script, size_t steps)
{
	CLEANUP(cleanup_reader) struct reader *r = NULL;
	size_t budget = steps ? (size_t)script[0] << 14 : 0;
	if (reader_new(a, source, budget, &r) < 0)
		return;
	for (size_t i = 0; i < steps; i++)
		step(r, script + i * STEP);
	struct reader_stats stats;
	reader_stats(r, &stats);
	assert(stats.held <= budget);
}

static void plan(const struct archive *a)
{
	CLEANUP(unpack_plan_finish) struct unpack_plan p = {0};
	const struct index *ix = archive_index(a);
	assert(unpack_plan_make(ix, &p) == 0);
	for (size_t i = 0; i < p.run_count; i++) {
		const struct unpack_run *run = &p.runs[i];
		assert(run->first_frame + run->frame_count <= index_frame_count(ix));
		assert(run->first_file <= run->end_file && run->end_file <= p.file_count);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 5)
		return 0;
	size_t script_len = (size_t)data[0] * STEP, index_len = load_le32(data + 1);
	const uint8_t *script = data + 5;
	if (!range_within(script_len, index_len, size - 5))
		return 0;
	CLEANUP(cleanup_free) uint8_t *raw = malloc(index_len + 1);
	memcpy(raw, script + script_len, index_len);
	CLEANUP(buf_finish) struct buf object = BUF_INIT(OBJECT_MOST);
	object_make(&object, raw, index_len, script + script_len + index_len,
		size - 5 - script_len - index_len);
	CLEANUP(cleanup_range_source)
	struct range_source *source = memory_source_new(buf_str(&object), object.len);
	CLEANUP(cleanup_archive) struct archive *a = NULL;
	if (archive_load(source, &patient, buf_str(&object), object.len, "key", &a, NULL,
		    NULL) < 0)
		return 0;
	plan(a);
	run(a, source, script, data[0]);
	return 0;
}
