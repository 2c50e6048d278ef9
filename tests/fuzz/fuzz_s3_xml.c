#include "tests/fuzz/fuzz.h"

#include <errno.h>

#include "fetch/s3_error.h"
#include "fetch/s3_xml.h"

static void parse_page(const void *data, size_t size)
{
	struct s3_page page;
	int r = s3_xml_page(data, size, &page);
	assert(r == 0 || r == -EBADMSG);
	if (r < 0)
		return;
	assert(page.entries.len <= S3_PAGE_ENTRIES_MAX);
	assert(!page.truncated || page.next_token[0]);
	for (size_t i = 1; i < page.entries.len; i++)
		assert(strcmp(page.entries.data[i - 1].key, page.entries.data[i].key) <=
			0);
	s3_page_finish(&page);
}

static void parse_multipart(const void *data, size_t size)
{
	char id[UPLOAD_ID_SIZE];
	struct s3_completion c;
	int r = s3_xml_upload_id(data, size, id);
	assert(r == -EBADMSG || (r == 0 && id[0] && strlen(id) < sizeof(id)));
	r = s3_xml_completion(data, size, &c);
	assert(r == -EBADMSG || r == 0);
	assert(r < 0 ||
		(strlen(c.code) < sizeof(c.code) && strlen(c.etag) < sizeof(c.etag)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct s3_error e;
	parse_page(data, size);
	parse_multipart(data, size);
	int r = s3_error_parse(data, size, &e);
	assert(r == -EBADMSG || r == 0);
	return 0;
}
