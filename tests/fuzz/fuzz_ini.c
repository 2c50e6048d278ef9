#include "tests/fuzz/fuzz.h"

#include "fetch/ini.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(ini_finish) struct ini ini = {0};
	struct error e = {0};
	int r = ini_parse("input", (const char *)data, size, &ini, &e);
	if (r < 0) {
		assert(e.code == r && e.text[0]);
		return 0;
	}
	assert(ini.entries.len <= INI_ENTRIES_MAX);
	for (size_t i = 0; i < ini.entries.len && i < 64; i++) {
		const struct ini_entry *entry = &ini.entries.data[i];
		assert(*entry->section && *entry->key);
		assert(strlen(entry->value) <= size);
		assert(ini_get(&ini, entry->section, entry->key, entry->subkey));
	}
	return 0;
}
