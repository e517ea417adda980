// SPDX-License-Identifier: Apache-2.0
// lock_file flock|posix FILE [SECONDS]: takes the lock and keeps it so long; status 1 if another has it.
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  const int file = open(argv[2], O_RDWR | O_CREAT, 0666);
  if (file < 0) return 3;
  struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  const int refused = strcmp(argv[1], "flock") == 0 ? flock(file, LOCK_EX | LOCK_NB)
                                                    : fcntl(file, F_SETLK, &whole);
  if (refused != 0) return 1;
  if (argc > 3) sleep((unsigned)atoi(argv[3]));
  return 0;
}
