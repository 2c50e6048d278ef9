/*
 * A fuzz target: one program, fuzz_NAME.c, that defines LLVMFuzzerTestOneInput().
 *
 * Linked with libFuzzer by -Dfuzz=true; otherwise with replay.c, whose main() feeds it
 * every file of the directories it is given, so that the tests meet what fuzzing found.
 * The input lies in memory of exactly its size: reading past it is seen by ASan. A target
 * checks promises with assert(), not only that nothing crashes.
 */
#ifndef LARDER_TESTS_FUZZ_FUZZ_H
#define LARDER_TESTS_FUZZ_FUZZ_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/base/cleanup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The input as a C string of its own, up to its first NUL; free() it. */
static inline char *fuzz_text(const uint8_t *data, size_t size)
{
	char *text = strndup((const char *)data, size);
	assert(text);
	return text;
}

#endif
