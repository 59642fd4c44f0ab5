-- Posts the file in $BODY with the keys in $KEYS, a line each, in turn; prints one line of figures.
local file = assert(io.open(os.getenv("BODY")))
wrk.method, wrk.body = "POST", file:read("*a")
file:close()
wrk.headers["content-type"] = "application/json"
local keys, requests, turn = {}, {}, 0
for key in os.getenv("KEYS"):gmatch("[^\n]+") do
  keys[#keys + 1] = key
end

function init()
  for at, key in ipairs(keys) do
    wrk.headers["authorization"] = "Bearer " .. key
    requests[at] = wrk.format()
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary, latency)
  local errors = summary.errors
  local failed = errors.status + errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format("FIGURES %d %d %d %d\n", summary.requests, failed, latency:percentile(50), latency:percentile(99)))
end
