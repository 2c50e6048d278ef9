/*
 * unpackdir FILE DIR: unpacks an archive in a file to a directory.
 * unpackdir -r FILE: reads all files through the reader instead, in the tar's order.
 * unpackdir -l FILE: loads the index only.
 * For tests and measurements; people use `larder restore`.
 */
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/reader.h"
#include "archive/unpack.h"
#include "fetch/base/cleanup.h"

static const char usage[] = "usage: unpackdir [-t THREADS] [-o] FILE DIR\n"
			    "       unpackdir [-b BUDGET] -r|-l FILE\n";

struct arguments {
	struct unpack_options options;
	size_t budget;
	char mode; /* 'u' unpack, 'r' read, 'l' load */
	const char *file;
	const char *dir;
};

/* An open archive with its proved source. */
struct opened {
	struct range_source *inner;  /* owned */
	struct archive *archive;     /* owned */
	struct range_source *chunks; /* owned */
};

static const struct call patient = {.deadline_ns = DEADLINE_NONE};

static void warn(void *arg, const char *sentence)
{
	fprintf(stderr, "unpackdir: %s\n", sentence);
}

static bool take_option(struct arguments *a, int c)
{
	switch (c) {
	case 't':
		a->options.threads = (unsigned)atoi(optarg);
		return true;
	case 'o':
		a->options.preserve_owner = true;
		return true;
	case 'b':
		a->budget = strtoull(optarg, NULL, 10);
		return true;
	case 'r':
	case 'l':
		a->mode = (char)c;
		return true;
	default:
		return false;
	}
}

static bool parse(struct arguments *a, int argc, char **argv)
{
	*a = (struct arguments){.options.warn = warn, .budget = 64 << 20, .mode = 'u'};
	for (int c; (c = getopt(argc, argv, "t:ob:rl")) != -1;)
		if (!take_option(a, c))
			return false;
	if (argc - optind != (a->mode == 'u' ? 2 : 1))
		return false;
	a->file = argv[optind];
	a->dir = argv[optind + 1];
	return true;
}

static void close_archive(struct opened *o)
{
	range_source_free(o->chunks);
	archive_free(o->archive);
	range_source_free(o->inner);
}

static int open_archive(const char *file, struct opened *o, struct error *e)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_set_errno(e, -errno, "cannot open '%s'", file);
	int r = file_source_new(fd, &o->inner, e);
	if (r < 0)
		return r;
	size_t len = o->inner->size < ARCHIVE_TAIL_SIZE ? (size_t)o->inner->size
							: ARCHIVE_TAIL_SIZE;
	CLEANUP(cleanup_free) char *tail = malloc(len + 1);
	if (!tail)
		return -ENOMEM;
	r = range_source_read(o->inner, &patient, o->inner->size - len, len, tail, e);
	if (r == 0)
		r = archive_load(
			o->inner, &patient, tail, len, file, &o->archive, NULL, e);
	if (r < 0)
		return r;
	struct chunk_table chunks;
	archive_chunks(o->archive, &chunks);
	return chunk_source_new(o->inner, &chunks, NULL, file, &o->chunks, e);
}

static int read_file(struct reader *r, uint32_t entry, struct error *e)
{
	static char buf[1 << 17];
	size_t got = 0;
	uint64_t offset = 0;
	do {
		int code = reader_read(
			r, &patient, entry, offset, sizeof(buf), buf, &got, e);
		if (code < 0)
			return code;
		offset += got;
	} while (got == sizeof(buf));
	return 0;
}

static int read_all(struct opened *o, size_t budget, struct error *e)
{
	CLEANUP(cleanup_reader) struct reader *reader = NULL;
	int r = reader_new(o->archive, o->chunks, budget, &reader);
	const struct index *ix = archive_index(o->archive);
	uint32_t entry = 0;
	do {
		if (r == 0 && S_ISREG(index_mode(ix, entry)))
			r = read_file(reader, entry, e);
		entry = index_next(ix, entry);
	} while (r == 0 && entry);
	return r;
}

static int act(const struct arguments *a, struct opened *o, struct error *e)
{
	uint64_t begin = clock_monotonic_ns();
	int r = open_archive(a->file, o, e);
	uint64_t loaded = clock_monotonic_ns();
	if (r == 0 && a->mode == 'u')
		r = unpack_archive(
			o->archive, o->chunks, &patient, a->dir, &a->options, e);
	else if (r == 0 && a->mode == 'r')
		r = read_all(o, a->budget, e);
	if (r < 0)
		return r;
	printf("entries=%lu\nmemory=%zu\nload-ms=%.1f\nwork-ms=%.1f\n",
		(unsigned long)index_count(archive_index(o->archive)),
		index_memory(archive_index(o->archive)), (double)(loaded - begin) / 1e6,
		(double)(clock_monotonic_ns() - loaded) / 1e6);
	return 0;
}

int main(int argc, char **argv)
{
	struct arguments a;
	if (!parse(&a, argc, argv)) {
		fputs(usage, stderr);
		return 2;
	}
	CLEANUP(close_archive) struct opened o = {0};
	struct error e = {0};
	if (act(&a, &o, &e) == 0)
		return 0;
	fprintf(stderr, "unpackdir: %s\n", e.text);
	return 1;
}
