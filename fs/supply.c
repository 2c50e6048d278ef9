#include "fs/supply.h"

#include "archive/archive_open.h"
#include "archive/format.h"
#include "fetch/base/log.h"
#include "fetch/fingerprint.h"

struct opening {
	const struct supply *supply;
	const char *key;
};

static void warn_of_foreign(void *arg, const char *sentence)
{
	log_warning("%s", sentence);
}

static void on_unfinished(void *arg)
{
	const struct opening *opening = arg;
	if (opening->supply->converter)
		converter_wish(opening->supply->converter, opening->key);
}

int supply_open_archive(const struct supply *s, const char *key, struct object *object,
	const struct call *call, struct archive **ret, struct range_source **ret_local,
	struct error *e)
{
	struct opening opening = {s, key};
	struct archive_opening o = {
		.source = object_source(object),
		.name = key,
		.cache_dir = s->cache_dir,
		.cache_size = s->cache_size,
		.warn = warn_of_foreign,
		.unfinished = on_unfinished,
		.arg = &opening,
	};
	o.tail = object_tail(object, &o.tail_len);
	bool lasting;
	int r = fingerprint(s->store, key, object_pin(object), &o.origin, &lasting);
	if (r < 0)
		return error_set_errno(e, r, "cannot open '%s'", key);
	o.unsure = !lasting;
	struct call patience = *call;
	if (s->unhurried)
		patience.deadline_ns = DEADLINE_NONE;
	return archive_open_any(&o, &patience, ret, ret_local, e);
}

int supply_convert(void *arg, const char *key, const struct call *call, struct error *e)
{
	const struct supply *s = arg;
	CLEANUP(cleanup_object) struct object *object = NULL;
	CLEANUP(cleanup_range_source) struct range_source *local = NULL;
	CLEANUP(cleanup_archive) struct archive *archive = NULL;
	bool denied = false;
	int r = store_open_object(
		s->store, call, key, ARCHIVE_TAIL_SIZE, &object, &denied, e);
	return r < 0 ? r : supply_open_archive(s, key, object, call, &archive, &local, e);
}
