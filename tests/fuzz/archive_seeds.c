/*
 * archive_seeds DIR: writes the first inputs of fuzz_index, fuzz_archive_tail and
 * fuzz_reader below DIR. To be run by hand when the format changes.
 */
#include <err.h>
#include <stdio.h>
#include <sys/stat.h>

#include "fetch/base/bytes.h"
#include "tests/unit/archive_builder.h"

static const char *dir;

static void save(const char *target, const char *name, const void *data, size_t len)
{
	char path[4096];
	snprintf(path, sizeof(path), "%s/%s", dir, target);
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		err(1, "%s", path);
	snprintf(path, sizeof(path), "%s/%s/%s", dir, target, name);
	FILE *f = fopen(path, "we");
	if (!f || fwrite(data, 1, len, f) != len || fclose(f) != 0)
		err(1, "%s", path);
}

static void must(int r)
{
	if (r < 0)
		errx(1, "%s", strerror(-r));
}

static void save_tail(const char *name, char made, const void *data, size_t len)
{
	CLEANUP(buf_finish) struct buf b = BUF_INIT(1 << 20);
	char head[2] = {made, made ? 1 : 4};
	must(buf_append(&b, head, 2));
	must(buf_append(&b, data, len));
	save("archive_tail", name, b.data, b.len);
}

/* Reads across a border, a prefetch, one more read. */
static void save_reader(
	const char *name, const struct archive_builder *b, const void *raw, size_t len)
{
	static const uint8_t script[] = {40, 1, 0, 0, 0, 0, 255, 0, 0, 2, 100, 0, 0, 0, 9,
		0, 3, 0, 0, 0, 0, 0, 2, 0, 7, 0, 1, 0, 0, 0, 2, 0, 0, 1, 10, 0, 0, 0, 255,
		255};
	CLEANUP(buf_finish) struct buf out = BUF_INIT(1 << 20);
	uint8_t head[5] = {sizeof(script) / 8};
	store_le32(head + 1, (uint32_t)len);
	must(buf_append(&out, head, 5));
	must(buf_append(&out, script, sizeof(script)));
	must(buf_append(&out, raw, len));
	must(buf_append(&out, b->frames.data, b->frames.len));
	save("reader", name, out.data, out.len);
}

static void save_object(
	const char *name, const char *kind, struct archive_builder *b, bool unproved)
{
	CLEANUP(buf_finish) struct buf object = BUF_INIT(1 << 20);
	b->unproved = unproved;
	builder_object(b, &object);
	char whole[64];
	snprintf(whole, sizeof(whole), "%s_%s", name, kind);
	save_tail(whole, 0, object.data, object.len);
}

/* Where the identity is told, no change of the index gets far. */
static void save_all(const char *name, struct archive_builder *b)
{
	CLEANUP(cleanup_builder) struct archive_builder *owned = b;
	builder_lay(owned);
	size_t len;
	CLEANUP(cleanup_free) void *raw = builder_index(b, &len);
	save("index", name, raw, len);
	save_tail(name, 1, raw, len);
	save_object(name, "object", b, true);
	save_object(name, "proved", b, false);
	save_reader(name, b, raw, len);
}

static struct archive_builder *everything(void)
{
	struct archive_builder *b = builder_new();
	builder_file(b, "a", "hello", 5);
	builder_dir(b, "d");
	builder_file(b, "d/f", "deep content", 12);
	builder_dir(b, "d/e");
	builder_symlink(b, "d/l", "../a");
	builder_link(b, "d/o", "d/f");
	builder_file(b, "d/v", "", 0);
	builder_link(b, "s", "d/l");
	builder_xattr(b, "a", "user.c", "blue");
	builder_xattr(b, "d", "user.d", "");
	b->cut = 1000;
	b->owners = true;
	return b;
}

static struct archive_builder *nothing(void)
{
	struct archive_builder *b = builder_new();
	b->content_digests = false;
	return b;
}

static struct archive_builder *many_frames(void)
{
	static char content[5000];
	for (size_t i = 0; i < sizeof(content); i++)
		content[i] = (char)(i * i >> 4);
	struct archive_builder *b = builder_new();
	builder_file(b, "big", content, sizeof(content));
	builder_file(b, "zero", "", 0);
	b->cut = 700;
	return b;
}

int main(int argc, char **argv)
{
	if (argc != 2)
		errx(2, "usage: archive_seeds DIR");
	dir = argv[1];
	save_all("everything", everything());
	save_all("nothing", nothing());
	save_all("many_frames", many_frames());
	return 0;
}
