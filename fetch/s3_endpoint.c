#include "fetch/s3_endpoint.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/base/buf.h"
#include "fetch/base/cleanup.h"
#include "fetch/origin.h"

#define ENDPOINT_MAX 512 /* bytes */

static bool is_region(const char *region)
{
	size_t len = strlen(region);
	return len > 0 && len <= 63 &&
	       strspn(region, "abcdefghijklmnopqrstuvwxyz0123456789-") == len;
}

static int find_aws(const char *region, struct buf *ret, struct error *e)
{
	if (!is_region(region))
		return error_set(e, -EINVAL, "'%s' is not the name of a region", region);
	return buf_printf(ret, "https://s3.%s.amazonaws.com%s", region,
		strncmp(region, "cn-", 3) ? "" : ".cn");
}

/* "https://host" and "bucket" to "https://bucket.host". */
static int put_bucket_in_host(const char *endpoint, const char *bucket, struct buf *ret)
{
	const char *host = origin_authority(endpoint);
	return buf_printf(
		ret, "%.*s%s.%s", (int)(host - endpoint), endpoint, bucket, host);
}

void s3_endpoint_finish(struct s3_endpoint *s)
{
	free(s->endpoint);
	free(s->scheme_host);
	*s = (struct s3_endpoint){0};
}

int s3_endpoint_find(const char *endpoint, const char *region, const char *bucket,
	int path_style, struct s3_endpoint *ret, struct error *e)
{
	CLEANUP(buf_finish) struct buf base = BUF_INIT(ENDPOINT_MAX);
	CLEANUP(buf_finish) struct buf host = BUF_INIT(ENDPOINT_MAX);
	if (path_style < 0)
		path_style = endpoint || strchr(bucket, '.');
	int r = endpoint ? buf_append_str(&base, endpoint) : find_aws(region, &base, e);
	if (r == -EINVAL)
		return r;
	if (r == 0)
		r = path_style ? buf_append_str(&host, buf_str(&base))
			       : put_bucket_in_host(buf_str(&base), bucket, &host);
	if (r < 0)
		return error_set_errno(e, r, "cannot reach bucket '%s'", bucket);
	ret->endpoint = buf_steal(&base);
	ret->scheme_host = buf_steal(&host);
	ret->path_style = path_style;
	return 0;
}

bool s3_endpoint_is_below(const char *endpoint, const char *domain)
{
	const char *host = origin_authority(endpoint);
	size_t len = strcspn(host, ":/"), want = strlen(domain);
	return len >= want && !strncmp(host + len - want, domain, want) &&
	       (len == want || host[len - want - 1] == '.');
}
