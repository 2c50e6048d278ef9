/* The program larderfs. */
#include "fs/program.h"

int main(int argc, char **argv)
{
	return larderfs_main(argc, argv);
}
