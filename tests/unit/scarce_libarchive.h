/* libarchive's readers are scarce, too: it is not linked, so the linker cannot wrap it. */
#ifndef LARDER_TESTS_UNIT_SCARCE_LIBARCHIVE_H
#define LARDER_TESTS_UNIT_SCARCE_LIBARCHIVE_H

/* From now on, for the whole process. Once. */
void scarce_libarchive(void);

#endif
