/*
 * Where a bucket is reached. Pure.
 *
 * "Amazon S3 User Guide", virtual hosting of buckets: a bucket's name may be the first
 * label of the host or the first part of the path.
 */
#ifndef LARDER_FETCH_S3_ENDPOINT_H
#define LARDER_FETCH_S3_ENDPOINT_H

#include <stdbool.h>

#include "fetch/base/error.h"

struct s3_endpoint {
	char *endpoint; /* owned; "https://host[:port]", canonical, without the bucket */
	char *scheme_host; /* owned; what requests go to: with the bucket or without */
	bool path_style;   /* the bucket is in the path */
};

/* endpoint: canonical, or NULL for AWS's own in this region. path_style: -1 where nobody
 * said. -EINVAL: the region is none. */
int s3_endpoint_find(const char *endpoint, const char *region, const char *bucket,
	int path_style, struct s3_endpoint *ret, struct error *e);
void s3_endpoint_finish(struct s3_endpoint *s);

/* Is the host of this endpoint `domain` or below it? */
bool s3_endpoint_is_below(const char *endpoint, const char *domain);

#endif
