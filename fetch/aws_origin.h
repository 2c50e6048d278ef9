/*
 * The hosts of S3 at AWS, by region.
 *
 *   [bucket.]s3.REGION.amazonaws.com[.cn]   also s3-REGION, s3.dualstack.REGION,
 *                                           s3-fips.REGION, and s3 without a region
 *
 * Pure. Other hosts have no region in their name; neither has s3-accelerate.
 */
#ifndef LARDER_FETCH_AWS_ORIGIN_H
#define LARDER_FETCH_AWS_ORIGIN_H

#include <stdbool.h>
#include <stddef.h>

/* Writes the origin ("https://host[:port]") with its region replaced, or unchanged when it
 * names none of the hosts above or the result would not fit. True when it was replaced by
 * another. region: letters, digits, '-'. */
bool aws_origin_move(const char *origin, const char *region, char *ret, size_t size);

#endif
