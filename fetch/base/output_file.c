#include "fetch/base/output_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "fetch/base/buf.h"
#include "fetch/base/cleanup.h"
#include "fetch/base/io.h"

#define OUTPUT_MAX (16u << 10) /* bytes */

/* A value with a line break could forge another output. */
static int add_line(struct buf *b, const char *name, const char *value)
{
	if (!value || !*value)
		return 0;
	int r = buf_printf(b, "%s=", name);
	for (const char *p = value; r == 0 && *p; p++)
		r = buf_append(b, (unsigned char)*p < 0x20 ? "?" : p, 1);
	return r < 0 ? r : buf_append_str(b, "\n");
}

static int open_output(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	return fd < 0 ? -errno : fd;
}

int output_check(const char *path, struct error *e)
{
	CLEANUP(cleanup_close) int fd = path ? open_output(path) : -1;
	if (!path || fd >= 0)
		return 0;
	return error_set(e, -EINVAL, "cannot open --output '%s': %s", path, strerror(-fd));
}

static int append(const char *path, const char *lines, size_t len, struct error *e)
{
	CLEANUP(cleanup_close) int fd = open_output(path);
	if (fd < 0) /* -EIO: no file here is no miss */
		return error_set(e, -EIO, "cannot open '%s': %s", path, strerror(-fd));
	int r = write_fully(fd, lines, len);
	return r < 0 ? error_set_errno(e, r, "cannot write to '%s'", path) : 0;
}

int output_append(const char *path, const struct output_facts *facts, struct error *e)
{
	if (!path)
		return 0;
	CLEANUP(buf_finish) struct buf b = BUF_INIT(OUTPUT_MAX);
	int r = buf_printf(&b, "cache-hit=%s\n", facts->hit ? "true" : "false");
	if (r == 0)
		r = add_line(&b, "cache-matched-key", facts->key);
	if (r == 0)
		r = add_line(&b, "identity", facts->identity);
	if (r == 0)
		r = add_line(&b, "etag", facts->etag);
	if (r == 0 && facts->size)
		r = buf_printf(&b, "size=%llu\n", (unsigned long long)facts->size);
	if (r < 0)
		return error_set_errno(e, r, "cannot compose the lines for '%s'", path);
	return append(path, b.data, b.len, e);
}

int output_append_from(const char *path, const char *file, struct error *e)
{
	CLEANUP(cleanup_free) char *lines = NULL;
	size_t len;
	int r = path ? read_small_file(file, OUTPUT_MAX, &lines, &len) : -ENOENT;
	if (r == -ENOENT)
		return 0;
	return r < 0 ? error_set_errno(e, r, "cannot read '%s'", file)
		     : append(path, lines, len, e);
}
