/*
 * Usage: fuzz_NAME FILE-OR-DIRECTORY...
 * Feeds each file, and each file of a directory, to the target once. Fails when there is
 * none: a corpus that got lost is not a test that passed.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "fetch/base/cleanup.h"
#include "fetch/base/io.h"
#include "tests/fuzz/fuzz.h"

static unsigned fed;

static void feed(const char *path, int fd, size_t size)
{
	/* malloc(0) may be NULL, which libFuzzer also hands over. */
	uint8_t *data = malloc(size);
	int r = size ? pread_exactly(fd, data, size, 0) : 0;
	if (r < 0)
		errx(1, "%s: %s", path, strerror(-r));
	LLVMFuzzerTestOneInput(data, size);
	free(data);
	fed++;
}

static void replay(const char *path);

static void replay_directory(const char *path)
{
	CLEANUP(cleanup_closedir) DIR *d = opendir(path);
	struct dirent *entry;
	if (!d)
		err(1, "%s", path);
	while ((entry = readdir(d))) {
		char below[4096];
		if (entry->d_name[0] == '.')
			continue;
		snprintf(below, sizeof(below), "%s/%s", path, entry->d_name);
		replay(below);
	}
}

static void replay(const char *path)
{
	CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0)
		err(1, "%s", path);
	if (S_ISDIR(st.st_mode))
		replay_directory(path);
	else
		feed(path, fd, (size_t)st.st_size);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		replay(argv[i]);
	printf("%u inputs\n", fed);
	return fed ? 0 : 1;
}
