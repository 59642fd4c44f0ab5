# A stand-in for OpenClaw, run by python3 in Node's place. It reads its configuration as OpenClaw does and serves the
# same five interfaces. Files beside its state steer it: `exit` holds a status to end with at once, `crash` ends it
# when it appears.
import base64, hashlib, json, os, struct, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CONFIG = os.environ["OPENCLAW_CONFIG_PATH"]
STATE = os.environ["OPENCLAW_STATE_DIR"]
assert os.environ["OPENCLAW_CONFIG_READONLY"] == "1" and sys.argv[1:] == ["gateway", "run"]


def steer(name):
    try:
        return open(os.path.join(STATE, name)).read()
    except FileNotFoundError:
        return None


def load():
    raw = open(CONFIG).read()
    return json.loads(raw), hashlib.sha256(raw.encode()).hexdigest()


def secret(config, reference):
    return open(config["secrets"]["providers"][reference["provider"]]["path"]).read()


if steer("exit"):
    print("Gateway failed to start: because a test said so", flush=True)
    sys.exit(int(steer("exit")))
with open(os.path.join(STATE, "starts"), "a") as starts:
    starts.write("%d\n" % os.getpid())
config, applied_hash = load()
token = secret(config, config["gateway"]["auth"]["token"])


def valid(candidate):
    providers = candidate["models"]["providers"].values()
    return all(model["id"] != "invalid" for provider in providers for model in provider["models"])


def watch():
    global config, applied_hash
    while True:
        if steer("crash") is not None:
            os.remove(os.path.join(STATE, "crash"))
            os._exit(1)
        candidate, candidate_hash = load()
        if candidate_hash != applied_hash and valid(candidate):
            config, applied_hash = candidate, candidate_hash
        time.sleep(0.02)


def skills():
    # Of a name the last one wins, as with OpenClaw; a SKILL.md may say what is missing.
    found = {}
    for root in config["skills"].get("load", {}).get("extraDirs", []) + [os.path.join(STATE, "skills"),
            os.path.join(config["agents"]["defaults"]["workspace"], "skills")]:
        for name in os.listdir(root) if os.path.isdir(root) else []:
            path = os.path.join(root, name, "SKILL.md")
            if not name.startswith(".") and os.path.exists(path):
                missing = [line[7:].strip() for line in open(path) if line.startswith("needs: ")]
                found[name] = {"name": name, "source": root, "bundled": False, "eligible": not missing,
                    "baseDir": os.path.dirname(path), "skillKey": name, "missing": {"bins": missing}}
    return {"skills": list(found.values())}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        if self.headers["upgrade"] != "websocket":
            return self.answer(200, {"ok": True})
        key = self.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.send_response(101)
        self.send_header("upgrade", "websocket")
        self.send_header("connection", "Upgrade")
        self.send_header("sec-websocket-accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
        self.end_headers()
        self.say({"type": "event", "event": "connect.challenge", "payload": {"nonce": "n", "ts": 1}})
        allowed = False
        while (request := self.hear()) is not None:
            if request["method"] == "connect":
                allowed = request["params"]["auth"]["token"] == token
            self.say({"type": "res", "id": request["id"], "ok": allowed,
                "payload": skills() if request["method"] == "skills.status" else {}})
        self.close_connection = True

    def say(self, message):
        data = json.dumps(message).encode()
        length = bytes([len(data)]) if len(data) < 126 else b"\x7e" + struct.pack(">H", len(data))
        self.wfile.write(b"\x81" + length + data)

    def hear(self):
        head = self.rfile.read(2)
        if len(head) < 2 or head[0] != 0x81:
            return None
        length = head[1] & 0x7f
        if length == 126:
            length = struct.unpack(">H", self.rfile.read(2))[0]
        mask = self.rfile.read(4)
        return json.loads(bytes(byte ^ mask[n % 4] for n, byte in enumerate(self.rfile.read(length))))

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.headers["authorization"] != "Bearer " + token:
            return self.answer(401, {"error": {"message": "no"}})
        if self.path == "/v1/chat/completions":
            provider = next(iter(config["models"]["providers"].values()), None)
            if provider is None:
                return self.answer(404, {"error": {"message": "Unknown model"}})
            text = "%s|%s|%s" % (body["user"], body["messages"][0]["content"], secret(config, provider["apiKey"]))
            return self.answer(200, {"choices": [{"message": {"role": "assistant", "content": text}}]})
        candidate, candidate_hash = load()
        ok = valid(candidate)
        self.answer(200, {"ok": True, "payload": {
            "valid": ok,
            "issues": [] if ok else [{"path": "models", "message": "invalid model"}],
            "configRevisionHash": candidate_hash if ok else None,
            "appliedConfigHash": applied_hash,
            "runtimeConfig": config,
        }})


threading.Thread(target=watch, daemon=True).start()
ThreadingHTTPServer(("127.0.0.1", config["gateway"]["port"]), Handler).serve_forever()
