// Places that data is dropped at and payloads are fetched from.

rule sink_capture_host {
  meta:
    id = "sink.capture-host"
    severity = "signal"
    message = "sends to a place that takes data from anybody"
  strings:
    $a = /\b(webhook\.site|requestbin\.\w+|[\w-]+\.requestbin\.net|pipedream\.net|[\w-]+\.m\.pipedream\.net|beeceptor\.com|hookbin\.com|requestcatcher\.com|postb\.in|ptsv[23]\.com|canarytokens\.\w+|interact\.sh|oast\.(pro|live|site|online|fun|me)|oastify\.com|burpcollaborator\.net|dnslog\.cn|ceye\.io|webhook-test\.com|mockbin\.\w+)\b/i
    $f = /\b[a-z2-7]{16,56}\.onion\b/i
  condition:
    any of them
}

rule sink_drop_host {
  meta:
    id = "sink.drop-host"
    severity = "signal"
    message = "sends to a chat, a tunnel or a file drop"
  strings:
    $b = /\b([\w-]+\.)?(ngrok(-free)?\.(io|app|dev)|trycloudflare\.com|loca\.lt|serveo\.net|localhost\.run|localtunnel\.me|bore\.pub|pagekite\.me)\b/i
    $c = /discord(app)?\.com\/api\/webhooks\/\d/i
    $d = /api\.telegram\.org\/bot[\d$\{<%"'+\w]/i
    $e = /\b(transfer\.sh|file\.io|0x0\.st|anonfiles\.com|gofile\.io|temp\.sh|bashupload\.com|catbox\.moe|pastebin\.com\/api|paste\.ee|termbin\.com|ix\.io|oshi\.at|uguu\.se|tmpfiles\.org)\b/i
  condition:
    any of them
}

rule sink_odd_host {
  meta:
    id = "sink.odd-host"
    severity = "signal"
    message = "talks to an address without a name, or a name that anybody gets"
  strings:
    $ip = /\b(https?|wss?|ftp):\/\/([1-9]\d{0,2})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})(:\d+)?/
    $hex = /\bhttps?:\/\/(0x[0-9a-f]{8}|\d{9,10})(:\d+)?\//i
    $tld = /\bhttps?:\/\/[\w.-]+\.(tk|ml|ga|cf|gq|top|icu|pw|buzz|cyou|sbs|zip|monster|su)(:\d+)?(\/|["'\s`)]|$)/i
    $evil = /\bhttps?:\/\/[\w.-]*\b(evil|attacker|malicious|malware|exfil|c2|hacker|steal(er)?|phish|collector?|exfiltrat\w*|badguy|villain|pwn|rat|botnet|payload|dropper)\b[\w.-]*/i
    $short = /\bhttps?:\/\/(bit\.ly|tinyurl\.com|t\.ly|is\.gd|cutt\.ly|rb\.gy|shorturl\.at|goo\.su|v\.gd|t\.co)\//i
  condition:
    any of them
}

rule known_bad_host {
  meta:
    id = "network.known-bad"
    severity = "critical"
    message = "a host of a known campaign against agents"
  strings:
    $a = "91.92.242.30"
    $b = "54.91.154.110"
    $c = /\b(download\.setup-service\.com|install\.app-distribution\.net|openclawcli\.vercel\.app)\b/i
    $d = /github\.com\/(hedefbari\/openclaw-agent|Ddoy233\/openclawcli|denboss99\/openclaw-core|syazema\/OpenClawProvider)/i
    $e = /glot\.io\/snippets\/hfd3x9ueu5|rentry\.co\/openclaw-core/i
  condition:
    any of them
}
