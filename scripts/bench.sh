#!/usr/bin/env bash
# Measures the cost of the gateway, as ratios to a bare durable relay that the same client drives in the same minutes.
#
#   scripts/bench.sh [ROUNDS]
#
# Two relays ("floor") and two gateways take turns on loopback, each pair on fresh data. Every round drives a pair as fast as it
# answers, with 1 and with 50 updates per request, then at a fixed rate for latency; the first round also counts syncs,
# if strace is installed. Two more pairs of gateways take their turn: one over TLS with client certificates, and one in the
# transactions dialect. Gateways also carry messages in contexts. It prints medians and ratios; CPU per message is more reliable than the rate if anything
# else uses the machine. Exits non-zero if an update is lost, arrives twice or out of order, or a server ends.
#
#   FERNPOST_BIN FLOOR_BIN LOAD_BIN  binaries to use instead of those built here; with all three nothing is built
#   MESSAGES_1 MESSAGES_50           updates a run (20000, 100000)
#   CONTEXTS                         contexts that messages go to (64)
#   KINDS                            pairs to measure ("floor fernpost tls transactions"); tls needs openssl
#   RATE SECONDS_LATENCY             updates a second, and for how long, in the latency run (100, 5)
#   CONNECTIONS SIZE                 connections that submit, bytes an update (64, 600)
#   PORT                             the first of ten loopback ports to listen on (18700)
#   BENCH_DIR                        folder for the data, on the disk to measure ($TMPDIR or /tmp)
set -euo pipefail
export LC_ALL=C
here=$(cd "$(dirname "$0")/.." && pwd)
command="scripts/bench.sh${*:+ $*}"

rounds=${1:-3}
messages_1=${MESSAGES_1:-20000} messages_50=${MESSAGES_50:-100000}
rate=${RATE:-100} seconds=${SECONDS_LATENCY:-5}
connections=${CONNECTIONS:-64} size=${SIZE:-600} port=${PORT:-18700} contexts=${CONTEXTS:-64}
read -ra kinds <<<"${KINDS:-floor fernpost tls transactions}"
ticks=$(getconf CLK_TCK)

fail() { echo "bench: $*" >&2; exit 1; }
[[ $rounds =~ ^[1-9][0-9]*$ ]] || fail "rounds must be a number above 0, not '$rounds'"
for tool in awk curl getconf; do command -v "$tool" >/dev/null || fail "$tool is not installed"; done

target=${CARGO_TARGET_DIR:-$here/target}
if [[ -z ${FERNPOST_BIN:-} || -z ${FLOOR_BIN:-} || -z ${LOAD_BIN:-} ]]; then
  (cd "$here" && cargo build --release --workspace --quiet)
fi
fernpost=${FERNPOST_BIN:-$target/release/fernpost} floor=${FLOOR_BIN:-$target/release/floor}
load=${LOAD_BIN:-$target/release/load}
for binary in "$fernpost" "$floor" "$load"; do [[ -x $binary ]] || fail "no program at $binary"; done

dir=$(mktemp -d "${BENCH_DIR:-${TMPDIR:-/tmp}}/fernpost-bench.XXXXXX")
results=$dir/results
a='' b='' tracers=()

stop_pair() {
  for pid in ${tracers[@]+"${tracers[@]}"} $a $b; do kill "$pid" 2>/dev/null || true; done
  for pid in $a $b; do
    # A server that does not end on request is killed, which is a failure too.
    timeout 20 tail --pid="$pid" -f /dev/null || { kill -9 "$pid" 2>/dev/null; stuck=$pid; }
    wait "$pid" 2>/dev/null || true
  done
  a='' b='' tracers=()
}
cleanup() { stop_pair; rm -rf "$dir"; }
trap cleanup EXIT
trap 'exit 130' INT TERM

