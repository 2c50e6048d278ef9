#include "tools/help.h"

#include <stdio.h>
#include <string.h>

#include "fetch/base/json_out.h"

void help_overview(void)
{
	puts("larder: CI caches as mounted directories\n");
	for (unsigned i = 0; i < commands_count; i++)
		printf("  larder %-8s  %s\n", commands[i].name, commands[i].summary);
	puts("\n'larder COMMAND --help' tells more; 'larder --version' which one this is.\n"
	     "STORE is s3://bucket/prefix, http(s)://host/path, file:///dir or a path with a\n"
	     "slash; left out it is LARDER_STORE, else a folder of your own.");
}

void help_command(const struct command *c)
{
	printf("larder %s %s\n\n%s.\n\n", c->name, c->words, c->summary);
	for (size_t i = 0; i < options_count; i++) {
		const struct option_info *o = &options_table[i];
		if (o->commands & c->bit)
			options_print(stdout, o->letter, o->name, o->argument, o->help);
	}
	if (!(c->bit & COMMAND_STORE))
		return;
	puts("\nHow the store is reached:");
	for (size_t i = 0; i < settings_count; i++)
		options_print(stdout, 0, settings_table[i].name, settings_table[i].argument,
			settings_table[i].help);
}

static void json_option(const char *name, char letter, const char *argument,
	const char *help, bool first)
{
	printf("%s{\"name\":", first ? "" : ",");
	json_string(stdout, name);
	if (letter)
		printf(",\"letter\":\"%c\"", letter);
	if (argument) {
		printf(",\"argument\":");
		json_string(stdout, argument);
	}
	printf(",\"help\":");
	json_string(stdout, help);
	putchar('}');
}

static void json_command(const struct command *c)
{
	bool first = true;
	printf("{\"name\":\"%s\",\"words\":", c->name);
	json_string(stdout, c->words);
	printf(",\"summary\":");
	json_string(stdout, c->summary);
	printf(",\"options\":[");
	for (size_t i = 0; i < options_count; i++) {
		const struct option_info *o = &options_table[i];
		if (!(o->commands & c->bit))
			continue;
		json_option(o->name, o->letter, o->argument, o->help, first);
		first = false;
	}
	for (size_t i = 0; i < settings_count && (c->bit & COMMAND_STORE); i++)
		json_option(settings_table[i].name, 0, settings_table[i].argument,
			settings_table[i].help, false);
	printf("]}");
}

void help_json(void)
{
	printf("{\"version\":\"%s\",\"commands\":[", LARDER_VERSION);
	for (unsigned i = 0; i < commands_count; i++) {
		if (i)
			putchar(',');
		json_command(&commands[i]);
	}
	puts("]}");
}
