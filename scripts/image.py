#!/usr/bin/env python3
"""Runs the steps of the Containerfile without a container engine, starts the image as it says, and checks its health.

    scripts/image.py

    FERNPOST_BIN  the program, which takes the place of what the first stage builds
    DEBIAN_BASE   a folder with a minimal Debian, instead of one that debootstrap makes in target/image

Root, debootstrap and systemd-container are needed. Each stage is a folder below target/image. The steps of the first stage run in a copy of
the source with the toolchain of this machine, those of the second one in a Debian. The image then runs with a read-only root, as its own
user, without capabilities and without a network.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "target" / "image"
SECONDS_TO_HEALTH = 60
CONFIGURATION = """[server]
name = "red.example"
[federation]
listen = "127.0.0.1:9880"
"""


def instructions(text):
    """Yields (name, arguments) of each instruction of a Containerfile."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    for line in re.sub(r"\\\n\s*", " ", "\n".join(lines)).splitlines():
        name, _, arguments = line.partition(" ")
        yield name.upper(), arguments.strip()


def command_of(arguments):
    """Returns the words of an instruction that takes a JSON list or a shell command."""
    return json.loads(arguments) if arguments.startswith("[") else ["/bin/sh", "-c", arguments]


class Stage:
    """One stage: its folder, and what its instructions have set."""

    def __init__(self, name, folder):
        self.name, self.folder = name, folder
        self.environment, self.workdir = {}, "/"
        self.user = self.entrypoint = self.command = self.health = self.stop_signal = None

    def path(self, path):
        """Returns the place of a path of the image on this machine."""
        whole = Path(self.workdir) / path
        return self.folder / str(whole).lstrip("/")

    def expanded(self, text):
        return re.sub(r"\$(\w+)", lambda found: self.environment.get(found[1], ""), text)


def begin(arguments, number):
    image, _, name = arguments.partition(" AS ")
    stage = Stage(name or str(number), OUT / f"stage-{number}")
    shutil.rmtree(stage.folder, ignore_errors=True)
    if "/debian:" in image:
        base = Path(os.environ.get("DEBIAN_BASE", OUT / "debian"))
        if not (base / "etc/debian_version").exists():
            suite = re.search(r"debian:(\w+)", image)[1]
            subprocess.run(["debootstrap", "--variant=minbase", suite, base], check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["cp", "-a", base, stage.folder], check=True)
    else:
        stage.folder.mkdir(parents=True)
    return stage


def run(stage, command, is_debian):
    print(f"  RUN {command}", flush=True)
    program = os.environ.get("FERNPOST_BIN")
    if not is_debian and program and "cargo build" in command:
        stage.path("target/release").mkdir(parents=True, exist_ok=True)
        shutil.copy2(program, stage.path("target/release/fernpost"))
        return
    environment = {**os.environ, **stage.environment}
    if is_debian:
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", **stage.environment}
        resolver = stage.folder / "etc/resolv.conf"
        resolver.unlink(missing_ok=True)
        shutil.copy("/etc/resolv.conf", resolver)
        words = ["chroot", stage.folder, "/bin/sh", "-c", command]
        subprocess.run(words, env=environment, check=True, stdout=subprocess.DEVNULL)
    else:
        environment["CARGO_TARGET_DIR"] = str(stage.path("target"))
        subprocess.run(["/bin/sh", "-c", command], env=environment, cwd=stage.path("."), check=True)


def copy(stage, arguments, stages):
    words = arguments.split()
    if words[0].startswith("--from="):
        source = next(one for one in stages if one.name == words[0].removeprefix("--from="))
        target = stage.folder / words[2].lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source.folder / words[1].lstrip("/"), target)
        return
    *sources, target_folder = words
    if target_folder not in ("./", *sources):
        sys.exit(f"scripts/image.py copies files and folders only to where they lie in the repository, unlike: COPY {arguments}")
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", *sources],
        cwd=ROOT, check=True, capture_output=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            target = stage.path(name)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)


