"""What a command and all that it starts ask of other hosts, and what they leave in the home folder.

A library that is loaded before all others, so that compiled code is heard as Python is, writes down every
name that is looked up and every address that is connected or sent to.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

SOURCE = r"""
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void note(const char *what, const char *name) {
    char line[512];
    int length = snprintf(line, sizeof line, "%s %s\n", what, name ? name : "(none)");
    int file = open(getenv("ASSAY_TEST_SEEN"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (file < 0) abort();
    if (write(file, line, length) != length) abort();
    close(file);
}

static void note_address(const struct sockaddr *address) {
    char name[INET6_ADDRSTRLEN] = "";
    if (address && address->sa_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)address)->sin_addr, name, sizeof name);
    else if (address && address->sa_family == AF_INET6)
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)address)->sin6_addr, name, sizeof name);
    else
        return;
    note("connect", name);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                struct addrinfo **found) {
    if (host) note("look up", host);
    return REAL(getaddrinfo)(host, service, hints, found);
}
struct hostent *gethostbyname(const char *host) {
    note("look up", host);
    return REAL(gethostbyname)(host);
}
int gethostbyname_r(const char *host, struct hostent *entry, char *buffer, size_t size,
                    struct hostent **found, int *error) {
    note("look up", host);
    return REAL(gethostbyname_r)(host, entry, buffer, size, found, error);
}
int connect(int number, const struct sockaddr *address, socklen_t length) {
    note_address(address);
    return REAL(connect)(number, address, length);
}
ssize_t sendto(int number, const void *data, size_t size, int flags, const struct sockaddr *address,
               socklen_t length) {
    note_address(address);
    return REAL(sendto)(number, data, size, flags, address, length);
}
"""


@dataclass(frozen=True)
class Outside:
    """A home folder, empty at first, and what is written down of the processes that run in `environment`."""

    folder: Path

    @classmethod
    def below(cls, folder: Path) -> "Outside":
        compiler = shutil.which("gcc") or shutil.which("cc")
        if compiler is None:
            pytest.skip("needs a C compiler")
        (folder / "home").mkdir()
        source, library = folder / "outside.c", folder / "outside.so"
        source.write_text(SOURCE)
        subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
        return cls(folder)

    @property
    def environment(self) -> Mapping[str, str]:
        """That of a user whose home folder is empty, with nothing set that would silence a library."""
        kept = {"PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TMPDIR", "PYTHONDONTWRITEBYTECODE"}
        return {
            **{name: value for name, value in os.environ.items() if name in kept},
            "HOME": str(self.folder / "home"),
            "LD_PRELOAD": str(self.folder / "outside.so"),
            "ASSAY_TEST_SEEN": str(self.folder / "seen"),
        }

    def asked(self) -> set[str]:
        """Hosts that were looked up, connected to or sent to, since the last time."""
        seen = self.folder / "seen"
        lines = seen.read_text().splitlines() if seen.exists() else []
        seen.unlink(missing_ok=True)
        return {line.rpartition(" ")[2] for line in lines}

    def left(self) -> list[str]:
        """Files in the home folder."""
        home = self.folder / "home"
        return sorted(str(file.relative_to(home)) for file in home.rglob("*") if not file.is_dir())

    def run(self, *command: object) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            list(map(str, command)),
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
