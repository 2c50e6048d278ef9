#include "fetch/retry.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "fetch/base/bytes.h"
#include "fetch/base/call.h"

static bool is_one_of(const char *code, const char *const *codes)
{
	for (; *codes; codes++)
		if (!strcmp(code, *codes))
			return true;
	return false;
}

enum trouble {
	NONE,      /* an answer that means something */
	UNDONE,    /* may go away; the request surely had no effect */
	UNCERTAIN, /* may go away; whether it had an effect is not known */
	HOPELESS,
};

static enum trouble error_trouble(int error)
{
	switch (error) {
	case -ECONNREFUSED:
	case -EHOSTUNREACH:
		return UNDONE;
	case -ECONNRESET:
	case -ETIME:
	case -EPROTO:
		return UNCERTAIN;
	default:
		return HOPELESS;
	}
}

/* 501, 505 and 507 will be the same next time, and mean something to the caller. */
static enum trouble status_trouble(int status, const char *code)
{
	switch (status) {
	case 429:
	case 503:
		return UNDONE;
	case 501:
	case 505:
	case 507:
		return NONE;
	case 400:
		return strcmp(code, "RequestTimeout") ? NONE : UNCERTAIN;
	default:
		return status == 408 || status >= 500 ? UNCERTAIN : NONE;
	}
}

static enum trouble trouble_of(const struct retry_facts *f)
{
	return f->error ? error_trouble(f->error) : status_trouble(f->status, f->code);
}

bool retry_is_transient(const struct retry_facts *f)
{
	enum trouble trouble = trouble_of(f);
	return trouble == UNDONE || (trouble == UNCERTAIN && !f->once);
}

/* --- what can be mended --------------------------------------------------------------
 */

static bool names_another_region(const struct retry_facts *f)
{
	return f->can_move && f->moves < RETRY_MOVES_MAX &&
	       (f->status == 301 || f->status == 307 || f->status == 308 ||
		       f->status == 400);
}

/* HEAD has no body to say why: a clock that differs is reason enough. */
static bool is_about_clock(const struct retry_facts *f)
{
	if (!strcmp(f->code, "RequestTimeTooSkewed"))
		return true;
	return f->status == 403 && !f->code[0] && f->clock_differs;
}

static bool is_about_credentials(const struct retry_facts *f)
{
	static const char *const codes[] = {"ExpiredToken", "InvalidAccessKeyId",
		"InvalidToken", "SignatureDoesNotMatch", "TokenRefreshRequired", NULL};
	return is_one_of(f->code, codes);
}

/* A HEAD with a token that has expired is answered by a bare 400; but so may be whatever
 * a proxy does not like. */
static bool may_be_about_credentials(const struct retry_facts *f)
{
	return f->status == 400 && !f->code[0] && !f->refreshed;
}

static enum retry_action mend(const struct retry_facts *f)
{
	if (names_another_region(f))
		return RETRY_MOVE;
	if (!f->is_signed)
		return RETRY_DONE;
	if (is_about_clock(f) && f->has_date && !f->clock_learned)
		return RETRY_LEARN_CLOCK;
	if (!strcmp(f->code, "RequestTimeTooSkewed"))
		return RETRY_REJECTED;
	if (is_about_credentials(f))
		return f->refreshed ? RETRY_REJECTED : RETRY_REFRESH;
	return may_be_about_credentials(f) ? RETRY_DOUBT : RETRY_DONE;
}

/* --- when to come back ---------------------------------------------------------------
 */

static uint64_t jitter(uint64_t most, uint64_t random)
{
	return random % (most + 1);
}

static uint64_t widest_pause(unsigned failures)
{
	uint64_t pause = RETRY_PAUSE_BASE_NS;
	for (unsigned i = 1; i < failures && pause < RETRY_PAUSE_MOST_NS; i++)
		pause *= 2;
	return pause < RETRY_PAUSE_MOST_NS ? pause : RETRY_PAUSE_MOST_NS;
}

/* Where nobody is reached, or answers, what is at hand may lead to the wrong place: a
 * connection that has died, an address that the store has left. */
static bool asks_elsewhere(int error)
{
	return error == -ECONNREFUSED || error == -EHOSTUNREACH || error == -ETIME;
}

static struct retry_verdict come_back(const struct retry_facts *f)
{
	struct retry_verdict v = {.action = RETRY_FAIL};
	uint64_t wanted = f->has_retry_after ? f->retry_after_ns : 0;
	uint64_t most =
		f->has_retry_after ? RETRY_PAUSE_BASE_NS : widest_pause(f->failures);
	uint64_t at_ns;
	if (f->deadline_ns == DEADLINE_NONE && wanted > RETRY_AFTER_MOST_NS)
		return v;
	if (!checked_add(wanted, jitter(most, f->random), &wanted) ||
		!checked_add(f->now_ns, wanted, &at_ns) || at_ns > f->deadline_ns)
		return v;
	v.action = RETRY_AGAIN;
	v.at_ns = at_ns;
	v.fresh_connection = asks_elsewhere(f->error);
	return v;
}

struct retry_verdict retry_judge(const struct retry_facts *f)
{
	if (trouble_of(f) == NONE)
		return (struct retry_verdict){.action = mend(f)};
	if (!retry_is_transient(f) || f->failures > f->retries || !f->granted)
		return (struct retry_verdict){.action = RETRY_FAIL};
	return come_back(f);
}
