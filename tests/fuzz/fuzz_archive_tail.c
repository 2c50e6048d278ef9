/*
 * The first byte: 0, the rest is an object; else the rest is a raw index, and the object
 * is made around it. The second byte, times 32: how long the tail is.
 */
#include "archive/archive.h"
#include "tests/fuzz/archive_object.h"

static const struct call patient = {.deadline_ns = DEADLINE_NONE};

static void try_load(const struct buf *object, size_t tail)
{
	const char *bytes = buf_str(object);
	CLEANUP(cleanup_range_source)
	struct range_source *source = memory_source_new(bytes, object->len);
	if (tail > object->len)
		tail = object->len;
	CLEANUP(cleanup_archive) struct archive *a = NULL;
	bool foreign = false;
	struct error e = {0};
	const char *end = bytes + object->len;
	int r = archive_load(source, &patient, end - tail, tail, "key", &a, &foreign, &e);
	assert(r == 0 || (r == -EBADMSG && e.code == r && strstr(e.text, "'key'")));
	assert(r < 0 || !foreign);
	struct digest identity;
	bool no_archive = false;
	int identified = archive_identify(
		source, &patient, end - tail, tail, &identity, &no_archive, NULL);
	assert(no_archive == foreign);
	if (r < 0)
		return;
	assert(identified == 0 && digest_equal(&identity, archive_identity(a)));
	struct chunk_table chunks;
	archive_chunks(a, &chunks);
	assert(chunks.offsets[chunks.count] <= object->len);
	uint8_t(*digests)[16] = NULL;
	r = archive_content_digests(a, source, &patient, &digests, NULL);
	assert(r == 0 || r == -EBADMSG || r == -ENOENT);
	free(digests);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	CLEANUP(buf_finish) struct buf object = BUF_INIT(OBJECT_MOST);
	if (data[0]) {
		CLEANUP(cleanup_free) uint8_t *raw = malloc(size);
		memcpy(raw, data + 2, size - 2);
		object_make(&object, raw, size - 2, NULL, 0);
	} else if (buf_append(&object, data + 2, size - 2) < 0) {
		return 0;
	}
	try_load(&object, (size_t)data[1] * 32);
	return 0;
}
