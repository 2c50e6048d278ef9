/*
 * What libcurl says went wrong, as an errno and a sentence (the errors of
 * transfer_perform()). Pure.
 */
#ifndef LARDER_FETCH_TRANSFER_ERROR_H
#define LARDER_FETCH_TRANSFER_ERROR_H

#include <curl/curl.h>

#include "fetch/base/error.h"

/* code is not CURLE_OK; os_error is CURLINFO_OS_ERRNO or 0; detail is libcurl's own words,
 * "" for none. Fills *e and returns its code, which is negative. */
int transfer_error(CURLcode code, long os_error, const char *detail, const char *url,
	struct error *e);

#endif
