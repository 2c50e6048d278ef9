#include "fetch/creds.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/base/buf.h"
#include "fetch/base/lock.h"
#include "fetch/creds_source.h"
#include "fetch/secret.h"

#define AGEING_S 300 /* seconds before the end at which a refresh begins */
#define RETRY_S  60  /* seconds between refreshes with something to fall back on */
#define EARLY_NS (5 * NS_PER_SECOND) /* most that a refresh before the end may take */

struct creds {
	struct settings settings;   /* owned */
	struct profile_paths paths; /* owned */

	pthread_mutex_t lock;
	pthread_cond_t changed; /* a refresh has ended */

	/* Under lock. */
	const struct creds_source *winner; /* NULL: none has answered yet */
	struct credentials *current;       /* owned, fetch/secret.h */
	bool has_current;
	bool refused;                   /* by the store: current is of no use */
	bool doubted;                   /* perhaps refused */
	bool outdated;                  /* the files it came from have changed */
	int64_t usable_until_s;         /* see store_fresh() */
	int64_t next_try_s;             /* until then what is usable is good enough */
	struct profile_stamp tried;     /* the files as the last refresh met them */
	bool refreshing;                /* one thread is at it */
	uint64_t refreshes;             /* ended ones */
	struct error last_error;        /* of the last one; code 0: it succeeded */
	char origin[CREDS_ORIGIN_SIZE]; /* written once, then only read */
};

/* --- making ------------------------------------------------------------------------ */

/* A broken file is worth a word now if somebody pointed at it; in its usual place it may
 * never be needed. */
static int check_named_files(const struct profile_paths *paths, struct error *e)
{
	CLEANUP(profile_files_finish) struct profile_files files = {0};
	struct error why = {0};
	int r = profile_files_load(paths, &files, &why);
	bool named = paths->config_named || paths->credentials_named;
	if (r == 0 || (r == -EINVAL && !named))
		return 0;
	error_copy(e, &why);
	return r;
}

static int init(struct creds *c, const struct settings *settings)
{
	settings_init(&c->settings);
	pthread_mutex_init(&c->lock, NULL);
	int r = condition_init(&c->changed);
	c->current = secret_new(sizeof(*c->current));
	if (r == 0 && !c->current)
		r = -ENOMEM;
	if (r == 0)
		r = settings_copy(&c->settings, settings);
	return r < 0 ? r : profile_paths_find(&c->paths);
}

int creds_new(const struct settings *settings, struct creds **ret, struct error *e)
{
	CLEANUP(cleanup_creds) struct creds *c = calloc(1, sizeof(*c));
	int r = c ? init(c, settings) : -ENOMEM;
	if (r < 0)
		return error_set_errno(e, r, "cannot prepare to look for credentials");
	r = check_named_files(&c->paths, e);
	if (r < 0)
		return r;
	*ret = steal_pointer(c);
	return 0;
}

void creds_free(struct creds *c)
{
	if (!c)
		return;
	pthread_cond_destroy(&c->changed);
	pthread_mutex_destroy(&c->lock);
	secret_free(c->current);
	profile_paths_finish(&c->paths);
	settings_finish(&c->settings);
	free(c);
}

/* --- asking the sources ------------------------------------------------------------ */

/* Asks one source after the other. -ENOENT never comes out. */
static int ask_all(struct creds_context *x, const struct creds_source **ret_winner,
	struct credentials *ret, struct error *e)
{
	static const struct creds_source *const chain[] = {&creds_source_environment,
		&creds_source_web_identity, &creds_source_profile,
		&creds_source_container, &creds_source_instance};
	bool by_option = settings_given_by_option(x->settings, "profile");
	CLEANUP(buf_finish) struct buf missing = BUF_INIT(ERROR_TEXT_SIZE);
	for (size_t i = by_option ? 2 : 0; i < sizeof(chain) / sizeof(chain[0]); i++) {
		struct error why = {0};
		int r = chain[i]->get(x, ret, &why);
		if (r == 0)
			*ret_winner = chain[i];
		if (r != -ENOENT) {
			error_copy(r < 0 ? e : NULL, &why);
			return r;
		}
		/* What does not fit would not be shown anyway. */
		buf_printf(&missing, "%s%s", missing.len ? "; " : "", why.text);
	}
	return error_set(e, -EKEYREJECTED, "no credentials found: %s", buf_str(&missing));
}

