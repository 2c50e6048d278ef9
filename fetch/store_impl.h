/*
 * What a kind of store implements; included by fetch/store.c and the kinds only.
 *
 * store.c checks arguments, keeps the names, and dispatches; each kind embeds these
 * structs first in its own.
 */
#ifndef LARDER_FETCH_STORE_IMPL_H
#define LARDER_FETCH_STORE_IMPL_H

#include "fetch/base/buf.h"
#include "fetch/probe.h"
#include "fetch/publication.h"
#include "fetch/store.h"
#include "fetch/store_url.h"

struct store_ops {
	int (*open_object)(struct store *s, const struct call *call, const char *key,
		size_t tail_len, struct object **ret, bool *ret_denied, struct error *e);
	int (*stat_object)(struct store *s, const struct call *call, const char *key,
		struct pin *ret, bool *ret_denied, struct error *e);
	int (*list)(struct store *s, const struct call *call, const char *prefix,
		bool deep, list_fn *fn, void *arg,
		struct error *e); /* NULL: cannot list */
	int (*publish)(struct store *s, const struct call *call, const char *key,
		const struct publish_options *options, struct publication **ret,
		struct error *e);
	/* The scope a probe's answer holds for ("s3 http://host bucket"), appended to
	 * ret; NULL for a kind whose answers are not kept. */
	int (*probe_scope)(struct store *s, struct buf *ret);
	/* NULL for a kind that needs none, and honours the condition. */
	int (*probe)(struct store *s, const struct call *call, unsigned racers,
		unsigned rounds, struct probe_answer *ret, struct error *e);
	void (*warm)(struct store *s, unsigned connections); /* NULL: nothing to do */
	void (*stats)(struct store *s, struct store_stats *ret);
	void (*free)(struct store *s);
};

struct store {
	const struct store_ops *ops;
	char *name;               /* owned: store_name() */
	struct settings settings; /* owned copy */
};

/* The source's ops read from the pinned version and free the whole object. */
struct object {
	struct range_source source;
	struct pin pin;
	void *tail; /* owned; NULL once dropped */
	size_t tail_len;
	void *whole;        /* owned; all of it, to be read from; NULL: asked for as it is read */
	bool irretrievable; /* what is whole could not be asked for again */
};

struct publication_ops {
	int (*write)(struct publication *p, const struct call *call, const void *data,
		size_t len, struct error *e);
	int (*finish)(struct publication *p, const struct call *call,
		const struct digest *identity, struct publish_result *ret,
		struct error *e);
	void (*free)(struct publication *p); /* undoes what is unfinished */
};

struct publication {
	const struct publication_ops *ops;
	int failure;      /* of the first write that failed; 0: none */
	uint64_t written; /* bytes accepted */
	uint64_t sent; /* bytes that have reached the store; atomic where threads send */
};

/* One for each kind. url is borrowed during the call. */
int store_file_new(const struct store_url *url, struct store **ret, struct error *e);
int store_s3_new(const struct store_url *url, const struct settings *settings,
	struct store **ret, struct error *e);
int store_http_new(const struct store_url *url, const struct settings *settings,
	struct store **ret, struct error *e);

#endif
