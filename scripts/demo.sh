#!/usr/bin/env bash
# One real agent on this machine, end to end: `make demo`. With OPENAI_API_KEY (and OPENAI_BASE_URL) or
# DASHSCOPE_API_KEY the agent talks to that provider, else to a built-in echo. DEMO_ONCE=1 stops afterwards.
# CREEL_DEMO_DIR keeps the data in a folder of yours; CREEL_DEMO_MODEL names another model.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$REPO_DIR"

server_pid="" echo_pid="" flow_pid="" stage="start" done_well=0 runtime=""
data="" own_data=0

# The guests and agents of this demo, by the kernel's list: a creel with its data folder among the arguments, or
# anything that has an agent's folder mounted (an agent sees its own at a fixed place). Not whoever reads a log there.
demo_processes() {
  local folder pid below
  below="${data#"$(stat -c %m "$data")"}"
  for folder in /proc/[0-9]*; do
    pid="${folder#/proc/}"
    case " $$ $BASHPID $server_pid $echo_pid $flow_pid " in *" $pid "*) continue ;; esac
    if grep -qF -- " /${below#/}/" "$folder/mountinfo"; then
      echo "$pid"
    elif tr '\0' '\n' <"$folder/cmdline" | { read -r name && [ "${name##*/}" = creel ] && grep -qF -- "$data/"; }; then
      echo "$pid"
    fi
  done 2>/dev/null
}

end_process() { # PID SECONDS: ask, wait, insist
  [ -n "$1" ] && kill -TERM "$1" 2>/dev/null || return 0
  local _
  for _ in $(seq "$(($2 * 10))"); do kill -0 "$1" 2>/dev/null || return 0; sleep 0.1; done
  kill -KILL "$1" 2>/dev/null || true
}

stop_all() {
  local rc=$? pid
  trap '' INT TERM HUP
  trap - EXIT
  set +e
  end_process "$flow_pid" 2
  if [ -n "$runtime" ] && [ -n "$server_pid" ] && kill -0 "$server_pid" 2>/dev/null; then
    say "deleting the agent"
    "$creel" call 2020-09-30 DeleteDesktops --RegionId cn-hangzhou --DesktopId.1 "$runtime" >/dev/null 2>>"$data/demo.log"
    local _
    for _ in $(seq 300); do [ -z "$(demo_processes)" ] && break; sleep 0.1; done
  fi
  end_process "$server_pid" 15
  end_process "$echo_pid" 2
  for pid in $(demo_processes); do kill -KILL "$pid" 2>/dev/null; done
  if [ "$done_well" = 1 ]; then
    [ "$own_data" = 1 ] && rm -rf "$data"
    say "everything is stopped"
    exit 0
  fi
  [ "$rc" = 0 ] && rc=1
  say ""
  say "the demo FAILED while: $stage"
  if [ -s "$data/server.log" ]; then
    say "the server's log ends:"
    tail -15 "$data/server.log" >&2
  fi
  say "logs are kept in $data"
  exit "$rc"
}

interrupted() {
  # Ctrl-C after the answer is how this demo ends.
  [ "$stage" = "running" ] && done_well=1
  exit 130
}

step() { stage="$1"; say "[$(($(now) - started)) s] $1"; }
started="$(now)"

step "set-up: Rust, OpenClaw, Python SDKs (cached in $CREEL_CACHE)"
scripts/setup.sh rust tools openclaw python

step "building creel (the first time takes some minutes, later runs seconds)"
cargo build --locked --profile demo -p creel
creel="$(cargo metadata --format-version 1 --no-deps --offline | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/demo/creel"

if [ -n "${CREEL_DEMO_DIR:-}" ]; then
  mkdir -p "$CREEL_DEMO_DIR"
  data="$(cd "$CREEL_DEMO_DIR" && pwd)"
else
  data="$(mktemp -d "${TMPDIR:-/tmp}/creel-demo.XXXXXX")"
  own_data=1
fi
# Agents run as users of their own and must reach their homes below.
chmod 755 "$data"
trap stop_all EXIT
trap interrupted INT TERM HUP

wanted_port() { if port_open "$1"; then free_port; else echo "$1"; fi; }
admin_port="$(wanted_port 8080)"
agent_port="$(wanted_port 8081)"
[ "$admin_port" = 8080 ] && [ "$agent_port" = 8081 ] || say "8080 or 8081 is taken: using $admin_port and $agent_port"

