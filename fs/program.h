/*
 * larderfs as a function, for the program of that name and for `larder mount`, which
 * becomes it: a second program would load all its libraries once more.
 *
 * It reads its words, goes to the background, opens the key, mounts, and serves until it
 * is told to stop or is unmounted.
 */
#ifndef LARDER_FS_PROGRAM_H
#define LARDER_FS_PROGRAM_H

/* To be called from main(), before there is a second thread, with no signal blocked;
 * descriptors beyond the standard streams are closed. It says itself what is wrong, and
 * returns the exit status: in the process that called it when the mount serves or has
 * failed, and (unless --foreground) in the daemon, a child of that one, at its end. */
int larderfs_main(int argc, char **argv);

#endif
