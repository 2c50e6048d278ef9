#include "tools/doctor.h"

#include <stdarg.h>
#include <stdio.h>

#include "fetch/base/json_out.h"

#define SENTENCE_SIZE 1024

static const char *word_of(enum finding level)
{
	static const char *const words[] = {"ok", "note", "warning", "FAILED"};
	return words[level];
}

static const char *json_word_of(enum finding level)
{
	return level == FINDING_FAILED ? "failed" : word_of(level);
}

void doctor_say(
	struct doctor *d, enum finding level, const char *what, const char *format, ...)
{
	char sentence[SENTENCE_SIZE];
	va_list ap;
	va_start(ap, format);
	vsnprintf(sentence, sizeof(sentence), format, ap);
	va_end(ap);
	d->failed += level == FINDING_FAILED;
	if (!d->o->json) {
		if (!d->o->quiet || level >= FINDING_WARNING)
			printf("%-8s %-12s %s\n", word_of(level), what, sentence);
	} else {
		printf("%s{\"level\":\"%s\",\"what\":", d->said ? ",\n" : "[\n",
			json_word_of(level));
		json_string(stdout, what);
		printf(",\"text\":");
		json_string(stdout, sentence);
		putchar('}');
	}
	fflush(stdout); /* the next look may take long */
	d->said++;
}

void doctor_finish(struct doctor *d)
{
	if (d->o->json)
		puts("\n]");
}
