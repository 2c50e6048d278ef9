/* SPDX-License-Identifier: Apache-2.0 */
#include "commands.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "relay.h"
#include "settings.h"

#define WORDS_MAX (RULES_MAX + 2)

struct command {
	const char *name;
	int least, most; /* arguments */
	const char *usage;
	/* NULL, or what is wrong. */
	const char *(*run)(struct proxy *proxy, int n, char **arguments, FILE *reply);
};

/* Writes an answer of its own, so no "ok" follows. */
static const char answered[] = "";

#define COMMAND(name)                                                                    \
	static const char *do_##name(                                                    \
		struct proxy *proxy, int n, char **arguments, FILE *reply)

/* The link */

COMMAND(rtt)
{
	return parse_ms(arguments[0], &proxy->rtt) ? NULL : "not a time in milliseconds";
}

COMMAND(rate)
{
	return parse_size(arguments[0], &proxy->conn_rate) ? NULL : "not a rate";
}

COMMAND(total_rate)
{
	uint64_t rate;

	if (!parse_size(arguments[0], &rate))
		return "not a rate";
	set_total_rate(proxy, rate);
	return NULL;
}

COMMAND(profile)
{
	return set_profile(proxy, arguments[0]) ? NULL : "no such profile";
}

/* Faults of connections */

COMMAND(stall)
{
	proxy->faults.stalled = true;
	return NULL;
}

COMMAND(stall_after_headers)
{
	proxy->faults.stall_after_head = true;
	return NULL;
}

COMMAND(resume)
{
	proxy->faults.stalled = proxy->faults.stall_after_head = false;
	relay_resume(proxy);
	return NULL;
}

COMMAND(trickle)
{
	uint64_t rate = 1;

	if (n && (!parse_size(arguments[0], &rate) || !rate))
		return "not a rate";
	proxy->faults.trickle = rate;
	return NULL;
}

COMMAND(reset)
{
	relay_reset(proxy);
	return NULL;
}

static const char *cut(struct proxy *proxy, const char *after, bool resets)
{
	uint64_t bytes;

	if (!parse_size(after, &bytes))
		return "not a number of bytes";
	proxy->faults.cut_after = bytes;
	proxy->faults.cut_resets = resets;
	relay_count_anew(proxy);
	return NULL;
}

COMMAND(cut_after)
{
	return cut(proxy, arguments[0], false);
}

COMMAND(reset_after)
{
	return cut(proxy, arguments[0], true);
}

COMMAND(corrupt_every)
{
	uint64_t bytes;

	if (!parse_size(arguments[0], &bytes))
		return "not a number of bytes";
	proxy->faults.corrupt_every = proxy->faults.corrupt_left = bytes;
	return NULL;
}

static const char *gate(struct proxy *proxy, enum gate_state state)
{
	return gate_set(&proxy->gate, state) < 0
		       ? "the listening socket cannot be changed"
		       : NULL;
}

COMMAND(blackhole_connect)
{
	return gate(proxy, GATE_BLACKHOLE);
}

COMMAND(refuse_connect)
{
	return gate(proxy, GATE_REFUSING);
}

/* Faults of requests */

static bool parse_status(const char *text, int *ret_status)
{
	if (strlen(text) != 3 || strspn(text, "0123456789") != 3 || *text < '2' ||
		*text > '5')
		return false;
	*ret_status = atoi(text);
	return true;
}

COMMAND(status)
{
	struct plan plan = {.fault = FAULT_STATUS, .retry_after = -1};
	uint64_t count = UNLIMITED, retry;

	if (!parse_status(arguments[0], &plan.status))
		return "not a status from 200 to 599";
	if (n > 1 && !parse_size(arguments[1], &count))
		return "not a number of requests";
	if (n > 2 && (!parse_size(arguments[2], &retry) || retry > 1000000))
		return "not a number of seconds";
	if (n > 2)
		plan.retry_after = (int)retry;
	proxy->faults.answer = plan;
	proxy->faults.answers = count;
	return NULL;
}

static bool parse_permille(const char *text, size_t length, unsigned *ret_permille)
{
	unsigned value = 0;

	if (!length || length > 4)
		return false;
	for (size_t i = 0; i < length; i++) {
		if (!isdigit((unsigned char)text[i]))
			return false;
		value = 10 * value + (unsigned)(text[i] - '0');
	}
	*ret_permille = value;
	return value <= 1000;
}

static enum fault find_fault(const char *name, size_t length)
{
	for (int i = FAULT_NONE + 1; i < FAULT_KINDS; i++)
		if (strlen(fault_names[i]) == length &&
			!memcmp(fault_names[i], name, length))
			return i == FAULT_STATUS ? FAULT_NONE : (enum fault)i;
	return FAULT_NONE;
}

/* FAULT=PERMILLE, STATUS=PERMILLE or delay=PERMILLE:MILLISECONDS */
static bool parse_rule(char *text, struct rule *ret_rule)
{
	char *value = strchr(text, '=');
	char *colon = value ? strchr(value, ':') : NULL;
	struct rule rule = {0};

	if (!value)
		return false;
	rule.fault = find_fault(text, (size_t)(value - text));
	*value++ = '\0';
	if (parse_status(text, &rule.status))
		rule.fault = FAULT_STATUS;
	if (rule.fault == FAULT_NONE || (rule.fault == FAULT_DELAY) != (colon != NULL))
		return false;
	if (colon && !parse_ms(colon + 1, &rule.delay))
		return false;
	if (!parse_permille(value, colon ? (size_t)(colon - value) : strlen(value),
		    &rule.permille))
		return false;
	*ret_rule = rule;
	return true;
}