# ready PID URL: waits until the server answers there, has ended, or 20 s have passed.
ready() {
  for _ in $(seq 200); do
    curl -fsS -o /dev/null --max-time 2 "$2/health/ready" 2>/dev/null && return
    kill -0 "$1" 2>/dev/null || { tail -n 5 "$data"/*.log >&2; fail "$kind ended before it was ready"; }
    sleep 0.1
  done
  tail -n 5 "$data"/*.log >&2
  fail "$kind was not ready at $2 within 20 s"
}

at() { echo "127.0.0.1:$((port + $1))"; }

start_floor() {
  submit=http://$(at 0) events=http://$(at 1)
  "$floor" --listen "$(at 1)" --db "$data/b.redb" >"$data/b.log" 2>&1 & b=$!
  "$floor" --listen "$(at 0)" --db "$data/a.redb" --to "$events" >"$data/a.log" 2>&1 & a=$!
  ready "$b" "$events"
  ready "$a" "$submit"
}

# config NAME PEER FIRST_PORT PEER_FIRST_PORT: federation, messenger and admin listen on three ports in a row.
config() {
  mkdir "$data/$1"
  cat >"$data/$1.toml" <<TOML
[server]
name = "$1"
data_dir = "$data/$1"
[federation]
listen = "$(at "$3")"
[messenger]
listen = "$(at $(($3 + 1)))"
[admin]
listen = "$(at $(($3 + 2)))"
TOML
  if [[ $kind == tls ]]; then
    certificate "$1"
    cat >>"$data/$1.toml" <<TOML
[federation.tls]
cert = "$data/$1.pem"
key = "$data/$1.key"
[network]
roots = ["$data/ca.pem"]
[peers.server."$2"]
addresses = ["https://$(at "$4")"]
auth = "mtls"
TOML
  else
    cat >>"$data/$1.toml" <<TOML
[peers.server."$2"]
addresses = ["http://$(at "$4")"]
auth = "network"
allow_from = ["127.0.0.0/8"]
TOML
  fi
  if [[ $kind == transactions ]]; then echo 'dialect = "transactions"' >>"$data/$1.toml"; fi
}

# certificate NAME: makes a pair for a server, for listening and for calling, under an authority of its own.
certificate() {
  local new=(openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2)
  [[ -f $data/ca.pem ]] || "${new[@]}" -subj "/CN=bench" -keyout "$data/ca.key" -out "$data/ca.pem" 2>/dev/null
  "${new[@]}" -CA "$data/ca.pem" -CAkey "$data/ca.key" -subj "/CN=$1" -addext "subjectAltName=DNS:$1" \
    -addext "basicConstraints=critical,CA:FALSE" -addext "extendedKeyUsage=serverAuth,clientAuth" \
    -keyout "$data/$1.key" -out "$data/$1.pem" 2>/dev/null
}

start_gateways() {
  submit=http://$(at 5) events=http://$(at 8)
  config red.example blue.example 4 7
  config blue.example red.example 7 4
  "$fernpost" serve --config "$data/blue.example.toml" >"$data/b.log" 2>&1 & b=$!
  "$fernpost" serve --config "$data/red.example.toml" >"$data/a.log" 2>&1 & a=$!
  ready "$b" "http://$(at 9)"
  ready "$a" "http://$(at 6)"
}

# drive ARGUMENTS: runs the driver once; its line of JSON is in $line.
drive() {
  line=$("$load" --submit "$submit" --events "$events" --to blue.example --connections "$connections" --size "$size" \
    "$@") || { tail -n 5 "$data"/*.log >&2; fail "$kind: the run '$*' failed"; }
}

field() { sed -n "s/.*\"$1\":\([0-9.]*\).*/\1/p" <<<"$line"; }
# note ROW VALUE: records a figure of this round for the table.
note() { printf '%s\t%s\t%s\n' "$1" "$kind" "$2" >>"$results"; }
cpu_ticks() { sed 's/.*) //' "/proc/$a/stat" "/proc/$b/stat" | awk '{ sum += $12 + $13 } END { print sum }'; }
memory() { awk -v key="$2:" '$1 == key { printf "%.1f\n", $2 / 1024 }' "/proc/$1/smaps_rollup"; }

# measure TITLE COUNT ARGUMENTS: runs the driver and records the CPU time of both servers.
measure() {
  local title=$1 count=$2 before after
  shift 2
  before=$(cpu_ticks)
  drive --messages "$count" "$@"
  sleep 0.3 # removals after the last update belong to the run
  after=$(cpu_ticks)
  note "$title: CPU us/msg, A + B" \
    "$(awk -v t=$((after - before)) -v hz="$ticks" -v n="$count" 'BEGIN { printf "%.1f", t / hz / n * 1e6 }')"
  note "$title: ack p50 ms" "$(field ack_p50_ms)"
  note "$title: ack p99 ms" "$(field ack_p99_ms)"
}

note_memory() {
  for side in a b; do
    note "memory $1: PSS MB, ${side^}" "$(memory "${!side}" Pss)"
    note "memory $1: RSS MB, ${side^}" "$(memory "${!side}" Rss)"
  done
}

# Sends fifty updates one after the other, each with a commit of its own on both sides.
count_syncs() {
  local count=50 calls
  for side in a b; do
    strace -c -f -q -e trace=fdatasync,fsync,sync_file_range -o "$data/$side.syncs" -p "${!side}" 2>/dev/null &
    tracers+=($!)
    for _ in $(seq 50); do
      grep -q '^TracerPid:[[:space:]]*0$' "/proc/${!side}/status" || break
      sleep 0.1
    done
  done
  drive --messages "$count" --connections 1 --latency-rate 20
  sleep 0.5
  for pid in "${tracers[@]}"; do kill -INT "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; done
  tracers=()
  for side in a b; do
    [[ -s $data/$side.syncs ]] || continue
    calls=$(awk '$NF ~ /^(fdatasync|fsync|sync_file_range)$/ { sum += $4 } END { print sum + 0 }' "$data/$side.syncs")
    note "one by one: syncs/msg, ${side^}" "$(awk -v c="$calls" -v n=$count 'BEGIN { printf "%.2f", c / n }')"
  done
}

stuck=''
for round in $(seq "$rounds"); do
  for kind in "${kinds[@]}"; do
    echo "round $round of $rounds: $kind" >&2
    data=$dir/$round-$kind
    mkdir "$data"
    if [[ $kind == floor ]]; then start_floor; else start_gateways; fi
    sleep 1
    note_memory idle
    if [[ $kind != transactions ]]; then # which has no updates
      drive --messages 500 # opens the link and faults the code in
      measure "1 a request" "$messages_1"
      note "1 a request: msg/s" "$(field msgs_per_s)"
      measure "50 a request" "$messages_50" --per-request 50
      note "50 a request: msg/s" "$(field msgs_per_s)"
      measure "at $rate/s" $((rate * seconds)) --latency-rate "$rate"
      note "at $rate/s: end to end p50 ms" "$(field way_p50_ms)"
      note "at $rate/s: end to end p99 ms" "$(field way_p99_ms)"
    fi
    if [[ $kind != floor ]]; then
      drive --messages 500 --contexts "$contexts"
      measure "messages, 1 a call" "$messages_1" --contexts "$contexts"
      note "messages, 1 a call: msg/s" "$(field msgs_per_s)"
      measure "messages, 50 a call" "$messages_50" --per-request 50 --contexts "$contexts"
      note "messages, 50 a call: msg/s" "$(field msgs_per_s)"
    fi
    note_memory loaded
    if [[ $kind != transactions && $round == 1 ]] && command -v strace >/dev/null; then count_syncs; fi
    stop_pair
    [[ -z $stuck ]] || fail "$kind did not stop within 20 s of being asked to"
    rm -rf "$data"
  done
done

model=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
echo "machine: $(nproc) cores, ${model:-unknown CPU}, $(uname -sr); load average now $(cut -d' ' -f1-3 /proc/loadavg)"
echo "command: $command ($rounds rounds, medians; $messages_1 and $messages_50 updates of $size bytes, $connections connections)"
awk -F '\t' -v columns="${kinds[*]}" '
  !($1 in row) { row[$1] = ++rows; title[rows] = $1 }
  { values[$1, $2, ++count[$1, $2]] = $3 }
  function median(name, kind,    n, i, j, v, swap) {
    n = count[name, kind]
    if (!n) return "n/a"
    for (i = 1; i <= n; i++) v[i] = values[name, kind, i]
    for (i = 1; i <= n; i++) for (j = i + 1; j <= n; j++) if (v[j] + 0 < v[i] + 0) { swap = v[i]; v[i] = v[j]; v[j] = swap }
    return n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
  }
  END {
    # The ratio of each pair of gateways to the bare relay, and for messages to the updates of the same pair.
    n = split(columns, kind, " ")
    printf "%-38s", ""
    for (k = 1; k <= n; k++) printf kind[k] == "floor" ? " %12s" : " %12s   ratio", kind[k]
    print ""
    for (i = 1; i <= rows; i++) {
      printf "%-38s", title[i]
      base_title = title[i]
      sub(/^messages, /, "", base_title); sub(/ a call/, " a request", base_title)
      for (k = 1; k <= n; k++) {
        g = median(title[i], kind[k])
        printf " %12s", g
        if (kind[k] == "floor") continue
        f = median(base_title, base_title == title[i] ? "floor" : kind[k])
        if (f == "n/a" && kind[k] == "transactions") f = median(base_title, "fernpost")
        printf " %7s", (f != "n/a" && g != "n/a" && f + 0 > 0) ? sprintf("%.2f", g / f) : "n/a"
      }
      print ""
    }
  }' "$results"
if ! grep -q 'syncs/msg' "$results"; then echo "syncs/msg: n/a (no strace, or it may not attach)"; fi
