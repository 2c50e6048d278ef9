#include "tests/unit/noise.h"

#include "tests/unit/pseudo_random.h"
#include "tests/unit/test.h"

static unsigned char *make_noise(size_t len)
{
	unsigned char *p = malloc(len);
	assert_non_null(p);
	pseudo_random_bytes(p, len, 12345);
	return p;
}

void noise_init(struct noise *n, size_t len, size_t budget)
{
	*n = (struct noise){
		.builder = builder_new(), .object = BUF_INIT(64 << 20), .len = len};
	n->content = make_noise(len);
	n->builder->cut = CUT;
	builder_file(n->builder, "file", n->content, len);
	builder_file(n->builder, "void", "", 0);
	builder_dir(n->builder, "dir");
	builder_symlink(n->builder, "link", "file");
	builder_lay(n->builder);
	builder_object(n->builder, &n->object);
	scripted_init(&n->source, n->object.data, n->object.len);
	assert_int_equal(archive_load(&n->source.base, CALL_PATIENT, n->object.data,
				 n->object.len, "key", &n->archive, NULL, NULL),
		0);
	assert_int_equal(reader_new(n->archive, &n->source.base, budget, &n->reader), 0);
	n->file = builder_number(n->builder, "file");
	n->frames = index_frame_count(archive_index(n->archive));
	n->place = index_place(archive_index(n->archive), n->file);
}

void noise_finish(struct noise *n)
{
	reader_free(n->reader);
	archive_free(n->archive);
	scripted_finish(&n->source);
	buf_finish(&n->object);
	builder_free(n->builder);
	free(n->content);
}

uint64_t noise_offset(const struct noise *n, uint32_t frame)
{
	return (uint64_t)frame * CUT - n->place;
}

struct reader_stats noise_stats(const struct noise *n)
{
	struct reader_stats s;
	reader_stats(n->reader, &s);
	return s;
}

void noise_expect(const struct noise *n, uint64_t offset, size_t len)
{
	CLEANUP(cleanup_free) unsigned char *buf = malloc(len + 1);
	assert_non_null(buf);
	size_t got = 0;
	size_t want = offset >= n->len        ? 0
		      : len < n->len - offset ? len
					      : n->len - (size_t)offset;
	assert_int_equal(reader_read(n->reader, CALL_PATIENT, n->file, offset, len, buf,
				 &got, NULL),
		0);
	assert_int_equal(got, want);
	assert_memory_equal(buf, n->content + offset, want);
}

void noise_expect_ready(const struct noise *n, uint32_t first, uint32_t end)
{
	bool touched;
	for (uint32_t i = 0; i < n->frames; i++)
		assert_int_equal(reader_presence(n->reader, i, &touched),
			i >= first && i < end ? FRAME_READY : FRAME_ABSENT);
}