/* What a refresh brings; the credentials lie in memory of fetch/secret.h. */
struct fresh {
	struct credentials *credentials;   /* owned */
	const struct creds_source *winner; /* asked first when it is set */
	struct profile_stamp stamp;
	char origin[CREDS_ORIGIN_SIZE];
};

/* -ENOENT never comes out. */
static int ask(struct creds *c, const struct call *call, struct fresh *f, struct error *e)
{
	CLEANUP(creds_context_finish)
	struct creds_context x = {.settings = &c->settings,
		.paths = &c->paths,
		.call = call,
		.renewal = f->winner != NULL,
		.net = {.ca_bundle = c->settings.ca_bundle,
			.stall_timeout_ns = c->settings.stall_timeout_ns}};
	f->stamp = profile_stamp_of(&c->paths);
	int r = f->winner ? f->winner->get(&x, f->credentials, e)
			  : ask_all(&x, &f->winner, f->credentials, e);
	memcpy(f->origin, x.origin, sizeof(f->origin));
	if (r != -ENOENT)
		return r;
	error_prefix(e, "no credentials any more: ");
	return -EKEYREJECTED;
}

/* --- refreshing -------------------------------------------------------------------- */

enum state {
	CREDS_NONE,    /* a refresh must come first */
	CREDS_DOUBTED, /* a refresh must come first, but may fail */
	CREDS_AGEING,  /* usable, but a refresh is due */
	CREDS_GOOD,
};

/* A clock that was set back must not postpone a refresh for ever. */
static bool waits(const struct creds *c, int64_t now_s)
{
	return now_s < c->next_try_s && now_s >= c->next_try_s - RETRY_S;
}

static enum state judge(const struct creds *c, int64_t now_s)
{
	if (!c->has_current || c->refused || now_s >= c->usable_until_s)
		return CREDS_NONE;
	if (c->doubted)
		return CREDS_DOUBTED;
	bool due = c->outdated || c->current->expires_s - now_s <= AGEING_S;
	return due && !waits(c, now_s) ? CREDS_AGEING : CREDS_GOOD;
}

/* What a source has just handed out is used for a while, whatever it says of its end: our
 * clock may be the one that is wrong, and a service that cannot renew hands out old ones.
 */
static void store_fresh(struct creds *c, const struct fresh *f, int64_t now_s)
{
	*c->current = *f->credentials;
	c->winner = f->winner;
	c->has_current = true;
	c->refused = c->outdated = false;
	c->usable_until_s = c->current->expires_s;
	if (c->usable_until_s < now_s + RETRY_S)
		c->usable_until_s = now_s + RETRY_S;
	if (!c->origin[0])
		memcpy(c->origin, f->origin, sizeof(c->origin));
}

/* passing: the failure lies on the call, and the next one may be luckier. */
static void end_refresh(struct creds *c, int r, bool passing, const struct fresh *f,
	const struct error *why)
{
	int64_t now_s = clock_realtime_s();
	LOCK_SCOPE(&c->lock);
	if (r == 0)
		store_fresh(c, f, now_s);
	if (!passing) {
		c->doubted = false;
		c->next_try_s = now_s + RETRY_S;
		c->tried = f->stamp;
	}
	c->last_error = *why;
	c->last_error.code = passing ? 0 : r;
	c->refreshing = false;
	c->refreshes++;
	pthread_cond_broadcast(&c->changed);
}

/* What is still usable is not worth a reader's whole patience. */
static struct call early_call(const struct call *call)
{
	struct call early = *call;
	uint64_t now_ns = clock_monotonic_ns();
	uint64_t left_ns = call->deadline_ns > now_ns ? call->deadline_ns - now_ns : 0;
	early.deadline_ns = now_ns + (left_ns / 2 < EARLY_NS ? left_ns / 2 : EARLY_NS);
	return early;
}

