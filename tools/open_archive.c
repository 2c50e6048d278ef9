#include "tools/open_archive.h"

#include "archive/archive_open.h"
#include "fetch/base/log.h"
#include "fetch/fingerprint.h"

static void warn(void *arg, const char *sentence)
{
	(void)arg;
	log_warning("%s", sentence);
}

int open_archive(const struct session *s, const struct settings *settings,
	const char *key, struct object *object, bool anew, struct archive **ret,
	struct range_source **ret_local, struct error *e)
{
	struct call call = s->call;
	if (!settings_given(settings, "timeout"))
		call.deadline_ns = DEADLINE_NONE;
	struct archive_opening o = {
		.source = object_source(object),
		.name = key,
		.cache_dir = anew ? NULL : settings->cache_dir,
		.cache_size = settings->cache_size,
		.warn = warn,
	};
	o.tail = object_tail(object, &o.tail_len);
	bool lasting;
	int r = fingerprint(s->store, key, object_pin(object), &o.origin, &lasting);
	if (r < 0)
		return error_set_errno(e, r, "cannot open key '%s'", key);
	o.unsure = !lasting;
	return archive_open_any(&o, &call, ret, ret_local, e);
}