COMMAND(random)
{
	struct rule rules[RULES_MAX];
	unsigned sum = 0;
	uint64_t seed;

	if (!parse_size(arguments[0], &seed))
		return "not a seed";
	for (int i = 1; i < n; i++) {
		struct rule *rule = &rules[i - 1];

		if (!parse_rule(arguments[i], rule))
			return "a rule is not FAULT=PERMILLE, STATUS=PERMILLE or "
			       "delay=PERMILLE:MS";
		sum += rule->fault == FAULT_DELAY ? 0 : rule->permille;
	}
	if (sum > 1000)
		return "the probabilities are more than 1000 in all";
	memcpy(proxy->faults.rules, rules, (size_t)(n - 1) * sizeof(*rules));
	proxy->faults.n_rules = (size_t)(n - 1);
	proxy->faults.random = seed;
	return NULL;
}

COMMAND(only)
{
	const char *text = n > 1 ? arguments[1] : "";

	if (strlen(arguments[0]) >= FILTER_MAX || strlen(text) >= FILTER_MAX)
		return "too long";
	strcpy(proxy->faults.methods, strcmp(arguments[0], "*") ? arguments[0] : "");
	strcpy(proxy->faults.text, text);
	return NULL;
}

COMMAND(clear)
{
	faults_clear(&proxy->faults);
	relay_forgive(proxy);
	relay_resume(proxy);
	return gate(proxy, GATE_OPEN);
}

/* Counting */

COMMAND(stats)
{
	stats_print(&proxy->stats, reply);
	putc('\n', reply);
	return answered;
}

COMMAND(reset_stats)
{
	stats_reset(&proxy->stats, proxy->loop.now);
	return NULL;
}

COMMAND(log)
{
	bool on = !strcmp(arguments[0], "on");

	if (!on && strcmp(arguments[0], "off"))
		return "it can be on or off";
	proxy->stats.log_on = on;
	return NULL;
}

COMMAND(help);

static const struct command commands[] = {
	{"rtt", 1, 1, "MS: the round trip, half of it each way", do_rtt},
	{"rate", 1, 1, "BYTES: a second, for each connection and way; 0: any", do_rate},
	{"total-rate", 1, 1, "BYTES: a second, for all connections, each way",
		do_total_rate},
	{"profile", 1, 1, "lan|cloud|wan|none: round trip and rates at once", do_profile},
	{"stall", 0, 0, ": connections are accepted, nothing is passed on", do_stall},
	{"tls-stall", 0, 0, ": the same: a ClientHello is never answered", do_stall},
	{"stall-after-headers", 0, 0, ": responses stop after their head",
		do_stall_after_headers},
	{"resume", 0, 0, ": what was stalled goes on", do_resume},
	{"trickle", 0, 1, "[BYTES]: of responses a second, 1 unless given", do_trickle},
	{"reset", 0, 0, ": RST to all running connections", do_reset},
	{"cut-after", 1, 1, "BYTES: each connection closes after these of responses",
		do_cut_after},
	{"reset-after", 1, 1, "BYTES: the same by RST", do_reset_after},
	{"corrupt-every", 1, 1, "BYTES: of objects' content, one bit flipped; 0: never",
		do_corrupt_every},
	{"status", 1, 3, "CODE [COUNT [RETRY-AFTER]]: answers the next requests itself",
		do_status},
	{"random", 1, 1 + RULES_MAX,
		"SEED [RULE...]: each request, FAULT=PERMILLE (cut reset stall corrupt), "
		"CODE=PERMILLE, delay=PERMILLE:MS",
		do_random},
	{"only", 1, 2, "METHODS|* [TEXT]: faults of requests strike only such targets",
		do_only},
	{"blackhole-connect", 0, 0, ": new connections are never made",
		do_blackhole_connect},
	{"refuse-connect", 0, 0, ": new connections are refused", do_refuse_connect},
	{"clear", 0, 0, ": no faults; round trip and rates stay", do_clear},
	{"log", 1, 1, "on|off: whether stats show each request", do_log},
	{"stats", 0, 0, ": counters as a line of JSON", do_stats},
	{"reset-stats", 0, 0, ": counters to zero, the log empty", do_reset_stats},
	{"help", 0, 0, ": this list", do_help},
};

COMMAND(help)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		fprintf(reply, "%s%s %s", i ? "; " : "", commands[i].name,
			commands[i].usage);
	putc('\n', reply);
	return answered;
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

static int split(char *line, char **words)
{
	char *rest, *word = strtok_r(line, " \t\r", &rest);
	int n = 0;

	while (word && n < WORDS_MAX) {
		words[n++] = word;
		word = strtok_r(NULL, " \t\r", &rest);
	}
	return word ? WORDS_MAX + 1 : n;
}

void command_run(struct proxy *proxy, char *line, FILE *reply)
{
	char *words[WORDS_MAX];
	int n = split(line, words) - 1;
	const struct command *command = n >= 0 ? find_command(words[0]) : NULL;
	const char *wrong;

	if (!command) {
		fputs("error no such command; try help\n", reply);
		return;
	}
	if (n < command->least || n > command->most) {
		fprintf(reply, "error usage: %s %s\n", command->name, command->usage);
		return;
	}
	wrong = command->run(proxy, n, words + 1, reply);
	if (wrong == answered)
		return;
	relay_wake(proxy);
	if (wrong)
		fprintf(reply, "error %s: %s\n", command->name, wrong);
	else
		fputs("ok\n", reply);
}
