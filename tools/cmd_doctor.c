/*
 * larder doctor: everything that could be wrong, looked at in one go.
 *
 * One finding does not end the others, but where the store cannot be reached at all, the
 * questions about it are not asked.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fetch/creds.h"
#include "fetch/probe.h"
#include "fetch/publish_way.h"
#include "fetch/store_url.h"
#include "tools/command.h"
#include "tools/doctor.h"
#include "tools/human.h"
#include "tools/session.h"

#define NOBODYS_KEY     "larder-doctor-asks-for-what-is-not-there"
#define CLOCK_WARNING_S 60       /* Amazon refuses requests that are 15 minutes off */
#define STOPPED         (-EINTR) /* the listing was ended by us */

static struct call call_of(const struct doctor *d)
{
	return (struct call){
		.deadline_ns = clock_monotonic_ns() + d->o->settings.timeout_ns,
		.cancel = session_cancel(),
	};
}

/* --- who we are
 * ------------------------------------------------------------------------- */

static void look_at_credentials(struct doctor *d)
{
	const struct settings *settings = &d->o->settings;
	struct error e = {0};
	struct call call = call_of(d);
	CLEANUP(cleanup_creds) struct creds *creds = NULL;
	struct credentials got = {0};
	if (settings->no_sign_request) {
		doctor_say(d, FINDING_NOTE, "credentials",
			"none are used (--no-sign-request)");
		return;
	}
	int r = creds_new(settings, &creds, &e);
	if (r == 0)
		r = creds_get(creds, &call, &got, &e);
	d->refused += r == -EKEYREJECTED;
	if (r < 0)
		doctor_say(d, FINDING_FAILED, "credentials", "%s", e.text);
	else
		doctor_say(
			d, FINDING_FINE, "credentials", "from %s", creds_origin(creds));
	credentials_wipe(&got);
}

/* A store that has another one may have said so by now. */
static void look_at_region(struct doctor *d, struct store *s)
{
	struct store_stats stats;
	store_stats(s, &stats);
	if (!stats.region[0])
		return;
	doctor_say(d, FINDING_FINE, "region", "requests are signed for '%s'", stats.region);
}

static void look_at_clock(struct doctor *d, struct store *s)
{
	struct store_stats stats;
	store_stats(s, &stats);
	if (!stats.clock_seen)
		return;
	long long ahead = stats.clock_ahead_s;
	if (ahead > CLOCK_WARNING_S || ahead < -CLOCK_WARNING_S)
		doctor_say(d, FINDING_WARNING, "clock",
			"%lld s %s the store's; larder allows for it, other programs do "
			"not",
			ahead > 0 ? ahead : -ahead, ahead > 0 ? "behind" : "ahead of");
	else
		doctor_say(d, FINDING_FINE, "clock", "agrees with the store's");
}

/* --- what we may
 * ------------------------------------------------------------------------- */

/* The folder store's path, or as much of it, from the front, as there is (PATH_MAX bytes);
 * of a link to nothing there is the link. False: the store is no folder. */
static bool find_folder(const struct store *s, char *ret)
{
	const char *name = store_name(s);
	struct stat st;
	if (*name != '/' || strlen(name) >= PATH_MAX)
		return false;
	strcpy(ret, name);
	while (lstat(ret, &st) < 0 && errno == ENOENT) {
		char *slash = strrchr(ret, '/');
		slash[slash == ret] = '\0'; /* "/" is always there */
	}
	return true;
}

/* What a folder answers, whether it is there or not, are misses. */
static bool is_missing_folder(const struct store *s)
{
	char there[PATH_MAX];
	return find_folder(s, there) && strcmp(there, store_name(s));
}

static bool leads_nowhere(const struct store *s, char *ret)
{
	return find_folder(s, ret) && access(ret, F_OK) < 0 && errno == ENOENT;
}

/* Does the store answer at all? Asked for a key that is not there. */
static bool look_at_store(struct doctor *d, struct store *s)
{
	struct error e = {0};
	struct call call = call_of(d);
	struct pin pin;
	bool denied;
	char link[PATH_MAX];
	if (leads_nowhere(s, link)) {
		doctor_say(d, FINDING_FAILED, "store",
			"'%s' is a symbolic link to what is not there", link);
		return false;
	}
	uint64_t begun = clock_monotonic_ns();
	int r = store_stat_object(s, &call, NOBODYS_KEY, &pin, &denied, &e);
	char time[HUMAN_SIZE];
	human_duration(clock_monotonic_ns() - begun, time);
	if (r < 0 && r != -ENOENT) {
		d->refused += r == -EKEYREJECTED;
		doctor_say(d, FINDING_FAILED, "store", "%s", e.text);
		return false;
	}
	if (is_missing_folder(s))
		doctor_say(d, FINDING_FINE, "store", "'%s' is a folder to be made yet",
			store_name(s));
	else if (denied)
		doctor_say(d, FINDING_WARNING, "store",
			"'%s' answers in %s, and denies what may only be missing: "
			"without the "
			"right to list, a miss looks like a refusal",
			store_name(s), time);
	else
		doctor_say(d, FINDING_FINE, "store", "'%s' answers in %s", store_name(s),
			time);
	return true;
}

