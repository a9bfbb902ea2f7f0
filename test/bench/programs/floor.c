// The least that a container costs: the kernel work of the bench's spec in one C program, with nothing checked and nothing kept.
// floor ROOTFS CGROUP... : CGROUP is the group's parent in each v1 hierarchy. Exits as /bin/true in the container does.
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

static char stack[1 << 16] __attribute__((aligned(16)));
static char *root, **groups;
static int count;

static void put(const char *folder, const char *file, const char *value) {
  char path[512];
  snprintf(path, sizeof path, "%s/floor/%s", folder, file);
  int fd = open(path, O_WRONLY);
  if (fd < 0 || write(fd, value, strlen(value)) < 0) perror(path);
  close(fd);
}

static void copy(const char *folder, const char *file) {
  char path[512], value[256];
  snprintf(path, sizeof path, "%s/%s", folder, file);
  int fd = open(path, O_RDONLY), length = read(fd, value, sizeof value - 1);
  close(fd);
  value[length < 0 ? 0 : length] = 0;
  put(folder, file, value);
}

static void limit(const char *folder) {
  const char *name = folder;
  if (strstr(name, "/cpuset/")) copy(folder, "cpuset.cpus"), copy(folder, "cpuset.mems");
  if (strstr(name, "/memory/")) put(folder, "memory.limit_in_bytes", "268435456");
  if (strstr(name, "/pids/")) put(folder, "pids.max", "100");
  if (strstr(name, "/cpu/")) put(folder, "cpu.shares", "512");
  if (!strstr(name, "/devices/")) return;
  const char *rules[] = {"c *:* m", "b *:* m", "c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm", "c 1:8 rwm", "c 1:9 rwm", "c 5:0 rwm", "c 5:2 rwm", "c 136:* rwm"};
  put(folder, "devices.deny", "a");
  for (int i = 0; i < 10; i++) put(folder, "devices.allow", rules[i]);
}

static void views(void) {
  char from[512], to[512];
  mount("tmpfs", "sys/fs/cgroup", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=755");
  for (int i = 0; i < count; i++) {
    snprintf(from, sizeof from, "%s/floor", groups[i]);
    snprintf(to, sizeof to, "sys/fs/cgroup/%d", i);
    mkdir(to, 0755);
    mount(from, to, 0, MS_BIND, 0);
  }
  mount(0, "sys/fs/cgroup", 0, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, 0);
}

static void hide(void) {
  const char *masked[] = {"proc/acpi", "proc/kcore", "proc/keys", "proc/timer_list", "proc/scsi", "sys/firmware"};
  const char *fixed[] = {"proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger"};
  for (int i = 0; i < 6; i++) {
    if (mount("/dev/null", masked[i], 0, MS_BIND, 0)) mount("tmpfs", masked[i], "tmpfs", MS_RDONLY, "nr_blocks=1,nr_inodes=1");
  }
  for (int i = 0; i < 5; i++) {
    mount(fixed[i], fixed[i], 0, MS_BIND | MS_REC, 0);
    mount(0, fixed[i], 0, MS_REMOUNT | MS_BIND | MS_RDONLY, 0);
  }
}

static int child(void *unused) {
  (void)unused;
  for (int i = 0; i < count; i++) put(groups[i], "tasks", "0");
  setsid();
  unshare(CLONE_NEWCGROUP);
  sethostname("floor", 5);
  mount(0, "/", 0, MS_REC | MS_SLAVE, 0);
  mount(root, root, 0, MS_BIND | MS_REC, 0);
  chdir(root);
  mount("proc", "proc", "proc", 0, 0);
  mount("tmpfs", "dev", "tmpfs", MS_NOSUID, "mode=755,size=65536k");
  mkdir("dev/pts", 0755), mkdir("dev/shm", 0755), mkdir("dev/mqueue", 0755);
  mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620");
  mount("shm", "dev/shm", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=1777,size=65536k");
  mount("mqueue", "dev/mqueue", "mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC, 0);
  mount("sysfs", "sys", "sysfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, 0);
  views();
  const char *names[] = {"dev/null", "dev/zero", "dev/full", "dev/random", "dev/urandom"};
  int minors[] = {3, 5, 7, 8, 9};
  for (int i = 0; i < 5; i++) mknod(names[i], S_IFCHR | 0666, makedev(1, minors[i]));
  hide();
  if (syscall(SYS_pivot_root, ".", ".")) perror("pivot_root");
  umount2(".", MNT_DETACH);
  chdir("/");
  for (int capability = 0; capability < 41; capability++) prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
  struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  struct sock_fprog filter = {1, &allow};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0);
  execl("/bin/true", "true", (char *)0);
  _exit(127);
}

int main(int argc, char **argv) {
  root = argv[1], groups = argv + 2, count = argc - 2;
  char path[512];
  for (int i = 0; i < count; i++) {
    snprintf(path, sizeof path, "%s/floor", groups[i]);
    mkdir(path, 0755);
    limit(groups[i]);
  }
  int pid = clone(child, stack + sizeof stack, CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET | SIGCHLD, 0);
  if (pid < 0) return perror("clone"), 1;
  int status;
  waitpid(pid, &status, 0);
  for (int i = 0; i < count; i++) {
    snprintf(path, sizeof path, "%s/floor", groups[i]);
    for (int tries = 0; tries < 500 && rmdir(path); tries++) usleep(200);
  }
  return WEXITSTATUS(status);
}
