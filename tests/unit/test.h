/*
 * What every unit test includes: cmocka with what it needs before it.
 */
#ifndef LARDER_TESTS_UNIT_TEST_H
#define LARDER_TESTS_UNIT_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* A call that waits for ever and cannot be ended. */
#define CALL_PATIENT                                                                     \
	(&(const struct call){ .deadline_ns = DEADLINE_NONE })

#endif
