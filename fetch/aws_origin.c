#include "fetch/aws_origin.h"

#include <stdio.h>
#include <string.h>

/* The domain at the end of the authority, and where it begins; NULL: not AWS's. */
static const char *find_domain(const char *host, size_t len)
{
	static const char *const domains[] = {".amazonaws.com", ".amazonaws.com.cn"};
	for (size_t i = 0; i < 2; i++) {
		size_t n = strlen(domains[i]);
		if (len > n && !strncmp(host + len - n, domains[i], n))
			return host + len - n;
	}
	return NULL;
}

/* The last label before `end`; the labels begin at `begin`. */
static const char *last_label(const char *begin, const char *end)
{
	const char *label = end;
	while (label > begin && label[-1] != '.')
		label--;
	return label;
}

static bool label_is(const char *label, const char *end, const char *word)
{
	size_t len = strlen(word);
	return (size_t)(end - label) == len && !memcmp(label, word, len);
}

static bool names_service(const char *begin, const char *end)
{
	const char *label = last_label(begin, end);
	if (label_is(label, end, "dualstack") && label > begin) {
		end = label - 1;
		label = last_label(begin, end);
	}
	return label_is(label, end, "s3") || label_is(label, end, "s3-fips");
}

/* What of the host before its domain is kept in front of the region; 0: no region goes
 * there. */
static size_t kept_length(const char *host, const char *domain)
{
	const char *label = last_label(host, domain);
	if (names_service(host, domain))
		return (size_t)(domain - host); /* "s3": without a region so far */
	if (label > host && names_service(host, label - 1))
		return (size_t)(label - 1 - host); /* "s3.region" */
	if (domain - label > 3 && !memcmp(label, "s3-", 3) &&
		!label_is(label, domain, "s3-accelerate"))
		return (size_t)(label + 2 - host); /* "s3-region" */
	return 0;
}

bool aws_origin_move(const char *origin, const char *region, char *ret, size_t size)
{
	const char *scheme = strstr(origin, "://");
	const char *host = scheme ? scheme + 3 : origin;
	size_t len = strcspn(host, ":/");
	const char *domain = find_domain(host, len);
	size_t kept = domain ? kept_length(host, domain) : 0;
	int made = kept ? snprintf(ret, size, "%.*s.%s%s", (int)(host - origin + kept),
				  origin, region, domain)
			: -1;
	if (made >= 0 && (size_t)made < size)
		return strcmp(ret, origin) != 0;
	snprintf(ret, size, "%s", origin);
	return false;
}
