/*
 * --output FILE: key=value lines appended for a CI system's step outputs.
 */
#ifndef LARDER_FETCH_BASE_OUTPUT_FILE_H
#define LARDER_FETCH_BASE_OUTPUT_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "fetch/base/error.h"

struct output_facts {
	bool hit;            /* cache-hit: the very key, not a fallback */
	const char *key;     /* cache-matched-key; NULL: none */
	const char *identity; /* NULL: unknown */
	const char *etag;
	uint64_t size; /* bytes; 0: unknown */
};

/* Before the work: can path be written to? Made when it is not there. path NULL: yes. 0, or
 * -EINVAL with a sentence. */
int output_check(const char *path, struct error *e);

/* Appends with one write(2). Line breaks in values are replaced by '?'. path NULL: does
 * nothing. 0, or -errno that is never -ENOENT. */
int output_append(const char *path, const struct output_facts *facts, struct error *e);

/* Appends to path the lines that output_append() wrote to another file; none when there is no
 * such file. path NULL: does nothing. Same errors. */
int output_append_from(const char *path, const char *file, struct error *e);

#endif
