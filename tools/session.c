#include "tools/session.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "fetch/base/exit_code.h"
#include "fetch/base/log.h"
#include "fetch/base/signal_thread.h"
#include "fetch/store_url.h"

static struct cancel on_signal;
static struct signal_thread waiting;
static atomic_int caught;
static atomic_bool only_prints;
static atomic_bool obeyed;
static int caught_fd = -1; /* of eventfd(2); open for ever */

static void note_signal(void *arg, int number)
{
	(void)arg;
	if (atomic_exchange(&caught, number) || atomic_load(&only_prints))
		_exit(EXIT_SIGNAL + number);
	eventfd_write(caught_fd, 1);
	cancel_fire(&on_signal);
}

int session_signals(struct error *e)
{
	cancel_init(&on_signal);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_DFL); /* ignored, it would hide how a child ended */
	caught_fd = eventfd(0, EFD_CLOEXEC);
	if (caught_fd < 0)
		return error_set_errno(e, -errno, "cannot wait for signals");
	int r = signal_thread_start(&waiting, note_signal, NULL);
	return r < 0 ? error_set_errno(e, r, "cannot start a thread") : 0;
}

void session_only_prints(void)
{
	atomic_store(&only_prints, true);
}

void session_signals_end(void)
{
	signal_thread_stop(&waiting);
}

int session_signal(void)
{
	return atomic_load(&caught);
}

int session_signal_fd(void)
{
	return atomic_load(&obeyed) ? -1 : caught_fd;
}

void session_signal_obeyed(void)
{
	atomic_store(&obeyed, true);
}

struct cancel *session_cancel(void)
{
	return &on_signal;
}

bool session_store_given(const struct options *o, size_t full)
{
	return o->arguments.len >= full;
}

int session_open(struct session *s, const struct options *o, size_t full, bool bounded,
	struct error *e)
{
	CLEANUP(buf_finish) struct buf fallback = BUF_INIT(STORE_URL_MAX);
	const char *url = NULL, *variable = getenv("LARDER_STORE");
	int r = 0;
	if (session_store_given(o, full))
		url = o->arguments.data[0];
	else
		r = store_url_default(&fallback, e);
	if (r < 0)
		return r;
	*s = (struct session){
		.call = { .deadline_ns = DEADLINE_NONE, .cancel = session_cancel() },
		.own_folder = !url && !(variable && *variable),
	};
	if (s->own_folder)
		log_info("no store was named, so it is your own, '%s'",
			buf_str(&fallback));
	if (bounded || settings_given(&o->settings, "timeout"))
		s->call.deadline_ns = clock_monotonic_ns() + o->settings.timeout_ns;
	return store_new(url ? url : buf_str(&fallback), &o->settings, &s->store, e);
}

void session_finish(struct session *s)
{
	cleanup_store(&s->store);
}

static void warn_if_denied(bool denied, const char *key)
{
	if (denied)
		log_warning("the store denies access to '%s': taken for a key that is "
			    "not there",
			key);
}

int session_open_object(struct session *s, const char *key, size_t tail_len,
	struct object **ret, struct error *e)
{
	bool denied;
	int r = store_open_object(s->store, &s->call, key, tail_len, ret, &denied, e);
	warn_if_denied(denied, key);
	return r;
}

int session_stat_object(
	struct session *s, const char *key, struct pin *ret, struct error *e)
{
	bool denied;
	int r = store_stat_object(s->store, &s->call, key, ret, &denied, e);
	warn_if_denied(denied, key);
	return r;
}

int session_keys(const struct options *o, struct key_choice *ret, struct error *e)
{
	if (!o->key)
		return error_set(e, -EINVAL, "no key was named: give --key, or set LARDER_KEY");
	return key_choice_init(
		ret, o->scope, o->key, o->fallback_keys.data, o->fallback_keys.len, e);
}

int session_find(struct session *s, const struct key_choice *keys, key_try_fn *fn, void *arg,
	struct error *e)
{
	return key_choice_find(keys, s->store, &s->call, fn, arg, e);
}
