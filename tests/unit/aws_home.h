/*
 * A world without credentials, for tests that bring their own: no AWS_ variable but
 * AWS_EC2_METADATA_DISABLED, and an empty home directory with an .aws folder in it.
 */
#ifndef LARDER_TESTS_UNIT_AWS_HOME_H
#define LARDER_TESTS_UNIT_AWS_HOME_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fetch/base/io.h"

extern char **environ;

static char aws_home[64];

/* The path of a file below the home directory, in one of a few static buffers. */
static inline const char *aws_path(const char *name)
{
	static char paths[8][160];
	static unsigned next;
	char *path = paths[next++ % 8];
	snprintf(path, sizeof(paths[0]), "%s/%s", aws_home, name);
	return path;
}

/* Replaces the file, so that it has another inode, as editors and tools do it. */
static inline const char *aws_write(const char *name, const char *text)
{
	const char *path = aws_path(name), *other = aws_path("new");
	int fd = open(other, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write_fully(fd, text, strlen(text)), 0);
	close(fd);
	assert_int_equal(rename(other, path), 0);
	return path;
}

static inline void aws_clear_environment(void)
{
	for (char **v = environ; *v;) {
		char name[256];
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(*v, "="), *v);
		if (strncmp(name, "AWS_", 4) || unsetenv(name))
			v++;
	}
	setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
	setenv("HOME", aws_home, 1);
}

static inline int aws_home_make(void **state)
{
	strcpy(aws_home, "/tmp/test_aws_XXXXXX");
	assert_non_null(mkdtemp(aws_home));
	assert_int_equal(mkdir(aws_path(".aws"), 0700), 0);
	aws_clear_environment();
	return 0;
}

static inline int aws_home_remove(void **state)
{
	static const char *const files[] = {
		".aws/credentials", ".aws/config", "token", "new", "file"};
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		unlink(aws_path(files[i]));
	aws_clear_environment();
	return rmdir(aws_path(".aws")) | rmdir(aws_home);
}

#endif