static int keep_first(void *arg, const struct list_entry *entry)
{
	char **key = arg;
	*key = strdup(entry->key);
	return STOPPED;
}

/* One key, if there is any: malloc()ed. */
static char *look_at_list(struct doctor *d, struct store *s)
{
	struct error e = {0};
	struct call call = call_of(d);
	char *key = NULL;
	int r = store_list(s, &call, "", true, keep_first, &key, &e);
	if (r == -EOPNOTSUPP)
		doctor_say(d, FINDING_NOTE, "list",
			"this kind of store cannot list its keys: mount with --key");
	else if (r == -ENOENT)
		doctor_say(d, FINDING_NOTE, "list",
			"%s; the first 'larder commit' makes it", e.text);
	else if (r < 0 && r != STOPPED) /* without the right to list keys can be read */
		doctor_say(d, r == -EACCES ? FINDING_WARNING : FINDING_FAILED, "list",
			"%s", e.text);
	else
		doctor_say(d, FINDING_FINE, "list", "%s",
			key ? "allowed" : "allowed; no key yet");
	return key;
}

static void look_at_reading(struct doctor *d, struct store *s, const char *key)
{
	struct error e = {0};
	struct call call = call_of(d);
	CLEANUP(cleanup_object) struct object *object = NULL;
	if (!key)
		return;
	if (store_open_object(s, &call, key, 1, &object, NULL, &e) < 0)
		doctor_say(d, FINDING_FAILED, "read", "%s", e.text);
	else
		doctor_say(d, FINDING_FINE, "read", "key '%s' can be read", key);
}

/* A folder needs no probe; it is only to be writable, or to be made in one that is. The
 * directory that is not: PATH_MAX bytes. */
static bool is_closed_folder(const struct store *s, char *ret)
{
	return find_folder(s, ret) && access(ret, W_OK | X_OK) < 0;
}

static void tell_who_wins(struct doctor *d, const struct probe_answer *answer)
{
	if (publish_way_is_safe(answer))
		doctor_say(d, FINDING_FINE, "write",
			"the first writer of a key wins ('larder probe' tells more)");
	else if (answer->put == HONOUR_SEQUENTIAL)
		doctor_say(d, FINDING_WARNING, "write",
			"of writers at the same moment more than one may win: 'larder "
			"commit' needs --unsafe-overwrite");
	else
		doctor_say(d, FINDING_WARNING, "write",
			"the store honours no condition on an object that is put at "
			"once: 'larder commit' needs --unsafe-overwrite");
}

/* The quick probe writes ".larder/probe", and may race on a key beside it. */
static void look_at_writing(struct doctor *d, struct store *s)
{
	struct error e = {0};
	struct call call = call_of(d);
	struct probe_answer answer;
	char closed[PATH_MAX];
	if (is_closed_folder(s, closed)) {
		doctor_say(d, FINDING_NOTE, "write",
			"not possible: '%s' may not be written to", closed);
		return;
	}
	int r = probe_known(s, &answer);
	if (r < 0)
		r = probe_ask(s, &call, 0, 0, &answer, &e);
	if (r < 0)
		doctor_say(d, FINDING_NOTE, "write", "not possible: %s", e.text);
	else
		tell_who_wins(d, &answer);
}

static void look_at_all_of_store(struct doctor *d, struct store *s, bool is_s3)
{
	if (is_s3)
		look_at_credentials(d);
	bool answers = look_at_store(d, s);
	look_at_region(d, s);
	look_at_clock(d, s);
	if (!answers)
		return;
	char *key = look_at_list(d, s);
	look_at_reading(d, s, key);
	free(key);
	look_at_writing(d, s);
}

int cmd_doctor(const struct options *o, struct error *e)
{
	struct doctor d = {.o = o};
	CLEANUP(session_finish) struct session s = {0};
	doctor_look_at_system(&d);
	int r = session_open(&s, o, 1, true, e);
	if (r < 0)
		doctor_say(&d, FINDING_FAILED, "store", "%s", e->text);
	else
		look_at_all_of_store(
			&d, s.store, !strncmp(store_name(s.store), "s3://", 5));
	doctor_finish(&d);
	if (session_signal())
		return error_set(e, -ECANCELED, "interrupted");
	if (r < 0)
		e->text[0] = '\0';
	if (!d.failed)
		return 0;
	return error_set(e, d.failed == d.refused ? -EKEYREJECTED : -EIO,
		"%u of %u findings %s", d.failed, d.said,
		d.failed == 1 ? "is a failure" : "are failures");
}
