/*
 * packdir DIR FILE: packs a directory to an archive in a file, and tells its identity.
 * For tests and measurements; people use `larder commit`.
 */
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "archive/pack.h"
#include "fetch/base/cleanup.h"
#include "fetch/base/io.h"

#define EXCLUDES_MAX 32

static const char usage[] = "usage: packdir [-t THREADS] [-l LEVEL] [-o] [-m SECONDS] "
			    "[-x PATTERN]... DIR FILE\n";

struct arguments {
	struct pack_options options;
	const char *exclude[EXCLUDES_MAX + 1];
	size_t excludes;
	const char *dir;
	const char *file;
};

static void warn(void *arg, const char *sentence)
{
	fprintf(stderr, "packdir: %s\n", sentence);
}

static int write_out(void *arg, const void *data, size_t len, struct error *e)
{
	int r = write_fully(*(int *)arg, data, len);
	return r < 0 ? error_set_errno(e, r, "cannot write the archive") : 0;
}

static bool take_option(struct arguments *a, int c)
{
	switch (c) {
	case 't':
		a->options.threads = (unsigned)atoi(optarg);
		return true;
	case 'l':
		a->options.level = atoi(optarg);
		return true;
	case 'o':
		a->options.preserve_owner = true;
		return true;
	case 'm':
		a->options.reproducible = true;
		a->options.reproducible_mtime_s = atoll(optarg);
		return true;
	case 'x':
		a->exclude[a->excludes] = optarg;
		return a->excludes++ < EXCLUDES_MAX;
	default:
		return false;
	}
}

static bool parse(struct arguments *a, int argc, char **argv)
{
	a->options = (struct pack_options){.level = PACK_LEVEL_DEFAULT, .warn = warn};
	for (int c; (c = getopt(argc, argv, "t:l:om:x:")) != -1;)
		if (!take_option(a, c))
			return false;
	if (argc - optind != 2)
		return false;
	a->options.exclude = a->exclude;
	a->dir = argv[optind];
	a->file = argv[optind + 1];
	return true;
}

static int report(const struct pack_result *r)
{
	char hex[DIGEST_HEX_SIZE];
	digest_hex(&r->identity, hex);
	return printf("identity=%s\nentries=%llu\nfiles=%llu\ncontent=%llu\nstored=%llu\n"
		      "left-out=%llu\n",
		hex, (unsigned long long)r->entries, (unsigned long long)r->files,
		(unsigned long long)r->content_bytes, (unsigned long long)r->stored_bytes,
		(unsigned long long)r->left_out);
}

int main(int argc, char **argv)
{
	struct arguments a = {0};
	if (!parse(&a, argc, argv)) {
		fputs(usage, stderr);
		return 2;
	}
	CLEANUP(cleanup_close) int dir = open(a.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP(cleanup_close)
	int out = open(a.file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (dir < 0 || out < 0) {
		perror("packdir");
		return 1;
	}
	const struct call call = {.deadline_ns = DEADLINE_NONE};
	struct pack_result result;
	struct error e = {0};
	if (pack_directory(dir, a.dir, &a.options, &call, write_out, &out, &result, &e) <
		0) {
		fprintf(stderr, "packdir: %s\n", e.text);
		return 1;
	}
	return report(&result) < 0;
}
