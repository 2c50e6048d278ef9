#include "fetch/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/base/io.h"

struct spool {
	size_t memory_max;
	const char *folder;    /* borrowed; "": none */
	unsigned char *memory; /* owned; memory_max bytes; NULL before the first and when
				  in a file */
	int fd;                /* owned; -1: in memory */
	const char *place;     /* borrowed: the folder of the file */
	uint64_t size;         /* bytes */
	struct hasher *hasher; /* owned */
	struct digest digest;  /* when sealed */
};

struct spool *spool_new(size_t memory_max, const char *folder)
{
	struct spool *s = malloc(sizeof(*s));
	if (!s)
		return NULL;
	*s = (struct spool){
		.memory_max = memory_max,
		.folder = folder ? folder : "",
		.fd = -1,
		.hasher = hasher_new(),
	};
	if (!s->hasher) {
		free(s);
		return NULL;
	}
	return s;
}

void spool_free(struct spool *s)
{
	if (!s)
		return;
	cleanup_close(&s->fd);
	hasher_free(s->hasher);
	free(s->memory);
	free(s);
}

/* For file systems without O_TMPFILE: a name for a moment. */
static int make_named(const char *folder)
{
	char path[PATH_MAX];
	int len = snprintf(path, sizeof(path), "%s/.larder-spool-XXXXXX", folder);
	if (len < 0 || (size_t)len >= sizeof(path))
		return -ENAMETOOLONG;
	int fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	unlink(path);
	return fd;
}

static int make_in(const char *folder)
{
	int fd = open(folder, O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
	if (fd >= 0)
		return fd;
	return errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL
		       ? make_named(folder)
		       : -errno;
}

static int make_file(struct spool *s, struct error *e)
{
	const char *tmpdir = secure_getenv("TMPDIR");
	const char *places[] = {tmpdir ? tmpdir : "", s->folder, "/var/tmp", "/tmp"};
	int fd = -ENOENT;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		if (!*places[i])
			continue;
		s->place = places[i];
		fd = make_in(s->place);
		if (fd >= 0)
			break;
	}
	if (fd < 0)
		return error_set_errno(
			e, fd, "cannot make a temporary file in '%s'", s->place);
	s->fd = fd;
	return 0;
}

static int write_file(
	struct spool *s, const void *data, size_t len, uint64_t offset, struct error *e)
{
	int r = pwrite_fully(s->fd, data, len, offset);
	if (r < 0)
		return error_set_errno(
			e, r, "cannot write a temporary file in '%s'", s->place);
	return 0;
}

static int move_to_file(struct spool *s, struct error *e)
{
	int r = make_file(s, e);
	if (r == 0)
		r = write_file(s, s->memory, (size_t)s->size, 0, e);
	if (r < 0)
		return r;
	free(s->memory);
	s->memory = NULL;
	return 0;
}

static int write_memory(struct spool *s, const void *data, size_t len)
{
	if (!s->memory)
		s->memory = malloc(s->memory_max);
	if (!s->memory)
		return -ENOMEM;
	memcpy(s->memory + s->size, data, len);
	return 0;
}

static int store_bytes(struct spool *s, const void *data, size_t len, struct error *e)
{
	if (s->fd < 0 && len <= s->memory_max - (size_t)s->size)
		return write_memory(s, data, len);
	int r = s->fd < 0 ? move_to_file(s, e) : 0;
	return r < 0 ? r : write_file(s, data, len, s->size, e);
}

int spool_write(struct spool *s, const void *data, size_t len, struct error *e)
{
	if (!len)
		return 0;
	int r = store_bytes(s, data, len, e);
	if (r == 0)
		r = hasher_update(s->hasher, data, len);
	if (r == -ENOMEM)
		return error_set_errno(e, r, "cannot keep what is to be sent");
	if (r == 0)
		s->size += len;
	return r;
}

int spool_seal(struct spool *s)
{
	return hasher_finish(s->hasher, &s->digest);
}

uint64_t spool_size(const struct spool *s)
{
	return s->size;
}

const struct digest *spool_digest(const struct spool *s)
{
	return &s->digest;
}

const void *spool_data(const struct spool *s)
{
	if (s->fd >= 0)
		return NULL;
	return s->memory ? (const void *)s->memory : "";
}

int spool_fd(const struct spool *s)
{
	return s->fd;
}
