#include "fetch/fingerprint.h"

#include <errno.h>
#include <string.h>

#include "fetch/base/bytes.h"

/* With the NUL, so that no two lists of texts come out the same. */
static int add_text(struct hasher *h, const char *text)
{
	return hasher_update(h, text, strlen(text) + 1);
}

int fingerprint(const struct store *store, const char *key, const struct pin *pin,
	struct digest *ret, bool *ret_lasting)
{
	uint8_t size[8];
	store_le64(size, pin->size);
	struct hasher *h = hasher_new();
	int r = h ? add_text(h, store_name(store)) : -ENOMEM;
	if (r == 0)
		r = add_text(h, key);
	if (r == 0)
		r = add_text(h, pin->etag);
	if (r == 0)
		r = add_text(h, pin->version_id);
	if (r == 0)
		r = hasher_update(h, size, sizeof(size));
	if (r == 0)
		r = hasher_finish(h, ret);
	hasher_free(h);
	if (r == 0)
		*ret_lasting = *pin->version_id ||
			       (*pin->etag && strncmp(pin->etag, "W/", 2) != 0);
	return r;
}