def build():
    """Runs all steps and returns the last stage."""
    stages = []
    for name, arguments in instructions((ROOT / "Containerfile").read_text()):
        stage = stages[-1] if stages else None
        if name == "FROM":
            print(f"FROM {arguments}", flush=True)
            stages.append(begin(arguments, len(stages)))
        elif name == "RUN":
            run(stage, arguments, (stage.folder / "etc/debian_version").exists())
        elif name == "COPY":
            copy(stage, arguments, stages)
        elif name == "WORKDIR":
            stage.workdir = arguments
            stage.path(".").mkdir(parents=True, exist_ok=True)
        elif name == "ARG":
            variable, _, value = arguments.partition("=")
            stage.environment[variable] = os.environ.get(variable, value)
        elif name == "ENV":
            stage.environment |= dict(pair.split("=", 1) for pair in stage.expanded(arguments).split())
        elif name == "USER":
            stage.user = arguments
        elif name == "ENTRYPOINT":
            stage.entrypoint = command_of(arguments)
        elif name == "CMD":
            stage.command = command_of(arguments)
        elif name == "HEALTHCHECK":
            stage.health = command_of(arguments.partition("CMD ")[2])
        elif name == "STOPSIGNAL":
            stage.stop_signal = arguments
        elif name not in ("EXPOSE", "VOLUME"):
            sys.exit(f"scripts/image.py does not know {name}")
    return stages[-1]


def descendants(pid):
    """Yields the processes below this one."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:
        return
    for child in children:
        yield int(child)
        yield from descendants(int(child))


def gateway_below(pid):
    for child in descendants(pid):
        try:
            if Path(f"/proc/{child}/comm").read_text().strip() == "fernpost":
                return child
        except FileNotFoundError:
            continue
    return None


def serve(image):
    """Starts the image, waits until it is healthy, and stops it."""
    uid, gid = image.user.split(":")
    passwd = [line.split(":") for line in (image.folder / "etc/passwd").read_text().splitlines()]
    user = next(fields[0] for fields in passwd if fields[2] == uid)
    if uid == "0":
        sys.exit("the image runs as root")
    data, configuration = OUT / "data", OUT / "etc" / "fernpost.toml"
    shutil.rmtree(data, ignore_errors=True)
    configuration.parent.mkdir(exist_ok=True)
    data.mkdir(mode=0o700)
    os.chown(data, int(uid), int(gid))
    configuration.write_text(CONFIGURATION)
    machine = ["systemd-nspawn", "--quiet", f"--directory={image.folder}", "--read-only", "--as-pid2", "--register=no"]
    if not Path("/run/systemd/system").is_dir():
        machine.append("--keep-unit")
    machine += ["--private-network", "--drop-capability=all", "--no-new-privileges=yes", "--console=pipe", f"--user={user}"]
    machine += [f"--bind={data}:/var/lib/fernpost", f"--bind-ro={configuration.parent}:/etc/fernpost"]
    machine += [f"--setenv={name}={value}" for name, value in image.environment.items()]
    machine += [f"--chdir={image.workdir}", "--", *image.entrypoint, *image.command]
    log = (OUT / "serve.log").open("w")
    gateway = subprocess.Popen(machine, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + SECONDS_TO_HEALTH
        while True:
            process = gateway_below(gateway.pid)
            if process is not None and is_healthy(process, image, uid, gid):
                break
            if gateway.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"the image is not healthy:\n{(OUT / 'serve.log').read_text()}")
            time.sleep(0.2)
        status = Path(f"/proc/{process}/status").read_text()
        owner = re.search(r"^Uid:\s+(\d+)", status, re.M)[1]
        rights = re.search(r"^CapEff:\s+(\w+)", status, re.M)[1]
        print(f"healthy: process of user {owner}, capabilities {rights}, root read-only", flush=True)
        if owner != uid or int(rights, 16) != 0:
            sys.exit("the process has another user or more rights than it needs")
        os.kill(process, getattr(signal, image.stop_signal))
        if gateway.wait(timeout=60) != 0:
            sys.exit(f"the image has ended with code {gateway.returncode}:\n{(OUT / 'serve.log').read_text()}")
    finally:
        if gateway.poll() is None:
            gateway.kill()
    if not (data / "fernpost.redb").is_file():
        sys.exit("the store is not in the volume")


def is_healthy(process, image, uid, gid):
    """Runs the health check of the image in the namespaces of the gateway."""
    environment = {"PATH": "/usr/bin:/bin", **image.environment}
    words = ["nsenter", f"--target={process}", "--mount", "--net", "--pid", "--root", f"--setuid={uid}", f"--setgid={gid}"]
    check = subprocess.run([*words, "--", *image.health], env=environment, capture_output=True, text=True)
    if check.returncode == 0:
        print(f"{' '.join(image.health)}: {check.stdout.strip()}", flush=True)
    return check.returncode == 0


def main():
    if os.geteuid() != 0:
        sys.exit("scripts/image.py: only root can run the steps of an image")
    OUT.mkdir(parents=True, exist_ok=True)
    image = build()
    serve(image)
    for folder in OUT.glob("stage-*"):
        shutil.rmtree(folder)
    print("the image builds, runs, is healthy, and stops")


main()
