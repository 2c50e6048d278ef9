#include "fetch/http_target.h"

#include <errno.h>
#include <string.h>

#include "fetch/sigv4.h"

int http_target_of(const struct http_root *root, const char *key, struct buf *path,
	struct http_target *ret, struct error *e)
{
	int r = buf_append_str(path, root->path);
	if (r == 0)
		r = buf_append_str(path, "/");
	if (r == 0)
		r = uri_encode(path, key, strlen(key), true);
	if (r == -EMSGSIZE)
		return error_set(e, -EINVAL, "the path of '%s' in '%s' is too long", key,
			root->store);
	if (r < 0)
		return error_set_errno(e, r, "cannot name '%s'", key);
	*ret = (struct http_target){
		.exchanger = root->exchanger,
		.path = buf_str(path),
		.key = key,
		.store = root->store,
		.make_way = root->make_way,
	};
	return 0;
}
