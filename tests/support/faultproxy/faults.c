/* SPDX-License-Identifier: Apache-2.0 */
#include "faults.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

const char *const fault_names[FAULT_KINDS] = {
	[FAULT_NONE] = "none",
	[FAULT_DELAY] = "delay",
	[FAULT_STATUS] = "status",
	[FAULT_CUT] = "cut",
	[FAULT_RESET] = "reset",
	[FAULT_STALL] = "stall",
	[FAULT_CORRUPT] = "corrupt",
};

static const struct {
	int status;
	const char *reason, *code;
} answers[] = {
	{301, "Moved Permanently", "PermanentRedirect"},
	{304, "Not Modified", NULL},
	{307, "Temporary Redirect", "TemporaryRedirect"},
	{400, "Bad Request", "InvalidRequest"},
	{401, "Unauthorized", "AccessDenied"},
	{403, "Forbidden", "AccessDenied"},
	{404, "Not Found", "NoSuchKey"},
	{405, "Method Not Allowed", "MethodNotAllowed"},
	{408, "Request Timeout", "RequestTimeout"},
	{409, "Conflict", "ConditionalRequestConflict"},
	{412, "Precondition Failed", "PreconditionFailed"},
	{416, "Range Not Satisfiable", "InvalidRange"},
	{429, "Too Many Requests", "TooManyRequests"},
	{500, "Internal Server Error", "InternalError"},
	{501, "Not Implemented", "NotImplemented"},
	{502, "Bad Gateway", "BadGateway"},
	{503, "Service Unavailable", "SlowDown"},
	{504, "Gateway Timeout", "GatewayTimeout"},
};

void faults_clear(struct faults *faults)
{
	*faults = (struct faults){.cut_after = UNLIMITED};
}

/* Whether word stands in a list of words with commas between. */
static bool listed(const char *list, const char *word)
{
	size_t length = strlen(word);

	for (const char *at = list; *at;) {
		size_t n = strcspn(at, ",");

		if (n == length && !memcmp(at, word, n))
			return true;
		at += n + (at[n] == ',');
	}
	return false;
}

bool faults_match(const struct faults *faults, const char *method, const char *target)
{
	if (*faults->methods && !listed(faults->methods, method))
		return false;
	return strstr(target, faults->text) != NULL;
}

/* splitmix64: small, and the same numbers everywhere for the same seed. */
static uint64_t draw(struct faults *faults)
{
	uint64_t x = faults->random += 0x9e3779b97f4a7c15;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return x ^ (x >> 31);
}

static bool next_answer(struct faults *faults, struct plan *ret_plan)
{
	if (!faults->answers)
		return false;
	if (faults->answers != UNLIMITED)
		faults->answers--;
	*ret_plan = faults->answer;
	return true;
}

/* where 2^-32ths of a length */
static uint64_t share(uint64_t length, uint32_t where)
{
	return (uint64_t)((unsigned __int128)length * where >> 32);
}

/* Every request takes the same number of draws, whatever comes of them. */
void faults_draw(struct faults *faults, struct plan *ret_plan)
{
	struct plan plan = {.retry_after = -1};
	uint64_t dice, delay_dice;
	uint32_t delay_share;

	if (next_answer(faults, ret_plan))
		return;
	*ret_plan = plan;
	if (!faults->n_rules)
		return;
	dice = draw(faults) % 1000;
	delay_dice = draw(faults) % 1000;
	delay_share = (uint32_t)draw(faults);
	plan.where = (uint32_t)draw(faults);
	for (size_t i = 0; i < faults->n_rules; i++) {
		const struct rule *rule = &faults->rules[i];

		if (rule->fault == FAULT_DELAY) {
			if (delay_dice < rule->permille)
				plan.delay = share(rule->delay, delay_share);
			continue;
		}
		if (plan.fault == FAULT_NONE && dice < rule->permille) {
			plan.fault = rule->fault;
			plan.status = rule->status;
		}
		dice -= dice < rule->permille ? dice : rule->permille;
	}
	*ret_plan = plan;
}

uint64_t plan_place(const struct plan *plan, uint64_t length)
{
	return share(length, plan->where);
}

static void describe(int status, const char **ret_reason, const char **ret_code)
{
	*ret_reason = "Injected";
	*ret_code = "InjectedFault";
	for (size_t i = 0; i < sizeof(answers) / sizeof(*answers); i++)
		if (answers[i].status == status) {
			*ret_reason = answers[i].reason;
			*ret_code = answers[i].code;
		}
}

size_t faults_answer(const struct plan *plan, bool head, bool closes, char *text)
{
	const char *reason, *code;
	char date[64], body[320] = "", retry[48] = "";
	time_t now = time(NULL);
	struct tm when;
	int n;

	describe(plan->status, &reason, &code);
	gmtime_r(&now, &when);
	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &when);
	if (plan->retry_after >= 0)
		snprintf(retry, sizeof(retry), "Retry-After: %d\r\n", plan->retry_after);
	if (code && plan->status != 204)
		snprintf(body, sizeof(body),
			"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>"
			"<Code>%s</Code><Message>Injected by the fault proxy.</Message>"
			"<RequestId>faultproxy</RequestId></Error>",
			code);
	n = snprintf(text, FAULT_ANSWER_MAX,
		"HTTP/1.1 %d %s\r\nDate: %s\r\nContent-Type: application/xml\r\n"
		"Content-Length: %zu\r\n%sConnection: %s\r\n\r\n%s",
		plan->status, reason, date, strlen(body), retry,
		closes ? "close" : "keep-alive", head ? "" : body);
	return (size_t)n;
}
