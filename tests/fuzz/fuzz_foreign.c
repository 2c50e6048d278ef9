/*
 * A foreign archive, converted and scanned: whatever comes of it is an archive that loads.
 */
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <sys/mman.h>

#include "archive/archive.h"
#include "archive/foreign.h"

#define SCANNED_SIZE (UINT64_C(9) << 20) /* large enough that a scan is worth it */
#define STORED_MOST  (UINT64_C(16) << 20)

/* The input, and zeros behind it. */
struct padded_source {
	struct range_source base;
	const uint8_t *data; /* borrowed */
	size_t len;
};

static int padded_read(struct range_source *base, const struct call *call, uint64_t offset,
	size_t len, void *buf, struct error *e)
{
	const struct padded_source *s = (const struct padded_source *)base;
	size_t known = offset < s->len ? s->len - (size_t)offset : 0;
	if (known > len)
		known = len;
	if (known)
		memcpy(buf, s->data + offset, known);
	memset((char *)buf + known, 0, len - known);
	return 0;
}

static const struct range_source_ops padded_ops = {.read = padded_read};

static const struct call patient = {.deadline_ns = DEADLINE_NONE};

static void check_converted(int fd)
{
	CLEANUP(cleanup_range_source) struct range_source *local = NULL;
	CLEANUP(cleanup_archive) struct archive *archive = NULL;
	int r = file_source_new(fd, &local, NULL);
	assert(r == 0);
	r = archive_load_local(local, &patient, "fuzzed", &archive, NULL);
	assert(r == 0);
}

static void convert(const struct foreign_object *object)
{
	const struct foreign_options options = {.max_stored = STORED_MOST};
	int fd = memfd_create("fuzzed", MFD_CLOEXEC);
	assert(fd >= 0);
	struct error e = {0};
	int r = foreign_convert(object, &options, &patient, fd, &e);
	assert(r == 0 || (r == e.code && *e.text));
	assert(r == 0 || r == -EBADMSG || r == -EDQUOT || r == -ENOMEM);
	if (r == 0)
		check_converted(fd);
	else
		close(fd);
}

static void scan(const struct foreign_object *object)
{
	CLEANUP(buf_finish) struct buf index = BUF_INIT(64 << 20);
	CLEANUP(cleanup_archive) struct archive *archive = NULL;
	const struct foreign_options options = {0};
	const struct digest origin = {{0}};
	int r = foreign_scan(object, &options, &patient, &index, NULL);
	assert(r == 0 || r == -EBADMSG || r == -EAGAIN || r == -ENOMEM);
	if (r < 0)
		return;
	r = archive_load_plain(index.data, index.len, object->source->size, &origin,
		"fuzzed", &archive, NULL);
	assert(r == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct padded_source whole = {{&padded_ops, size}, data, size};
	struct padded_source padded = {{&padded_ops, SCANNED_SIZE}, data, size};
	const uint8_t end[1024] = {0};
	convert(&(struct foreign_object){&whole.base, data, size, "fuzzed"});
	if (size < SCANNED_SIZE - sizeof(end))
		scan(&(struct foreign_object){&padded.base, end, sizeof(end), "fuzzed"});
	return 0;
}
