#include "tests/fuzz/fuzz.h"

#include <errno.h>

#include "fetch/credentials.h"
#include "fetch/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct credentials c;
	char value[16];
	int64_t n;
	int r = json_get_string(text, size, "Code", value, sizeof(value));
	assert(r == 0 || r == -ENOENT || r == -EBADMSG || r == -EMSGSIZE);
	assert(r < 0 || strlen(value) < sizeof(value));
	r = json_get_integer(text, size, "Version", &n);
	assert(r == 0 || r == -ENOENT || r == -EBADMSG);
	r = credentials_from_json(text, size, "Token", &c);
	assert(r == -EBADMSG || (r == 0 && c.access_key[0] && c.secret_key[0]));
	return 0;
}
