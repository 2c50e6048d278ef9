/*
 * The container credential service of ECS, and of EKS Pod Identity.
 */
#ifndef LARDER_FETCH_CREDS_CONTAINER_H
#define LARDER_FETCH_CREDS_CONTAINER_H

#include "fetch/base/error.h"

#define CONTAINER_URL_MAX 2048 /* bytes */

/* The address to ask, from AWS_CONTAINER_CREDENTIALS_RELATIVE_URI, else from
 * AWS_CONTAINER_CREDENTIALS_FULL_URI (NULL or "": not set). Over plain HTTP only this
 * machine and the services' link-local addresses are asked, as the SDKs have it: the
 * authorisation token would be readable on the way to any other. free() *ret. 0; -ENOENT:
 * neither is set; -EKEYREJECTED: such an address is not asked; -ENOMEM. Pure. */
int container_url(const char *relative, const char *full, char **ret, struct error *e);

#endif