/* The caller has set c->refreshing, for this state. */
static int refresh(
	struct creds *c, const struct call *call, enum state state, struct error *why)
{
	struct call early = early_call(call);
	struct fresh f = {.credentials = secret_new(sizeof(*f.credentials))};
	pthread_mutex_lock(&c->lock);
	f.winner = c->winner;
	pthread_mutex_unlock(&c->lock);
	int r = f.credentials
			? ask(c, state == CREDS_NONE ? call : &early, &f, why)
			: error_set_errno(why, -ENOMEM, "cannot refresh credentials");
	bool own_patience = state == CREDS_NONE || call_check(call) < 0;
	bool passing =
		r == -ECANCELED || r == -ENOMEM || (r == -ETIMEDOUT && own_patience);
	end_refresh(c, r, passing, &f, why);
	secret_free(f.credentials);
	return r;
}

/* --- getting ----------------------------------------------------------------------- */

enum step { STEP_DONE, STEP_REFRESH, STEP_AGAIN };

/* Waits, under lock, for the end of another thread's refresh. Its failure is ours too. */
static int wait_for_refresh(struct creds *c, const struct call *call, struct error *e)
{
	uint64_t seen = c->refreshes;
	while (c->refreshes == seen) {
		int r = call_wait(call, &c->lock, &c->changed);
		if (r < 0)
			return error_set_errno(e, r, "waiting for credentials");
	}
	error_copy(c->last_error.code < 0 ? e : NULL, &c->last_error);
	return c->last_error.code;
}

/* Under lock. With STEP_DONE *ret_result is what creds_get() returns. */
static enum step take_step(struct creds *c, const struct call *call,
	enum state *ret_state, struct credentials *ret, int *ret_result, struct error *e)
{
	*ret_state = judge(c, clock_realtime_s());
	if (*ret_state == CREDS_GOOD || (*ret_state == CREDS_AGEING && c->refreshing)) {
		*ret = *c->current;
		*ret_result = 0;
		return STEP_DONE;
	}
	if (c->refreshing) {
		*ret_result = wait_for_refresh(c, call, e);
		return *ret_result < 0 ? STEP_DONE : STEP_AGAIN;
	}
	c->refreshing = true;
	return STEP_REFRESH;
}

static enum step take_step_locked(struct creds *c, const struct call *call,
	enum state *ret_state, struct credentials *ret, int *ret_result, struct error *e)
{
	call_attach(call, &c->lock, &c->changed);
	pthread_mutex_lock(&c->lock);
	enum step step = take_step(c, call, ret_state, ret, ret_result, e);
	pthread_mutex_unlock(&c->lock);
	call_detach(call);
	return step;
}

/* Have the files changed that the credentials came from? */
static void watch_files(struct creds *c)
{
	pthread_mutex_lock(&c->lock);
	bool watched = c->has_current && c->winner == &creds_source_profile;
	pthread_mutex_unlock(&c->lock);
	if (!watched)
		return;
	struct profile_stamp now = profile_stamp_of(&c->paths);
	LOCK_SCOPE(&c->lock);
	if (profile_stamp_equal(&now, &c->tried))
		return;
	c->outdated = true;
	c->next_try_s = 0;
}

static void copy_current(struct creds *c, struct credentials *ret)
{
	LOCK_SCOPE(&c->lock);
	*ret = *c->current;
}

int creds_get(struct creds *c, const struct call *call, struct credentials *ret,
	struct error *e)
{
	watch_files(c);
	for (;;) {
		struct error why = {0};
		enum state state;
		int r = 0;
		enum step step = take_step_locked(c, call, &state, ret, &r, &why);
		if (step == STEP_REFRESH)
			r = refresh(c, call, state, &why);
		if (r < 0 && state != CREDS_NONE) {
			copy_current(c, ret);
			return 0;
		}
		why.code = r; /* a source may know it better than what failed below it */
		error_copy(r < 0 ? e : NULL, &why);
		if (r < 0 || step == STEP_DONE)
			return r;
	}
}

void creds_refused(struct creds *c, const struct credentials *used)
{
	LOCK_SCOPE(&c->lock);
	if (c->has_current && credentials_equal(c->current, used))
		c->refused = true;
}

void creds_doubted(struct creds *c, const struct credentials *used)
{
	LOCK_SCOPE(&c->lock);
	bool in_vain = c->last_error.code < 0 && waits(c, clock_realtime_s());
	if (c->has_current && credentials_equal(c->current, used) && !in_vain)
		c->doubted = true;
}

const char *creds_origin(struct creds *c)
{
	LOCK_SCOPE(&c->lock);
	return c->has_current ? c->origin : "";
}
