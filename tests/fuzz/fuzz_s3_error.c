/* S3's error document, and where a region named by it would take us. */
#include "tests/fuzz/fuzz.h"

#include <errno.h>

#include "fetch/aws_origin.h"
#include "fetch/origin.h"
#include "fetch/s3_error.h"

static const char *last_domain(const char *origin)
{
	const char *found = NULL;
	for (const char *p = origin; (p = strstr(p, ".amazonaws.com")); p++)
		found = p;
	return found;
}

/* Only the region may change: never the scheme, nor the domain that is asked. */
static void check_move(const char *origin, const char *region)
{
	char moved[256];
	if (strlen(origin) >= sizeof(moved) ||
		!aws_origin_move(origin, region, moved, sizeof(moved)))
		return;
	assert(last_domain(moved) && last_domain(origin));
	assert(!strcmp(last_domain(moved), last_domain(origin)));
	assert(!strncmp(origin, moved, (size_t)(strstr(moved, "://") - moved) + 3));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct s3_error e;
	int r = s3_error_parse(data, size, &e);
	assert(r == 0 || r == -EBADMSG);
	assert((r == 0) == (e.code[0] != '\0'));
	assert(memchr(e.message, '\0', sizeof(e.message)));
	assert(!strpbrk(e.code, " \r\n<>'\"") && !strpbrk(e.region, "./:@?#% \r\n"));
	CLEANUP(cleanup_free) char *text = fuzz_text(data, size);
	CLEANUP(cleanup_free) char *origin = NULL;
	const char *rest;
	if (origin_split(text, &origin, &rest, NULL) == 0) {
		check_move(origin, "eu-west-3");
		check_move(origin, "x");
	}
	return 0;
}
