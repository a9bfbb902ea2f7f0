// SCTP without a kernel that speaks it: a program in C that sends and answers the first packet of an association through raw sockets.
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** `answer NAME` refuses every association, and says its name as the reason; `dial IP PORT` prints the reason, or TIMEOUT. */
const SOURCE = `
#include <arpa/inet.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
static uint32_t crc32c(const uint8_t *p, int n) {
  uint32_t c = ~0u;
  while (n--) { c ^= *p++; for (int k = 0; k < 8; k++) c = c & 1 ? c >> 1 ^ 0x82f63b78 : c >> 1; }
  return ~c;
}
struct head { uint16_t from, to; uint32_t tag, sum; uint8_t type, flags; uint16_t length; };
static void post(int s, struct sockaddr_in *a, uint8_t *p, int n) {
  struct head *h = (void *)p;
  h->sum = 0; h->sum = crc32c(p, n);
  if (sendto(s, p, n, 0, (void *)a, sizeof *a) < 0) perror("sendto");
}
int main(int c, char **v) {
  static uint8_t in[2048], out[256];
  struct head *h = (void *)out;
  struct sockaddr_in a = { .sin_family = AF_INET };
  socklen_t size = sizeof a;
  int s = socket(AF_INET, SOCK_RAW, 132), dial = c > 3 && !strcmp(v[1], "dial");
  if (s < 0) return perror("socket"), 1;
  uint16_t own = 20000 + getpid() % 20000;
  if (dial) {
    inet_pton(AF_INET, v[2], &a.sin_addr);
    h->from = htons(own); h->to = htons(atoi(v[3])); h->type = 1; h->length = htons(20);
    uint32_t init[4] = { htonl(getpid()), htonl(65536), htonl(1 << 16 | 1), htonl(1) };
    memcpy(out + 16, init, 16);
    post(s, &a, out, 32);
  } else { puts("ready"); fflush(stdout); }
  for (;;) {
    struct pollfd p = { s, POLLIN, 0 };
    if (poll(&p, 1, dial ? 1000 : -1) == 0) return puts("TIMEOUT"), 0;
    int n = recvfrom(s, in, sizeof in - 1, 0, (void *)&a, &size), ip = (in[0] & 15) * 4;
    struct head *g = (void *)(in + ip);
    if (n < ip + 16) continue;
    if (dial) {
      if (g->type != 6 || g->to != htons(own)) continue;
      in[n] = 0;
      return printf("%s\\n", (char *)in + ip + 20), 0;
    }
    if (g->type != 1) continue;
    int length = strlen(v[2]), whole = 20 + ((length + 4) & ~3);
    memset(out, 0, sizeof out);
    h->from = g->to; h->to = g->from; memcpy(&h->tag, in + ip + 16, 4); h->type = 6; h->length = htons(whole - 12);
    out[17] = 12; out[19] = whole - 16;
    memcpy(out + 20, v[2], length);
    post(s, &a, out, whole);
  }
}
`

export function buildSctp(folder: string): string {
  const program = join(folder, 'sctp')
  writeFileSync(`${program}.c`, SOURCE)
  execFileSync('gcc', ['-o', program, `${program}.c`], { stdio: 'inherit' })
  return program
}