# The provider. Its key stays in the environment: the configuration names the variable, never the key.
if [ -n "${OPENAI_API_KEY:-}" ]; then
  base_url="${OPENAI_BASE_URL:-https://api.openai.com/v1}" key_env=OPENAI_API_KEY model="${CREEL_DEMO_MODEL:-gpt-4.1-mini}"
  step "provider: your OpenAI-compatible one, model $model"
elif [ -n "${DASHSCOPE_API_KEY:-}" ]; then
  base_url=https://dashscope.aliyuncs.com/compatible-mode/v1 key_env=DASHSCOPE_API_KEY model="${CREEL_DEMO_MODEL:-qwen-plus}"
  step "provider: DashScope, model $model"
else
  step "provider: none given (OPENAI_API_KEY or DASHSCOPE_API_KEY), so a built-in echo answers"
  echo_port="$(free_port)"
  "$creel" echo-llm --listen "127.0.0.1:$echo_port" >"$data/echo-llm.log" 2>&1 </dev/null &
  echo_pid=$!
  for _ in $(seq 100); do port_open "$echo_port" && break; sleep 0.1; done
  port_open "$echo_port" || exit 1
  base_url="http://127.0.0.1:$echo_port/v1" key_env=CREEL_DEMO_ECHO_KEY model="${CREEL_DEMO_MODEL:-echo}"
  export CREEL_DEMO_ECHO_KEY=echo-needs-no-key
fi

cat >"$data/creel.toml" <<TOML
[[system_provider]]
name = "wuying-credit"
base_url = "$base_url"
api = "openai-completions"
api_key_env = "$key_env"

[[system_provider.model]]
code = "$model"
name = "$model"
context_window = 128000
max_output_tokens = 4096
multiplier = 1
price = { input = "0.2", cached_input = "0.02", output = "1.2" }
TOML

step "starting creel serve"
rm -f "$data/ready"
# Its own session: Ctrl-C reaches this script alone, which then stops things in order.
setsid "$creel" serve --data-dir "$data" --config "$data/creel.toml" --driver process \
  --admin-listen "127.0.0.1:$admin_port" --agent-listen "127.0.0.1:$agent_port" \
  >"$data/ready" 2>"$data/server.log" </dev/null &
server_pid=$!
for _ in $(seq 300); do
  grep -q '"event":"ready"' "$data/ready" && break
  kill -0 "$server_pid" 2>/dev/null || exit 1
  sleep 0.1
done
grep -q '"event":"ready"' "$data/ready" || exit 1

# The root key that the first start made; read here, printed nowhere.
read_key() { sed -n "s/.*\"$1\" *: *\"\([^\"]*\)\".*/\1/p" "$data/root-access-key.json" | head -1; }
CREEL_ENDPOINT="http://127.0.0.1:$admin_port"
CREEL_ACCESS_KEY_ID="$(read_key AccessKeyId)"
CREEL_ACCESS_KEY_SECRET="$(read_key AccessKeySecret)"
export CREEL_ENDPOINT CREEL_ACCESS_KEY_ID CREEL_ACCESS_KEY_SECRET CREEL_MODEL="$model"

step "the main job, by examples/first_agent.py with the official SDKs (OpenClaw's first start takes 30 to 90 s)"
: >"$data/flow.log"
"$VENV_DIR/bin/python" -u examples/first_agent.py "${CREEL_DEMO_MESSAGE:-Say hello in one sentence.}" \
  > >(tee "$data/flow.log") 2> >(tee -a "$data/demo.log" >&2) </dev/null &
flow_pid=$!
flow_rc=0
wait "$flow_pid" || flow_rc=$?
flow_pid=""
# Also of a flow that failed half-way, so that its agent is deleted.
runtime="$(grep -o 'ecd-[0-9a-z]*' "$data/flow.log" | head -1 || true)"
[ "$flow_rc" = 0 ] || exit "$flow_rc"

say ""
say "it took $(($(now) - started)) s in all"
say "  API        $CREEL_ENDPOINT   (any official SDK, with this endpoint)"
say "  key        in $data/root-access-key.json"
if [ "$(curl -s -o /dev/null -w '%{http_code}' "$CREEL_ENDPOINT/console/" || true)" = 404 ]; then
  say "  console    does not exist yet"
else
  say "  console    $CREEL_ENDPOINT/console/"
fi
say "  talk to it CREEL_ENDPOINT=$CREEL_ENDPOINT … $creel chat $runtime \"…\""
say "  logs       $data/server.log"

if [ "${DEMO_ONCE:-}" = 1 ]; then
  stage="stopping"
  done_well=1
  exit 0
fi
stage="running"
say "it stays up until Ctrl-C"
wait "$server_pid" || true
stage="the server ended by itself"
exit 1
