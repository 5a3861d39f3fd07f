#!/usr/bin/env bash
# Steps of the package test, run as root inside of a Debian that systemd has booted. scripts/package.sh starts it.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8

config=/etc/fernpost/fernpost.toml
packages=/root/packages

step() { echo "==> $*"; }
fail() { echo "FAILED: $*"; systemctl status --no-pager fernpost || true; exit 1; }
check() { local said; said=$("$@" 2>&1) || fail "$*: $said"; }
check_not() { if "$@" >/dev/null 2>&1; then fail "unexpected success: $*"; fi; }
# same WHAT EXPECTED FOUND
same() { [[ $2 = "$3" ]] || fail "$1: expected $2, found $3"; }
owner_and_mode() { stat -c '%U:%G %a' "$1"; }
property() { systemctl show fernpost --property="$1" --value; }
# call METHOD PATH BODY: a request to the messenger's listener; prints the status.
call() {
  local token line
  token=$(<"/etc/fernpost/messenger.token")
  exec 3<>/dev/tcp/127.0.0.1/9881
  printf '%s %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s' \
    "$1" "$2" "$token" "${#3}" "$3" >&3
  read -r line <&3
  exec 3>&- 3<&-
  echo "${line#HTTP/1.1 }" | cut -c1-3
}
# Waits until a command succeeds, 30 s at most.
until_true() {
  local tries=0
  until "$@" >/dev/null 2>&1; do
    ((++tries < 150)) || fail "not within 30 s: $*"
    sleep 0.2
  done
}
is_reloaded() { [[ $(journalctl --unit fernpost --no-pager) = *"configuration reloaded"* ]]; }
has_message() { fernpost message trace m-1 --config "$config"; }

step "install"
dpkg -i "$packages/old.deb"
check id fernpost
same "the folder of the configuration" "fernpost:fernpost 750" "$(owner_and_mode /etc/fernpost)"
same "the folder of the data" "fernpost:fernpost 700" "$(owner_and_mode /var/lib/fernpost)"
check systemctl is-enabled fernpost
check_not systemctl is-active fernpost # without a configuration the condition of the unit fails, and the unit does not
check_not systemctl is-failed fernpost
fernpost --version
for file in man/man1/fernpost.1.gz man/man1/fernpost-serve.1.gz bash-completion/completions/fernpost zsh/vendor-completions/_fernpost \
  fish/vendor_completions.d/fernpost.fish doc/fernpost/examples/fernpost.toml; do
  check test -s "/usr/share/$file"
done

step "configure"
fernpost init --dir /etc/fernpost --name red.example --yes
for file in /etc/fernpost/messenger.token /etc/fernpost/admin.token /var/lib/fernpost/keys/1.key; do
  same "$file" "fernpost:fernpost 600" "$(owner_and_mode "$file")"
done

step "start"
systemctl start fernpost
same "the state" active "$(property ActiveState)"
same "the status" "serves red.example with 0 peers" "$(property StatusText)"
same "the user" fernpost "$(stat -c %U "/proc/$(property MainPID)")"
same "a new context" 200 "$(call PUT /v1/contexts/%23a '{"servers":[]}')"
same "a message" 202 "$(call PUT /v1/messages/m-1 '{"context":"#a","type":"m.text","content":{"body":"kept"}}')"
check has_message
systemd-analyze security --no-pager --threshold=20 fernpost | tail -n 1

step "reload"
pid=$(property MainPID)
systemctl reload fernpost
until_true is_reloaded
cp "$config" /root/sound.toml
echo 'unknown = 1' >>"$config"
check_not systemctl reload fernpost
cp /root/sound.toml "$config"
systemctl reload fernpost.target
is_active() { [[ $(property ActiveState) = active ]]; }
until_true is_active # the job of the target ends before that of the service
same "the process" "$pid" "$(property MainPID)"

step "watchdog"
mkdir -p /run/systemd/system/fernpost.service.d
printf '[Service]\nWatchdogSec=2s\n' >/run/systemd/system/fernpost.service.d/watchdog.conf
systemctl daemon-reload
systemctl restart fernpost
pid=$(property MainPID)
sleep 5
same "a process that tells of itself" "$pid" "$(property MainPID)"
kill -STOP "$pid"
is_another() { [[ $(property ActiveState) = active && $(property MainPID) != "$pid" ]]; }
until_true is_another
check has_message
rm /run/systemd/system/fernpost.service.d/watchdog.conf
systemctl daemon-reload

step "kill"
pid=$(property MainPID)
kill -KILL "$pid"
until_true is_another
check has_message

step "upgrade"
pid=$(property MainPID)
dpkg -i "$packages/new.deb"
until_true is_another
same "the version" "$(dpkg-deb --field "$packages/new.deb" Version)" "$(dpkg-query --show --showformat='${Version}' fernpost)"
check has_message

step "stop"
systemctl stop fernpost
same "the result" success "$(property Result)"
same "the exit code" 0 "$(property ExecMainStatus)"
systemctl start fernpost

step "remove"
pid=$(property MainPID)
dpkg --remove fernpost
check_not test -e /usr/bin/fernpost
check_not test -d "/proc/$pid"
check test -s /var/lib/fernpost/fernpost.redb
check test -s /var/lib/fernpost/keys/1.key
check test -s "$config"

step "install again"
dpkg -i "$packages/new.deb"
until_true systemctl is-active fernpost
check has_message

step "purge"
dpkg --purge fernpost
check_not test -e /var/lib/fernpost
check_not test -e /etc/fernpost
check_not test -e /usr/lib/systemd/system/fernpost.service
check_not systemctl is-active fernpost
step "fine"
