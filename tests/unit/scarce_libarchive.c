#include "tests/unit/scarce_libarchive.h"

#include "archive/libarchive.h"
#include "tests/unit/scarce.h"
#include "tests/unit/test.h"

static struct archive *(*real_read_new)(void);

static struct archive *scarce_read_new(void)
{
	return scarce_runs_out() ? NULL : real_read_new();
}

void scarce_libarchive(void)
{
	assert_int_equal(libarchive_load(NULL), 0);
	real_read_new = la.read_new;
	la.read_new = scarce_read_new;
}
