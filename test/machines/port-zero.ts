// A UDP packet whose source port is 0: anybody with a raw socket can send one, and no answer can reach them.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const program = `#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <arpa/inet.h>
int main(int c, char **v) { unsigned char p[2048] = { 0 }; int n = read(0, p + 8, sizeof p - 8);
 unsigned short port = htons(atoi(v[1])), size = htons(8 + n); memcpy(p + 2, &port, 2); memcpy(p + 4, &size, 2);
 int s = socket(AF_INET, SOCK_RAW, IPPROTO_UDP);
 struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
 return sendto(s, p, 8 + n, 0, (void *)&a, sizeof a) == 8 + n ? 0 : 1; }`

/** Sends it to a port of loopback. Needs root and gcc. */
export function sendFromPortZero(port: number, bytes: Uint8Array): void {
  const folder = mkdtempSync(join(tmpdir(), 'knarr-port-zero-'))
  try {
    writeFileSync(join(folder, 'raw.c'), program)
    execFileSync('gcc', ['-o', join(folder, 'raw'), join(folder, 'raw.c')])
    execFileSync(join(folder, 'raw'), [String(port)], { input: bytes })
  } finally {
    rmSync(folder, { recursive: true })
  }
}
