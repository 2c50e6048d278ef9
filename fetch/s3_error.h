/*
 * The error document of the S3 API (and, in its ErrorResponse, of STS).
 *
 * Pure; the syntax's caps are those of fetch/xml_walk.h, and what is longer than its field
 * here counts as absent. The parts that go into requests again are checked as header
 * fields are.
 */
#ifndef LARDER_FETCH_S3_ERROR_H
#define LARDER_FETCH_S3_ERROR_H

#include <stddef.h>

#include "fetch/http_fields.h"
#include "fetch/s3_xml.h"

#define S3_MESSAGE_SIZE 256 /* bytes, the NUL included; a longer one is cut */

struct s3_error {
	char code[S3_CODE_SIZE];       /* letters, digits and dots; "" when there is none */
	char message[S3_MESSAGE_SIZE]; /* for people; bytes from outside */
	char region[REGION_SIZE];      /* letters, digits, '-' */
};

/* Reads what it can: a body that is cut short or not well-formed further down still has
 * the code that came before. 0; -EBADMSG when there is no error document (*ret is then
 * empty); -ENOMEM. */
int s3_error_parse(const void *data, size_t len, struct s3_error *ret);

#endif
