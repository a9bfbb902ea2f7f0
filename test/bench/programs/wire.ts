// Clients and servers in C for figures about packets: Node's own time would hide what is measured. Built with the machine's compiler.
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

/**
 * `serve PORT`: accepts and closes. `connect IP PORT COUNT`: prints p50 and p99 in microseconds, and connections per second.
 * `ask IP PORT FILE ROUNDS`: sends the questions in FILE (two bytes of length before each) with 64 on the way at a time, and prints for
 * each round the answers per second, p50 and p99 in microseconds, and how many never came.
 */
const SOURCE = `
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec * 1e6 + t.tv_nsec / 1e3; }
static int order(const void *a, const void *b) { double x = *(double *)a, y = *(double *)b; return x < y ? -1 : x > y; }
static struct sockaddr_in at(const char *ip, const char *port) {
  struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(atoi(port)) };
  inet_pton(AF_INET, ip, &a.sin_addr);
  return a;
}
static int serve(const char *port) {
  struct sockaddr_in a = at("0.0.0.0", port);
  int s = socket(AF_INET, SOCK_STREAM, 0), on = 1;
  setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(s, (void *)&a, sizeof a) || listen(s, 4096)) return perror("serve"), 1;
  puts("ready"); fflush(stdout);
  for (;;) { int c = accept(s, 0, 0); if (c >= 0) close(c); }
}
static int dial(const char *ip, const char *port, int count) {
  struct sockaddr_in a = at(ip, port);
  double *took = calloc(count, sizeof *took), begin = now();
  struct linger no = { 1, 0 };
  for (int i = 0; i < count; i++) {
    int s = socket(AF_INET, SOCK_STREAM, 0);
    double start = now();
    if (connect(s, (void *)&a, sizeof a)) return perror("connect"), 1;
    took[i] = now() - start;
    setsockopt(s, SOL_SOCKET, SO_LINGER, &no, sizeof no);
    close(s);
  }
  double all = now() - begin;
  qsort(took, count, sizeof *took, order);
  printf("%.2f %.2f %.0f\\n", took[count / 2], took[count * 99 / 100], count / all * 1e6);
  return 0;
}
enum { WINDOW = 64 };
static int ask(const char *ip, const char *port, const char *file, int rounds) {
  static unsigned char bytes[1 << 22], reply[4096];
  static unsigned char *questions[65536]; static int lengths[65536]; static double sent[65536], took[65536];
  FILE *f = fopen(file, "r"); size_t size = fread(bytes, 1, sizeof bytes, f); int count = 0;
  for (size_t i = 0; i < size; i += 2 + lengths[count - 1]) { lengths[count] = bytes[i] << 8 | bytes[i + 1]; questions[count++] = bytes + i + 2; }
  struct sockaddr_in a = at(ip, port);
  int s = socket(AF_INET, SOCK_DGRAM, 0);
  if (connect(s, (void *)&a, sizeof a)) return perror("connect"), 1;
  for (int round = 0; round < rounds; round++) {
    int next = 0, open = 0, got = 0, lost = 0; double begin = now();
    memset(sent, 0, sizeof sent);
    while (got + lost < count) {
      for (; open < WINDOW && next < count; next++, open++) {
        questions[next][0] = next >> 8; questions[next][1] = next & 255;
        sent[next] = now();
        send(s, questions[next], lengths[next], 0);
      }
      struct pollfd p = { s, POLLIN, 0 };
      if (poll(&p, 1, 1000) <= 0) { lost += open; open = 0; continue; }
      for (;;) {
        int n = recv(s, reply, sizeof reply, MSG_DONTWAIT), id = reply[0] << 8 | reply[1];
        if (n < 12 || (reply[3] & 15)) { if (n < 12) break; return fprintf(stderr, "rcode %d\\n", reply[3] & 15), 1; }
        if (id >= count || !sent[id]) continue;
        took[got++] = now() - sent[id]; sent[id] = 0; open--;
      }
    }
    double all = now() - begin;
    qsort(took, got, sizeof *took, order);
    printf("%.0f %.1f %.1f %d\\n", got / all * 1e6, took[got / 2], took[got * 99 / 100], lost);
  }
  return 0;
}
int main(int c, char **v) {
  if (c > 2 && !strcmp(v[1], "serve")) return serve(v[2]);
  if (c > 4 && !strcmp(v[1], "connect")) return dial(v[2], v[3], atoi(v[4]));
  if (c > 5 && !strcmp(v[1], "ask")) return ask(v[2], v[3], v[4], atoi(v[5]));
  return 2;
}
`

/** Builds the program into a folder; its path. */
export function buildWire(folder: string): string {
  const program = join(folder, 'wire')
  writeFileSync(`${program}.c`, SOURCE)
  execFileSync('gcc', ['-O2', '-o', program, `${program}.c`], { stdio: 'inherit' })
  return program
}
