/*
 * What a command needs around its work: the store it was given, a call that ends at the
 * deadline or on a signal.
 *
 * SIGINT, SIGTERM and SIGHUP are blocked in every thread from session_signals() on; one
 * thread waits for them, notes the first, and fires the cancel. A second one ends the
 * process at once; so does the first, when there is nothing to undo. SIGPIPE is ignored, and
 * SIGCHLD is not, whatever was inherited.
 */
#ifndef LARDER_TOOLS_SESSION_H
#define LARDER_TOOLS_SESSION_H

#include "fetch/base/buf.h"
#include "fetch/base/call.h"
#include "fetch/key_choice.h"
#include "fetch/store.h"
#include "fetch/options.h"

struct session {
	struct store *store; /* owned */
	bool own_folder;     /* neither STORE nor LARDER_STORE was given */
	struct call call;
};

/* Starts the thread that waits for signals; once, before any other thread. 0 or -errno. */
int session_signals(struct error *e);

/* From here on there is nothing to undo: a command that only prints ends with the signal,
 * though it may wait for a full pipe, which no cancel reaches. */
void session_only_prints(void);

/* Ends that thread, if there is one; signals stay blocked. */
void session_signals_end(void);

/* The signal that came, or 0. */
int session_signal(void);

/* A descriptor that is readable from the first signal on, for poll(2); -1, which that takes
 * for nothing, without the thread and when the signal was obeyed. Borrowed. */
int session_signal_fd(void);

/* From here on there is only clearing up, whose waits the signal that came does not end. */
void session_signal_obeyed(void);

/* The cancel that signals fire; borrowed, for ever. */
struct cancel *session_cancel(void);

/* Opens the store that argument `position` names; when fewer than `full` arguments were
 * given it was left out, and LARDER_STORE or the default folder is taken. `bounded`: the
 * deadline is --timeout even when that was not given (short commands); otherwise a
 * deadline holds only if it was. Errors of store_new(). */
int session_open(struct session *s, const struct options *o, size_t full, bool bounded,
	struct error *e);
void session_finish(struct session *s);

/* store_open_object() and store_stat_object() with the session's call. A denial is a miss
 * (-ENOENT), and warned of. */
int session_open_object(struct session *s, const char *key, size_t tail_len,
	struct object **ret, struct error *e);
int session_stat_object(
	struct session *s, const char *key, struct pin *ret, struct error *e);

/* Did the arguments begin with STORE? full: how many there are with it. */
bool session_store_given(const struct options *o, size_t full);

/* Which keys will do: --key in its --scope, and what --fallback-key says. To be finished.
 * -EINVAL when there is no key, or it is none. */
int session_keys(const struct options *o, struct key_choice *ret, struct error *e);

/* Opens the first of the keys there is; key_choice_find(). */
int session_find(struct session *s, const struct key_choice *keys, key_try_fn *fn, void *arg,
	struct error *e);

#endif
