/*
 * A publication over HTTP: one PUT, or an upload of parts where the store has that.
 *
 * What is written is spooled while it may still go into one PUT (fetch/publish_way.h); a
 * byte more, and what was spooled becomes the beginning of an upload of parts, which are
 * sent while more bytes arrive. Where both requests are conditional that is after a few
 * MiB, all of them in memory; where only PUT is, after 5 GiB, and only if overwriting was
 * accepted.
 *
 * The calls' deadlines bound the requests that carry the object, too. A transfer that
 * does not move ends by itself, so a writer of large objects passes a distant deadline.
 */
#ifndef LARDER_FETCH_HTTP_PUBLICATION_H
#define LARDER_FETCH_HTTP_PUBLICATION_H

#include "fetch/http_target.h"
#include "fetch/publication.h"

struct http_publication_options {
	struct store *store;                 /* borrowed for the publication's life */
	const struct http_root *root;        /* borrowed during the call */
	const char *key;                     /* copied */
	const struct publish_options *asked; /* borrowed during the call */
	bool multipart;                      /* the store has uploads of parts */
	bool equal_parts;                    /* it wants them equal */
};

/* As publication_begin(). Asks the store what it honours where that is not known. */
int http_publication_begin(const struct http_publication_options *o,
	const struct call *call, struct publication **ret, struct error *e);

#endif
