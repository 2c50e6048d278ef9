#include "archive/audience.h"

#define EPOCH 256 /* demands */

void audience_count(struct audience *a, struct ticket *t)
{
	if (t->epochs != a->epoch + 1) {
		t->epochs = a->epoch + 1;
		a->readers++;
	}
	if (++a->demands < EPOCH)
		return;
	*a = (struct audience){.epoch = a->epoch + 1, .before = a->readers};
}

unsigned audience_size(const struct audience *a)
{
	unsigned most = a->readers > a->before ? a->readers : a->before;
	return most ? most : 1;
}
