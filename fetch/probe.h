/*
 * Which conditional writes a store really honours.
 *
 * The answer is kept per endpoint and bucket (and prefix host for plain HTTP) in the cache
 * directory, with its age; a store in the cloud that documents its behaviour is known
 * without asking. An answer "does not honour" is kept for a day, "honours" for thirty.
 *
 * The quick probe, run by the first publication to an unknown store, needs no right to
 * delete: it writes the object ".larder/probe" with If-None-Match: * twice; the second
 * must be refused. With that right (of versions, where they are kept), and a connection for
 * each, some writers race on a fresh name of an S3 store once. (A plain web server that looks
 * before it writes would be found out by so short a race now and then only: publishing there
 * would fail on some days.) The full probe (`larder probe`) races many, often, tries
 * CompleteMultipartUpload too, and removes what it wrote where it may.
 */
#ifndef LARDER_FETCH_PROBE_H
#define LARDER_FETCH_PROBE_H

#include "fetch/store.h"

enum honour {
	HONOUR_UNKNOWN,
	HONOUR_NO,         /* ignored, or refused as not implemented */
	HONOUR_SEQUENTIAL, /* refused when the key exists, but racing writers both won */
	HONOUR_ATOMIC,     /* never seen to fail */
};

struct probe_answer {
	enum honour put;
	enum honour complete; /* HONOUR_UNKNOWN for stores without multipart */
	int64_t when_s;       /* 0: built-in knowledge */
};

/* What is known without asking now: the kept answer, or built-in knowledge. 0 or -ENOENT.*/
int probe_known(struct store *s, struct probe_answer *ret);

/* Asks the store. `racers` 0: the quick probe; else that many writers, `rounds` times.
 * The answer is kept. Errors as publication_begin(). */
int probe_ask(struct store *s, const struct call *call, unsigned racers, unsigned rounds,
	struct probe_answer *ret, struct error *e);

#endif
