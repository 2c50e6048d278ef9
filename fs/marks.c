#include "fs/marks.h"

#include <errno.h>

int marks_init(struct marks *m, uint32_t entries)
{
	m->words = calloc((size_t)entries / 64 + 1, sizeof(*m->words));
	return m->words ? 0 : -ENOMEM;
}
