// What means little alone. The analyser that combines signals makes findings of a source and a sink together.

rule source_ssh {
  meta:
    id = "source.credential.ssh"
    severity = "signal"
    message = "SSH keys"
  strings:
    $a = /(~|\$HOME|\$\{HOME\}|home\(\)|expanduser|homedir\(\)|USERPROFILE|\/root|\/home\/[\w*$\{\}]+)[^\n]{0,30}\.ssh["'\/, )]{1,6}(id_\w+|\*|["']|config|known_hosts|$)/
    $b = /\b(id_rsa|id_ed25519|id_ecdsa|id_dsa)\b/
    $c = /\b(tar|zip|cp|cat|scp|rsync)\b[^\n]{0,80}(~|\$HOME|\/root)\/\.ssh\b/
    $d = /["']\.ssh["']/
  condition:
    any of them
}

rule source_cloud {
  meta:
    id = "source.credential.cloud"
    severity = "signal"
    message = "cloud credentials"
  strings:
    $a = /\.aws["'\/, ]{1,6}(credentials|config)\b/
    $b = /\.(kube["'\/, ]{1,6}config|docker["'\/, ]{1,6}config\.json|azure["'\/, ]{1,6}(accessTokens|msal)|config["'\/, ]{1,6}gcloud|config["'\/, ]{1,6}gh["'\/, ]{1,6}hosts\.yml)/
    $c = /application_default_credentials\.json|\.aliyun["'\/, ]{1,6}config\.json|\.terraform\.d["'\/, ]{1,6}credentials/
    $d = /\.(netrc|npmrc|pypirc|git-credentials|pgpass|my\.cnf)\b["']?/
    $boto = /\bget_frozen_credentials\(\)|\.get_credentials\(\)\.(access_key|secret_key|token)/
    $imds = /169\.254\.169\.254|metadata\.google\.internal|100\.100\.100\.200/
  condition:
    any of them
}

rule source_browser {
  meta:
    id = "source.credential.browser"
    severity = "signal"
    message = "a browser's passwords and cookies"
  strings:
    $a = /(google-chrome|BraveSoftware|Chromium|\.mozilla)[^\n]{0,100}(Login Data|Cookies|Local State|logins\.json|key4\.db|cookies\.sqlite|Web Data|History|Local Extension Settings)/
    $chrome = /Google[\/\\, "']{1,8}Chrome[^\n]{0,100}(Login Data|Cookies|Local State|logins\.json|key4\.db|cookies\.sqlite|Web Data|History|Local Extension Settings)/
    $edge = /Microsoft[\/\\, "']{1,6}Edge[^\n]{0,100}(Login Data|Cookies|Local State|logins\.json|key4\.db|cookies\.sqlite|Web Data|History|Local Extension Settings)/
    $firefox = /Mozilla[\/\\, "']{1,6}Firefox[^\n]{0,100}(Login Data|Cookies|Local State|logins\.json|key4\.db|cookies\.sqlite|Web Data|History|Local Extension Settings)/
    $b = /["'\/\\](Login Data|key4\.db|logins\.json|cookies\.sqlite)["']/
    $c = /\bCryptUnprotectData\b|\bbrowser_?cookie3?\b\.(chrome|firefox|load)|win32crypt/
  condition:
    any of them
}

rule source_keychain {
  meta:
    id = "source.credential.keychain"
    severity = "signal"
    message = "a password store"
  strings:
    $a = /\bsecurity\s+(dump-keychain|export|find-(generic|internet)-password\s+[^\n]{0,40}-g?w?a)\b/
    $b = /login\.keychain(-db)?\b/
    $c = /\b(secretstorage|keyring\.get_password|kwallet|gnome-keyring|CredEnumerate|vaultcmd)\b/
    $d = /\/etc\/shadow\b|\bSAM\\|lsass/
    $e = /\b(1password|\.password-store|KeePass|\.kdbx|Bitwarden)["'\/][^\n]{0,40}(sqlite|data\.json|\.kdbx|open\()/
  condition:
    any of them
}

rule source_wallet {
  meta:
    id = "source.credential.wallet"
    severity = "signal"
    message = "a cryptocurrency wallet"
  strings:
    $a = /(\bwallet\.dat|\.bitcoin|\bExodus[\/\\]|exodus\.wallet|\bElectrum[\/\\]wallets|Atomic[\/\\]Local Storage|\.config[\/"', ]{1,6}solana[\/"', ]{1,6}id\.json|Ledger Live|\.ethereum[\/"', ]{1,6}keystore|nkbihfbeogaeaoehlefnkodbefgpgknn|keystore\/UTC--)/
    $b = /\b(metamask|phantom|trust ?wallet|coinbase ?wallet)\b[^\n]{0,60}(vault|extension|Local Extension|leveldb|ldb|storage)/i
  condition:
    any of them
}

rule source_wallet_key {
  meta:
    id = "source.private.wallet-key"
    severity = "signal"
    message = "a wallet's private key or seed phrase"
  strings:
    $a = /\b(seed_?phrase|mnemonic(_phrase)?|recovery_?phrase|private_?key)\b\s*[:=,)\]}]/i
  condition:
    any of them
}

rule source_agent {
  meta:
    id = "source.credential.agent"
    severity = "signal"
    message = "the agent's own keys, configuration, memory and talks"
  strings:
    $a = /\.(openclaw|clawdbot|moltbot|hermes)["'\/, ]{1,6}(openclaw\.json|clawdbot\.json|moltbot\.json|credentials|config\b|\.env|agents|sessions|memory|identity|auth-profiles|exec-approvals)/
    $b = /(open\(|read_text|readFile(Sync)?\(|cat\s|load\w*\(|@|jq\s|Path\(|join\()[^\n]{0,80}\b(openclaw|clawdbot|moltbot)\.json\b|["'\/](openclaw|clawdbot|moltbot)\.json["'][^\n]{0,60}(read|open|load|\))/
    $c = /\.claude["'\/, ]{1,6}(\.credentials|credentials|settings\.json|history|projects|\.claude\.json)|\.claude\.json\b|\.codex["'\/, ]{1,6}(auth\.json|config\.toml|sessions)|\.gemini["'\/, ]{1,6}(oauth_creds|settings)|\.cursor["'\/, ]{1,6}mcp\.json/
    $d = /(open\(|read_text|readFile(Sync)?\(|cat\s|@|<\s?)[^\n]{0,60}\b(SOUL|MEMORY|IDENTITY|USER)\.md\b/
    $e = /auth-profiles\.json\b/
  condition:
    any of them
}

rule source_env_file {
  meta:
    id = "source.secret.env-file"
    severity = "signal"
    message = "files of settings and secrets"
  strings:
    $read = /(open\(|read_text|readFile(Sync)?\(|cat\s+|@|<\s|cp\s+|tar\s[^\n]{0,60}|zip\s[^\n]{0,60}|base64\s+(-w\s*0\s+)?)["'`]?[^\n"'`|;&]{0,60}\.env(\.(local|production|prod|dev|development))?\b["'`]?/
  condition:
    any of them
}

rule source_secret_search {
  meta:
    id = "source.secret.search"
    severity = "signal"
    message = "files of secrets, wherever they are"
  strings:
    $find = /(rglob|glob|find|os\.walk|fnmatch|endswith|grep\s+-r\w*)[^\n]{0,100}["']?[*.\/]{0,3}\.(env|pem|key|p12|pfx|kdbx|ppk)\b/
    $list = /["']\.env["']\s*,\s*["'][^"'\n]{0,30}(\.pem|id_rsa|credentials|secrets?|\.key|config|\.npmrc|\.env)/
  condition:
    any of them
}

rule source_env_all {
  meta:
    id = "source.secret.environment"
    severity = "signal"
    message = "all environment variables"
  strings:
    $py = /(dict\(\s*os\.environ\s*\)|json\.dumps\(\s*(dict\()?os\.environ|os\.environ\.copy\(\)[^\n]{0,60}(json|post|data)|str\(\s*os\.environ\s*\)|\bos\.environ\.items\(\))/
    $js = /(JSON\.stringify\(\s*process\.env\s*[,)]|Object\.(entries|keys|assign|fromEntries)\([^\n]{0,12}process\.env\b|\.\.\.process\.env\s*\}|\bbody\s*:\s*process\.env\b)/
    $js2 = /JSON\.stringify\([^;\n]{0,80}process\.env\s*[,})]/
    $sh = /(^|[;&|(]\s*|\n\s*)(env|printenv|export -p)\s*(\||>\s*[\/\w$.])|\$\(\s*(env|printenv)\s*\)/
    $sh2 = /\$\(\s*(env|printenv)\b[^\n)]{0,80}\)/
    $proc = /\/proc\/(self|\d+|\$\w+)\/environ/
    $filter = /(for\s+\w+(\s*,\s*\w+)?\s+in\s+os\.environ|os\.environ\.items\(\)|Object\.(entries|keys)\(process\.env\))[\s\S]{0,200}(KEY|TOKEN|SECRET|PASS|CRED)/
  condition:
    any of them
}

rule source_host_facts {
  meta:
    id = "source.private.host"
    severity = "signal"
    message = "who and where the user is, and what runs there"
  strings:
    $a = /\b(whoami|hostname|uname -a|ifconfig|ip addr|ps aux|systeminfo|getpass\.getuser\(\)|socket\.gethostname\(\)|os\.userInfo\(\)|platform\.(node|uname)\(\)|os\.hostname\(\)|uuid\.getnode\(\))/
    $b = /\b(ipapi\.co|ipinfo\.io|ip-api\.com|ifconfig\.me|api\.ipify\.org|icanhazip\.com|CoreLocation|CLLocationManager)\b/
  condition:
    any of them
}

rule source_location {
  meta:
    id = "source.location"
    severity = "signal"
    message = "where the user is"
  strings:
    $a = /\b(ipapi\.co|ipinfo\.io|ip-api\.com|ipgeolocation\.io|CoreLocation|CLLocationManager|loc\.txt)\b/
  condition:
    $a
}

rule source_private {
  meta:
    id = "source.private.user"
    severity = "signal"
    message = "what the user typed, copied, saw, said or wrote"
  strings:
    $clip = /\b(pbpaste|pyperclip\.paste|xclip\s+-o|xsel\s+-o|wl-paste|Get-Clipboard|clipboard\.(read|paste|get)\w*\()/
    $shot = /\b(screencapture\b|ImageGrab\.grab|mss\.mss\(|pyautogui\.screenshot|scrot\b|gnome-screenshot|import\s+-window\s+root)/
    $hist = /\.(bash|zsh|python|psql|mysql|node_repl)_history\b|fish_history|Safari\/History\.db|HISTFILE/
    $cam = /\bcv2\.VideoCapture\(\s*0|\bimagesnap\b|sounddevice\.rec\(|pyaudio\.PyAudio\(|arecord\b/
    $msg = /Messages\/chat\.db|\.thunderbird|Library\/Mail\/|Contacts\/AddressBook|WhatsApp\/ChatStorage|Notes\/NoteStore|Telegram Desktop\/tdata|discord\/Local Storage|Signal\/sql/
    $keys = /\bpynput\b|\bkeyboard\.(on_press|hook)\b/
  condition:
    any of them
}

rule source_files {
  meta:
    id = "source.private.files"
    severity = "signal"
    message = "whole folders of the user"
  strings:
    $walk = /(os\.walk|rglob\(|glob\.glob|Path)\(\s*[^\n]{0,40}(expanduser\(\s*["']~\/?["']|Path\.home\(\)|homedir\(\)|["']\/["']\)|["']~\/(Documents|Desktop|Downloads)|["']\/home["'])/
    $tar = /\b(tar\s+-?c?\w*z?c\w*f?|zip\s+-\w*r\w*)\s+[^\n]{0,80}(~\/?(Documents|Desktop|Downloads|\s|$)|\$HOME|\/home\/)/
  condition:
    any of them
}

rule sink_send {
  meta:
    id = "sink.send"
    severity = "signal"
    message = "sends data to another host"
  strings:
    $curl = /\bcurl\b[^\n]{0,200}\s(-X\s*(POST|PUT|PATCH)|--request[= ](POST|PUT)|-d\b|--data(-\w+)?\b|-F\b|--form\b|-T\b|--upload-file\b|--json\b)/
    $curlget = /\bcurl\b[^\n]{0,120}https?:\/\/[^\n"'\s]{3,120}[?&]\w+=(\$\(|`|\$\{?\w)/
    $wget = /\bwget\b[^\n]{0,120}--post-(data|file)\b/
    $nc = /(\||<)\s*(nc|ncat|netcat)\s+(-\w+\s+)*[\w.$\{\}-]{3,}\s+[\d$]/
    $nc2 = /\b(nc|ncat|netcat)\s+(-\w+\s+)*[\w.$\{\}-]{3,}\s+\d{2,5}\s*</
    $py = /\b(requests|session|client|httpx|self\.session|s|http)\.(post|put|patch|request)\(/
    $py2 = /urllib\.request\.(Request|urlopen)\([^\n]{0,200}data\s*=|urlopen\([^\n]{0,80},\s*data|Request\([^\n]{0,160}method\s*=\s*["'](POST|PUT)/
    $pyget = /\b(requests|httpx)\.get\([^\n]{0,160}(params\s*=|\{\w+\}|\+\s*\w+)/
    $pyurl = /urlopen\(\s*f?["'][^\n]{0,120}(\{\w|["']\s*\+)/
    $conn = /\.request\(\s*["'](POST|PUT)["']/
    $sock = /\.(sendall|sendto|send)\(\s*[\w.(]/
    $smtp = /\bsmtplib\.SMTP|\.sendmail\(|\bsendmail\s|\bmail\s+-s\b|\bnodemailer\b/
    $ftp = /\bftplib\.FTP|storbinary\(|\b(scp|rsync)\s+[^\n]{0,120}\w+@?[\w.-]+:/
    $js = /\bfetch\([^\n]{0,200}[\s\S]{0,200}method\s*:\s*["'`](POST|PUT)/
    $js2 = /\b(axios|got|superagent|needle|\$http|request)\.(post|put)\(/
    $js3 = /https?\.request\([\s\S]{0,300}(POST|PUT)/
    $ws = /\bnew WebSocket\(|websocket(s)?\.(connect|create_connection|WebSocketApp)\(/
    $s3 = /\.(put_object|upload_file|upload_fileobj)\(|\baws\s+s3\s+(cp|sync|mv)\s+[^\n]{0,80}s3:\/\//
    $ps = /Invoke-(WebRequest|RestMethod)\b[^\n]{0,160}-Method\s+["']?(Post|Put)|UploadString\(|UploadData\(|UploadFile\(/i
    $go = /http\.Post(Form)?\(|http\.NewRequest\(\s*"(POST|PUT)"/
  condition:
    any of them
}

rule sink_send_config {
  meta:
    id = "sink.send-secrets"
    severity = "signal"
    message = "sends settings or secrets as they are"
  strings:
    $a = /(post|put|request|urlopen|Request|fetch)\([^;]{0,200}(json|data|body|payload|params)\s*[=:]\s*[^\n]{0,80}\b(config_?data|configuration|config|env_?vars?|environ|secrets?|credentials?|settings|passwords?|tokens?|api_?keys|private_?key|encoded_config|encoded_data)\b/i
    $b = /(payload|data|body)\s*=\s*(json\.dumps\()?\s*\{\s*[^\}]{0,160}["'](config|configuration|env|environment|secrets|credentials|settings|tokens|keys)["']\s*:/i
  condition:
    any of them
}

rule source_config_literals {
  meta:
    id = "source.secret.config"
    severity = "signal"
    message = "files of settings with their secrets"
  strings:
    $ext = /["']\.env["']/
    $keys = /["'](password|passwd)["']\s*,\s*["'](secret|token|api_?key|passwd|pwd|key|credential)["']/i
  condition:
    any of them
}

rule source_named_secret {
  meta:
    id = "source.secret.named"
    severity = "signal"
    message = "a key of another service"
  strings:
    $py = /(os\.environ(\.get)?|os\.getenv|process\.env|getenv)\s*[\[.(]\s*["']?(AWS_SECRET_ACCESS_KEY|AWS_ACCESS_KEY_ID|AWS_SESSION_TOKEN|ANTHROPIC_API_KEY|OPENAI_API_KEY|GITHUB_TOKEN|GH_TOKEN|NPM_TOKEN|PYPI_TOKEN|SSH_PRIVATE_KEY|DATABASE_URL|DB_PASSWORD|SLACK_BOT_TOKEN|STRIPE_SECRET_KEY|DOCKER_PASSWORD|SENDGRID_API_KEY|TWILIO_AUTH_TOKEN|GOOGLE_API_KEY|GEMINI_API_KEY|AZURE_CLIENT_SECRET|HF_TOKEN|KUBECONFIG|VAULT_TOKEN|JWT_SECRET|ALIBABA_CLOUD_ACCESS_KEY_SECRET|OPENCLAW_GATEWAY_TOKEN|DISCORD_TOKEN|TELEGRAM_BOT_TOKEN)\b/
    $sh = /\$\{?(AWS_SECRET_ACCESS_KEY|AWS_ACCESS_KEY_ID|AWS_SESSION_TOKEN|ANTHROPIC_API_KEY|OPENAI_API_KEY|GITHUB_TOKEN|GH_TOKEN|NPM_TOKEN|PYPI_TOKEN|SSH_PRIVATE_KEY|DATABASE_URL|DB_PASSWORD|SLACK_BOT_TOKEN|STRIPE_SECRET_KEY|DOCKER_PASSWORD|SENDGRID_API_KEY|TWILIO_AUTH_TOKEN|GOOGLE_API_KEY|GEMINI_API_KEY|AZURE_CLIENT_SECRET|HF_TOKEN|KUBECONFIG|VAULT_TOKEN|JWT_SECRET|ALIBABA_CLOUD_ACCESS_KEY_SECRET|OPENCLAW_GATEWAY_TOKEN|DISCORD_TOKEN)\b\}?/
  condition:
    any of them
}

rule sink_fetch {
  meta:
    id = "sink.fetch"
    severity = "signal"
    message = "fetches something from the network"
  strings:
    $py = /\b(requests\.get|urlopen|urlretrieve|httpx\.get|session\.get|urllib\.request\.Request)\(/
    $sh = /\b(curl\s[^\n]{0,200}(-\w*o\w*\s|--output|-\w*O\b|>\s*["']?\$)|wget\s[^\n]{0,200}-\w*O)/
    $js = /\b(fetch|https?\.get|axios(\.get)?)\(|require\(["']https?["']\)\.(get|request)\(/
  condition:
    any of them
}

rule source_dynamic_code {
  meta:
    id = "source.code.dynamic"
    severity = "signal"
    message = "code that is not in the package, to run it"
  strings:
    $exec = /(^|[\s;:(])exec\(\s*(compile\()?\s*[a-z_]\w*(\.\w+)?\s*[,)]/
    $mod = /\.exec_module\(/
    $sh = /(^|[\n;&|]\s*|then\s+|do\s+)(source|\.|(ba|z)?sh|eval)\s+["']?\$\{?\w*(helper|script|update|plugin|hook|module|tmp|temp|cache|download|payload|patch|installer|remote|fetched|target_file)\w*\}?/i
    $js = /\b(new Function|vm\.runIn\w+|eval)\(\s*[a-z_]\w*(\.\w+)?\s*[,)]/
  condition:
    any of them
}

rule act_harm {
  meta:
    id = "act.harm"
    severity = "signal"
    message = "deletes, locks, opens or sends files"
  strings:
    $del = /\b(os\.remove|os\.unlink|\.unlink\(|shutil\.rmtree|unlinkSync|rmSync)\b|\brm\s+-\w*[rf]|-delete\b|-exec\s+rm\b/
    $perm = /\bchmod\s+(-R\s+)?0?777\b|os\.chmod\([^\n]{0,40}0o777/
    $remote = /\bgit\s+(remote\s+(add|set-url)|push)\b/
    $lock = /\b(pyzipper|setpassword\(|zip\s+[^\n]{0,20}-(P|e)\b|7z\s+a\s+[^\n]{0,20}-p|Fernet\(|AESGCM\(|openssl\s+enc)/
    $loop = /while\s+(true|:|True|1)\b[\s\S]{0,80}(curl|requests\.|wget)/
    $loc = /\b(ipapi\.co|ipinfo\.io|ip-api\.com|CoreLocation)\b/
    $spy = /\b(pbpaste|pyperclip|ImageGrab|screencapture|pynput)\b/
  condition:
    any of them
}

rule host_inventory {
  meta:
    id = "exfiltration.host-inventory"
    severity = "high"
    message = "collects what the machine is and runs, and sends it off"
  strings:
    $_a = /\bwhoami\b|\bid\s+-un\b|getpass\.getuser|os\.userInfo/
    $_b = /\bhostname\b|gethostname\(|os\.hostname/
    $_c = /\buname\s+-|platform\.(uname|platform|system|node)\(|os\.release\(|sw_vers|lsb_release/
    $_d = /\b(ip\s+addr|ifconfig|ip\s+route|hostname\s+-I|netstat|ss\s+-)\b|networkInterfaces\(|psutil\.net_/
    $_e = /\bps\s+(aux|-ef)|psutil\.process_iter|tasklist\b|systemctl\s+list/
    $_f = /\b(dpkg\s+-l|rpm\s+-qa|pip\s+list|pip\s+freeze|brew\s+list|npm\s+ls)\b/
    $_g = /\/etc\/(passwd|os-release|hosts)\b/
    $_h = /\b(env|printenv)\b\s*(\||>|\))|\bcrontab\s+-l\b|\blast\s+-/
    $send = /\bcurl\b[^\n]{0,120}(-X\s*POST|-d\s|--data|-F\s|-T\s)|\b(requests|httpx|session)\.post\(|urlopen\([^\n]{0,60}data|\bwget\b[^\n]{0,80}--post|method\s*:\s*["']POST/
  condition:
    $send and 3 of ($_*)
}

rule encoded_then_sent {
  meta:
    id = "exfiltration.encoded"
    severity = "high"
    message = "encodes a secret or a file and sends it"
  strings:
    $sh = /(echo|printf|cat)\s+["']?(\$\{?\w+\}?|[~\/.][^\n|]{1,80})["']?\s*\|\s*(base64|xxd|gzip|openssl|od|rev|tr)\b[^\n|]{0,40}(\|[^\n|]{0,40}){0,2}\|\s*(curl|wget|nc|ncat)\b/
    $sub = /\bcurl\b[^\n]{0,200}\$\([^\n)]{0,80}(\|\s*)?(base64|xxd)\b/
    $echo = /\becho\s+["']?[^\n|"']{0,40}\$\{?\w*(TOKEN|KEY|SECRET|PASSWORD|CRED|env_name)\w*\}?["']?\s*\|\s*curl\b/
    $tar = /\b(tar|zip)\b[^\n|]{0,120}\|\s*(base64[^\n|]{0,20}\|\s*)?(curl|nc|ncat)\b/
  condition:
    any of them
}

rule sink_send_file {
  meta:
    id = "sink.send-file"
    severity = "signal"
    message = "sends a whole file"
  strings:
    $py = /\b(data|content|files|json)\s*=\s*[^\n]{0,60}(open\(|read_text\(\)|read_bytes\(\)|\.read\(\))/
    $sh = /\bcurl\b[^\n]{0,200}(-d\s*["']?@|--data(-\w+)?[= ]["']?@|-F\s*["']?\w+=@|-T\s|--upload-file)/
    $js = /\bbody\s*:\s*(fs\.readFile(Sync)?|await fs|fs\.createReadStream)/
  condition:
    any of them
}

rule sink_network {
  meta:
    id = "sink.network"
    severity = "signal"
    message = "talks to another host"
  strings:
    $a = /\b(curl|wget)\s+[^\n]{0,120}https?:\/\//
    $b = /\b(requests|httpx|aiohttp|urllib3?|urlopen|http\.client|axios|node-fetch|websockets?)\b\s*[.(]/
    $c = /\bfetch\(\s*["'`$a-zA-Z]/
    $d = /\bsocket\.(socket|create_connection)\(/
  condition:
    any of them
}

rule wallet_send {
  meta:
    id = "wallet.drain"
    severity = "high"
    message = "moves cryptocurrency, or swaps the address that it goes to"
  strings:
    $_clip = /\b(pyperclip|clipboardy?|pbcopy|pbpaste|xclip|Set-Clipboard|GetClipboardData)\b/
    $clip = /(\^?\(?(bc1|\[13\])\[?[a-zA-Z0-9\-\[\]]{2,30}\{|0x\[a-fA-F0-9\]\{40\}|\[1-9A-HJ-NP-Za-km-z\]\{)/
    $all = /\b(setApprovalForAll|approve)\([^\n]{0,80}(MAX_UINT256|MaxUint256|2\s*\*\*\s*256|0x[fF]{64}|true)[^\n]{0,40}\)/
    $bal = /(get_?balance|getBalance|balanceOf)\([\s\S]{0,500}(send_?transaction|sendTransaction|transfer|signAndSend\w*|SystemProgram\.transfer)\([\s\S]{0,300}(balance|bal|amount|max)/
    $_addr = /["'](0x[a-fA-F0-9]{40}|bc1[a-z0-9]{30,60}|[13][1-9A-HJ-NP-Za-km-z]{33}|T[1-9A-HJ-NP-Za-km-z]{33}|[1-9A-HJ-NP-Za-km-z]{43,44})["']/
  condition:
    ($_clip and $clip and $_addr) or ($bal and $_addr and $_clip) or ($all and $_addr and $bal)
}
