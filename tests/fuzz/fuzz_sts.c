#include "tests/fuzz/fuzz.h"

#include <errno.h>

#include "fetch/sts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct credentials c;
	char code[STS_CODE_SIZE];
	int r = sts_parse_answer(data, size, &c);
	assert(r == -EBADMSG || (r == 0 && c.access_key[0] && c.secret_key[0]));
	for (const char *p = r == 0 ? c.session_token : ""; *p; p++)
		assert(*p > ' ' && *p <= '~');
	sts_parse_error(data, size, code);
	assert(strlen(code) < sizeof(code));
	return 0;
}
