// What changes the machine: persistence, rights, destruction, mining.

rule authorized_keys {
  meta:
    id = "persistence.authorized-keys"
    severity = "critical"
    message = "lets somebody log in with a key"
  strings:
    $sh = /\becho\b[^\n]{0,400}(>>|tee\s+-a)\s*["']?[^\n"']{0,40}\.ssh\/authorized_keys/
    $py = /\.ssh[\/"', ]{1,6}authorized_keys["']?\)?[^\n]{0,40}(["']a\+?b?["']|["']w["']|write|append)/
    $key = /\bssh-(rsa|ed25519)\s+AAAA[A-Za-z0-9+\/]{20,}[^\n]{0,200}authorized_keys/
    $py2 = /authorized_keys["'][\s\S]{0,160}\.(write|write_text|appendFileSync)\(/
    $js = /appendFile(Sync)?\([^\n]{0,80}authorized_keys/
  condition:
    any of them
}

rule authorized_keys_any {
  meta:
    id = "persistence.authorized-keys"
    severity = "medium"
    message = "adds a key that may log in"
  strings:
    $sh = /(>>|tee\s+-a)\s*["']?[^\n"']{0,40}\.ssh\/authorized_keys/
  condition:
    $sh
}

rule sudo_without_password {
  meta:
    id = "privilege.escalation"
    severity = "medium"
    message = "lets a command run as root without a password"
  strings:
    $a = /\bNOPASSWD\s*:\s*\//
    $b = /(>>?|tee)\s*(-a\s+)?["']?\/etc\/sudoers\.d\//
  condition:
    any of them
}

rule shell_rc_payload {
  meta:
    id = "persistence.shell-startup"
    severity = "high"
    message = "puts a command into a shell's startup file that runs at every login"
  strings:
    $a = /(echo|printf)\s+[^\n]{0,240}(curl|wget|nohup|base64|eval|nc\s|python3?\s|node\s|\/tmp\/|alias\s+(sudo|ssh|git|ls|cd|curl|openclaw|claude)=|function\s+(sudo|ssh|git)|PROMPT_COMMAND|LD_PRELOAD|trap\s)[^\n]{0,240}>>\s*["']?[^\n"']{0,30}(\.(bashrc|zshrc|profile|bash_profile|zprofile|zshenv|bash_login|config\/fish\/config\.fish)|\/etc\/profile)/
    $py = /["'~\/](\.bashrc|\.zshrc|\.profile|\.bash_profile|\.zprofile|\.zshenv|config\.fish)["'][\s\S]{0,800}(open\([^\n]{0,60}["']a\+?["']|\.write\(|write_text\(|appendFileSync\()/
    $heredoc = /(cat|tee)\s+(-a\s+)?(>>?\s*)?["']?[^\n"']{0,30}\.(bashrc|zshrc|profile|bash_profile|zshenv)["']?\s*(>>?\s*\S+\s*)?<<-?\s*["']?\w+/
    $_set = /\b\w*(RC|CONFIG|PROFILE|SHELL)\w*=[^\n]{0,60}\.(bashrc|zshrc|profile|bash_profile|zprofile)/i
    $_line = /\b(source|eval|alias|function|nohup|curl|python3?|trap)\b[^\n]{3,200}/
    $var = />>\s*["']?\$\{?\w*(RC|CONFIG|PROFILE|SHELL)\w*\}?["']?/i
  condition:
    $a or $py or $heredoc or ($_set and $_line and $var)
}

rule shell_rc {
  meta:
    id = "persistence.shell-startup"
    severity = "low"
    message = "adds a line to a shell's startup file"
  strings:
    $a = />>\s*["']?[^\n"']{0,30}(\.(bashrc|zshrc|profile|bash_profile|zprofile|zshenv)|\/etc\/profile(\.d)?)/
  condition:
    $a
}

rule cron_payload {
  meta:
    id = "persistence.schedule"
    severity = "high"
    message = "schedules a command that fetches, decodes or hides something"
  strings:
    $a = /(crontab|\/etc\/cron|cron\.d|schtasks)[^\n]{0,240}(curl|wget|base64|\/dev\/tcp|nc\s|\/tmp\/|\/dev\/shm|>\s*\/dev\/null\s+2>&1[^\n]{0,20}\|\s*crontab|powershell|-enc)/i
    $b = /(echo|printf)\s+["'][^\n"']{0,20}(\*|@reboot|@hourly|@daily|\d)\s[^\n]{0,240}(curl|wget|base64|\/tmp\/\.|\/dev\/tcp|nc\s)[^\n]{0,160}\|\s*crontab/
    $reboot = /@reboot\s+[^\n]{3,200}\|\s*crontab\s+-/
    $run = /\b(CurrentVersion\\{1,2}Run(Once)?|Start Menu\\{1,2}Programs\\{1,2}Startup|HKCU:?\\{1,2}Software\\{1,2}Microsoft\\{1,2}Windows\\{1,2}CurrentVersion\\{1,2}Run)\b/i
  condition:
    any of them
}

rule schedule {
  meta:
    id = "persistence.schedule"
    severity = "medium"
    message = "installs something that runs by itself from then on"
  strings:
    $cron = /(\|\s*crontab\s+-|crontab\s+-\s*<<|crontab\s+\/tmp\/|>\s*\/etc\/cron\.|tee\s+\/etc\/cron)/
    $py = /subprocess\.\w+\(\s*\[?\s*["']crontab["']\s*,\s*["']-["']/
    $launchd = /(>|write_text|writeFileSync|tee|cp|open\()[^\n]{0,120}Library\/Launch(Agents|Daemons)\//
    $systemd = /(>|write_text|writeFileSync|tee|cp|open\()[^\n]{0,120}(\/etc\/systemd\/system|\.config\/systemd\/user)\//
    $systemd2 = /["'\/](systemd["'\s\/,]{1,8}(user|system))["'][\s\S]{0,1500}\.(write|write_text)\(/
    $sch = /\bschtasks\b[^\n]{0,40}\/create\b/i
    $task = /\bRegister-ScheduledTask\b/
    $desktop = /\.config\/autostart\/[\w.-]+\.desktop/
    $rclocal = />>?\s*\/etc\/rc\.local/
  condition:
    any of them
}

rule python_startup {
  meta:
    id = "persistence.interpreter-startup"
    severity = "high"
    message = "hooks into every start of an interpreter or program"
  strings:
    $site = /["'\/](sitecustomize|usercustomize)\.py\b/
    $pth = /(site-packages|getsitepackages\(\)|getusersitepackages\(\)|get_python_lib)[^\n]{0,80}\.pth["']/
    $pre = /\/etc\/ld\.so\.preload|\b(LD_PRELOAD|DYLD_INSERT_LIBRARIES)=[^\s"']{1,80}\.(so|dylib)/
    $prompt = /\bPROMPT_COMMAND=["'][^\n]{0,120}(curl|wget|nc|eval|base64|history)/
    $bashenv = /export\s+(BASH_ENV|ENV|PYTHONSTARTUP|NODE_OPTIONS)=[^\n]{0,120}(\/tmp|require|\.js|\.py|\.sh)/
  condition:
    any of them
}

rule git_hooks {
  meta:
    id = "persistence.git-hook"
    severity = "medium"
    message = "installs a git hook or sets where git finds them"
  strings:
    $w = /(>|cp|tee|write_text|writeFileSync|open\(|ln\s+-sf?)\s*[^\n]{0,80}\.git\/hooks\/(pre|post|commit|prepare)-?\w+/
    $cfg = /git\s+config\s+--(global|system)\s+(core\.(hooksPath|sshCommand|fsmonitor|editor|pager)|init\.templateDir|credential\.helper|url\.)/
    $alias = /git\s+config\s+--global\s+alias\.\w+\s+["']!/
  condition:
    any of them
}

rule git_hook_payload {
  meta:
    id = "persistence.git-hook"
    severity = "high"
    message = "installs a git hook that calls out"
  strings:
    $w = /\.git\/hooks\/(pre|post|commit|prepare)-?\w+[\s\S]{0,300}\b(curl|wget|nc|requests|urlopen|base64)\b[^\n]{0,160}(https?:|\$|\d+\.\d+)/
    $cfg = /git\s+config\s+--(global|system)\s+(core\.(sshCommand|fsmonitor)|credential\.helper)\s+["'][^\n]{0,120}(curl|wget|nc\b|\/tmp\/|bash|sh\s+-c)/
    $remote = /git\s+(remote\s+(add|set-url)|push)\s+[^\n]{0,80}(https?:\/\/\d{1,3}\.\d{1,3}\.|https?:\/\/[^\s\/]{0,60}@)/
  condition:
    any of them
}

rule agent_files_write {
  meta:
    id = "persistence.agent-files"
    severity = "medium"
    message = "writes into the files that tell the agent who it is and what to do"
  strings:
    $sh = />>?\s*["']?[^\n"'|;]{0,60}\b(SOUL|IDENTITY|AGENTS|CLAUDE|HEARTBEAT|BOOTSTRAP|TOOLS|GEMINI)\.md\b/
    $py = /\b(SOUL|IDENTITY|AGENTS|CLAUDE|HEARTBEAT|BOOTSTRAP|GEMINI)\.md["'][\s\S]{0,160}(["']a\+?["']|["']w["']|\.write\(|write_text\(|writeFileSync|appendFileSync|appendFile\()/
    $js = /(appendFileSync|writeFileSync|appendFile|writeFile)\([^\n]{0,100}\b(SOUL|IDENTITY|AGENTS|CLAUDE|HEARTBEAT|BOOTSTRAP|MEMORY)\.md/
    $cursor = />>?\s*["']?[^\n"'|;]{0,40}(\.cursorrules|\.windsurfrules|copilot-instructions\.md|\.clinerules)\b/
  condition:
    any of them
}

rule agent_config_write {
  meta:
    id = "privilege.agent-config"
    severity = "high"
    message = "changes an agent's own configuration: its approvals, its sandbox, its tools or where its model is"
  strings:
    $oc = /(openclaw|clawdbot|moltbot)\s+config\s+set\s+[^\n]{0,80}(approval|sandbox|elevated|exec\.|tools\.(allow|exec|elevated)|security|dmPolicy|allowFrom|gateway\.(bind|auth))[^\n]{0,60}(off|false|none|never|full|allow|disabled|open|0\.0\.0\.0)\b/i
    $ocfile = /(openclaw|clawdbot|moltbot)\.json["']?[\s\S]{0,240}["']?(exec[\s\S]{0,30}(approvals?|security|ask)|sandbox|elevated|autoApprove|dmPolicy)["'\]]*\s*[=:][\s\S]{0,40}(off|false|none|never|full|true|\*)[\s\S]{0,240}(write|dump\()/i
    $appr = /exec-approvals\.json["']?[\s\S]{0,300}(\.write|dump\(|>>?\s|writeFile|tee\s|cp\s|sed\s+-i)/
    $claude = /\.claude["'\/,\s]{1,6}settings(\.local)?\.json["']?[\s\S]{0,800}(hooks|permissions|bypassPermissions|enableAllProjectMcpServers|ANTHROPIC_BASE_URL|apiKeyHelper|dangerously|allow["'])[\s\S]{0,600}(\.write|json\.dump|>>?\s|writeFile|write_text|tee\s|mv\s)/
    $claude2 = /(>>?|\btee|cat\s*>)\s*["']?[~$\w.\/\{\}-]{0,40}\.claude\/settings(\.local)?\.json/
    $url = /["']?(ANTHROPIC|OPENAI)_(API_)?BASE(_URL)?["']?\s*[:=]\s*["']?https?:\/\/(\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}|[^\s"'\/]*(evil|attacker|proxy|collect|intercept|mitm|capture|relay)[^\s"'\/]*)/i
    $mcp = /["']?enableAllProjectMcpServers["']?\s*[:=]\s*true/
    $bypass = /["']defaultMode["']\s*:\s*["']bypassPermissions["']/
  condition:
    any of them
}

rule claude_hooks_file {
  meta:
    id = "privilege.agent-config"
    severity = "high"
    message = "a settings file in the package makes the agent run commands by itself"
  strings:
    $hooks = /["'](PreToolUse|PostToolUse|SessionStart|UserPromptSubmit|Stop|Notification)["'][\s\S]{0,600}["']command["']\s*:\s*["'][^\n]{0,240}(curl|wget|base64|nc\s|https?:\/\/|\/dev\/tcp|python3?\s+-c|node\s+-e|bash\s+-c|~\/\.(ssh|aws|env))/
  condition:
    $hooks
}

rule approvals_off {
  meta:
    id = "privilege.approvals-off"
    severity = "medium"
    message = "starts an agent with its approvals or its sandbox off"
  strings:
    $a = /--dangerously-skip-permissions|--dangerously-bypass-approvals-and-sandbox|--dangerously-allow-all|--no-sandbox-approval/
    $b = /\b(codex|gemini|claude|qwen|opencode|openclaw)\b[^\n]{0,80}--(yolo|full-auto-approve|auto-approve-all)\b/
    $c = /--approval-mode[= ]?(yolo|never|none)\b/
  condition:
    any of them
}

rule sudoers {
  meta:
    id = "privilege.escalation"
    severity = "high"
    message = "gives itself or others more rights on the machine"
  strings:
    $sudoers = /(>>?|tee)\s*(-a\s+)?["']?\/etc\/sudoers["'\s]/
    $nopass = /\bALL\s*=\s*\(\s*ALL(\s*:\s*ALL)?\s*\)\s*NOPASSWD\s*:\s*ALL\b/
    $suid = /\bchmod\s+(-R\s+)?(u\+s|g\+s|\+s|[2467][0-7]{3})\s+\S/
    $setuid = /\bos\.set(e|re|res)?uid\(\s*0\b/
    $group = /\busermod\b[^\n]{0,40}-a?G\s*["']?[\w,]*(sudo|wheel|docker|root|admin)\b/
    $root777 = /\bchmod\s+(-R\s+)?0?777\s+["']?(\/(\s|$|etc|usr|var|home|root|opt|bin)|~|\$HOME)/
    $passwd = /(>>|tee\s+-a)\s*["']?\/etc\/(passwd|shadow)\b/
    $useradd = /\buseradd\b[^\n]{0,60}-(u|o)\s*0\b/
    $cap = /\bsetcap\s+cap_(setuid|sys_admin|dac_override|sys_ptrace)/
    $pwpipe = /echo\s+["']?[^\n|]{1,60}["']?\s*\|\s*sudo\s+-S\b/
  condition:
    any of them
}

rule container_rights {
  meta:
    id = "privilege.container-escape"
    severity = "medium"
    message = "runs a container with rights on the host"
  strings:
    $sock = /-v\s+["']?\/var\/run\/docker\.sock|\/var\/run\/docker\.sock:\/var\/run\/docker\.sock/
    $priv = /\bdocker\s+run\b[^\n]{0,200}(--privileged|--pid[= ]host)/
  condition:
    any of them
}

rule container_escape {
  meta:
    id = "privilege.container-escape"
    severity = "high"
    message = "reaches out of a container to the host"
  strings:
    $priv = /\bdocker\s+run\b[^\n]{0,200}(--privileged|--pid[= ]host)[^\n]{0,200}(-v\s+\/(home|root|etc|var)?:|source=\/,|chroot|nsenter|_(TOKEN|KEY|SECRET)\b)|\bdocker\s+run\b[^\n]{0,200}(-v\s+\/:\/|--mount\s+[^\n]{0,40}source=\/,)/
    $nsenter = /\bnsenter\b[^\n]{0,60}(-t|--target)\s*1\b/
    $chroot = /\bchroot\s+\/(host|mnt|hostfs)\b/
    $caps = /\bdocker\s+run\b[^\n]{0,300}(--cap-add[= ](SYS_ADMIN|ALL|SYS_PTRACE)|-v\s+\/(home|root|etc|var):|apparmor[:=]unconfined|seccomp[:=]unconfined|--net(work)?[= ]host[^\n]{0,100}--privileged)/
    $rel = /\/sys\/fs\/cgroup\/[^\n]{0,60}release_agent/
  condition:
    any of them
}

rule security_off {
  meta:
    id = "privilege.defences-off"
    severity = "high"
    message = "turns off a defence of the machine"
  strings:
    $a = /\b(setenforce\s+0|ufw\s+disable|iptables\s+-(F|P\s+INPUT\s+ACCEPT)\b|systemctl\s+(stop|disable)\s+(firewalld|ufw|auditd|apparmor|clamav\S*|falcon-sensor|crowdstrike|osqueryd|fail2ban|rsyslog))/
    $mac = /\b(spctl\s+--(master|global)-disable|csrutil\s+disable|socketfilterfw\s+[^\n]{0,20}--setglobalstate\s+off)\b/
    $win = /Set-MpPreference\s+[^\n]{0,40}-(DisableRealtimeMonitoring|ExclusionPath|DisableIOAVProtection)|Add-MpPreference\s+-ExclusionPath|netsh\s+advfirewall\s+set\s+\w+\s+state\s+off|amsiInitFailed|Stop-Service\s+[^\n]{0,20}(WinDefend|Sense)/i
    $logs = /\brm\s+-\w*r?\w*f?\w*\s+[^\n]{0,80}\/var\/log\/(\*|audit|auth|syslog|wtmp|btmp|lastlog|secure|\w+-?\d*\/\*)/
    $trace = /\b(unset\s+HISTFILE|export\s+HISTFILE=\/dev\/null|HISTSIZE=0|history\s+-c\b|rm\s+(-\w+\s+)?~?\/?\S*\.(bash|zsh)_history|truncate\s+-s\s*0\s+\/var\/log|>\s*\/var\/log\/(auth|syslog|messages|secure|wtmp)|shred\s+[^\n]{0,30}\/var\/log|wevtutil\s+cl|Clear-EventLog|journalctl\s+--vacuum-time=1s)/
  condition:
    any of them
}

rule traffic_redirected {
  meta:
    id = "network.traffic-redirect"
    severity = "high"
    message = "sends the machine's traffic through somebody else, or makes it trust somebody's certificates"
  strings:
    $ipt = /\biptables\b[^\n]{0,160}--dport\s+(80|443)\b[^\n]{0,80}-j\s+(REDIRECT|DNAT)/
    $ca = /\bsecurity\s+add-trusted-cert\b[^\n]{0,60}-d\b|certutil\s+[^\n]{0,20}-addstore\s+[^\n]{0,20}root|Import-Certificate[^\n]{0,120}Cert:\\LocalMachine\\Root/i
    $proxy = /\bnetworksetup\s+-set(secure)?webproxy\b|netsh\s+winhttp\s+set\s+proxy/
    $hosts = /(>>|tee\s+-a)\s*["']?\/etc\/hosts\b/
    $_named = /\b((api\.)?(github|openai|anthropic|google|paypal|stripe|npmjs|slack|microsoft|apple|aliyun|alipay|weixin)\.(com|org|cn))\b[^\n]{0,60}\/etc\/hosts/
  condition:
    $ipt or $ca or $proxy or ($hosts and $_named)
}

rule password_dialog {
  meta:
    id = "system.password-theft"
    severity = "critical"
    message = "asks for the machine's password in a window of its own, or tries passwords"
  strings:
    $osa = /display dialog[^\n]{0,240}(password|passcode)[^\n]{0,240}hidden answer|hidden answer[^\n]{0,200}(password|passcode)/i
    $dscl = /\bdscl\b[^\n]{0,40}-authonly\b/
    $val = /\bValidateCredentials\(/
    $zen = /\bzenity\s+--password\b[^\n]{0,160}(\||>|curl|nc)/
    $cred = /Get-Credential\b[^\n]{0,200}(GetNetworkCredential|Invoke-|http)/i
  condition:
    any of them
}

rule ignored_script {
  meta:
    id = "hidden.ignored-script"
    severity = "high"
    message = "writes a script and keeps it out of the repository's sight"
  strings:
    $sh = /(echo|printf)\s+[^\n]{0,60}\.(sh|py|js)["']?\s*>>\s*["']?[^\n]{0,40}\.gitignore/
    $_writes = /(cat|tee)\s*>?\s*["']?[\w.\/$\{\}-]{1,60}\.(sh|py|js)["']?\s*<<|chmod\s+\+x/
    $exclude = /(>>|tee\s+-a)\s*["']?[^\n]{0,40}\.git\/info\/exclude/
  condition:
    ($sh and $_writes) or $exclude
}

rule mcp_config_write {
  meta:
    id = "privilege.agent-config"
    severity = "medium"
    message = "writes which tool servers an agent talks to"
  strings:
    $sh = /(>|tee)\s*["']?[^\n"']{0,60}(\.cursor\/mcp\.json|claude_desktop_config\.json|\.claude\.json|mcp_config\.json|\.mcp\.json)/
    $py = /(\.cursor["'\/, ]{1,6}mcp\.json|claude_desktop_config\.json)["'][\s\S]{0,800}(json\.dump\(|write_text\(|writeFileSync\()/
  condition:
    any of them
}

rule quarantine_off {
  meta:
    id = "privilege.defences-off"
    severity = "medium"
    message = "takes the quarantine mark off a downloaded program"
  strings:
    $a = /\bxattr\s+(-\w+\s+)*(-d\s+com\.apple\.quarantine|-c[r]?\b|-rc\b)/
    $b = /\bUnblock-File\b|Set-ExecutionPolicy\s+(-\w+\s+)?(Unrestricted|Bypass)[^\n]{0,40}(LocalMachine|-Force)/i
  condition:
    any of them
}

rule tls_off {
  meta:
    id = "network.tls-off"
    severity = "low"
    message = "does not check whom it talks to over TLS"
  strings:
    $a = /\bverify\s*=\s*False\b|NODE_TLS_REJECT_UNAUTHORIZED\s*=?\s*["']?0|rejectUnauthorized\s*:\s*false|_create_unverified_context|\bcurl\s+[^\n]{0,60}(-k\b|--insecure\b)|--no-check-certificate/
  condition:
    $a
}

rule destruction {
  meta:
    id = "system.destruction"
    severity = "critical"
    message = "destroys files or disks outside of its own work"
  strings:
    $rm = /\brm\s+(-\w+\s+|--[\w-]+\s+)*-\w*[rR]\w*\s+(-\w+\s+|--[\w-]+\s+)*["']?(\/|\/\*|~\/?|~\/\*|\$HOME\/?|\$\{HOME\}\/?|\$HOME\/\*|\/(etc|usr|var|home|boot|bin|lib|root|Users)\/?\*?)["']?\s*($|[\n;&|#)`])/
    $rm2 = /--no-preserve-root/
    $dd = /\bdd\s+[^\n]{0,60}of=\/dev\/(sd|nvme|hd|disk|vd|xvd|mmcblk)/
    $dev = />\s*\/dev\/(sd[a-z]|nvme\d|disk\d|vd[a-z])\b/
    $mkfs = /\bmkfs(\.\w+)?\s+(-\w+\s+)*\/dev\/\w+/
    $wipe = /\bwipefs\s+-a\b|\bshred\s+[^\n]{0,40}(\/dev\/(sd|nvme)|~\/?(\s|$)|\$HOME\/?(\s|$))/
    $bomb = /:\(\)\s*\{\s*:\s*\|\s*:\s*&\s*\}\s*;\s*:/
    $py = /shutil\.rmtree\(\s*(os\.path\.expanduser\(\s*["']~\/?["']\s*\)|Path\.home\(\)|os\.environ\[["']HOME["']\]|["']\/["']|["']\/home)/
    $find = /\bfind\s+(\/|~|\$HOME|\/home)\s+[^\n]{0,80}(-delete\b|-exec\s+(rm|shred)\b)/
    $win = /\b(del|rd|rmdir)\s+(\/[fsq]\s+){2,}["']?(C:\\|%USERPROFILE%|%SystemRoot%)|Remove-Item\s+[^\n]{0,40}-Recurse[^\n]{0,40}(C:\\(\s|["']|$|Users|Windows)|["']?(\$env:USERPROFILE|\$HOME)["']?\s*($|[;&|\n]))|vssadmin\s+delete\s+shadows|\bformat\s+[cC]:\s*\/|bcdedit\s+\/set[^\n]{0,60}recoveryenabled\s+no|wbadmin\s+delete/i
    $walk = /(os\.walk|rglob|scandir)\(\s*(["']\/(home|Users|root)?\/?["']|os\.path\.expanduser\(\s*["']~\/?["']\s*\)|Path\.home\(\))[\s\S]{0,240}(os\.(remove|unlink)|\.unlink\(|rmtree)/
    $node = /(rmSync|rmdirSync|rimraf(\.sync)?|fs\.rm)\(\s*(os\.homedir\(\)|["']\/["']|process\.env\.HOME)\s*[,)]/
  condition:
    any of them
}

rule git_destruction {
  meta:
    id = "system.destroys-work"
    severity = "low"
    message = "throws away work: history or files that may not be saved elsewhere"
  strings:
    $a = /git\s+reset\s+--hard\s+HEAD~\d+|git\s+push\s+[^\n]{0,40}(--force|-f)\b|git\s+clean\s+-\w*[fdx]{2,}/
    $b = /\brm\s+-\w*r\w*f?\w*\s+["']?(\.\/)?(\*|\.\.)|\bchmod\s+(-R\s+)?0?777\s+\.?/
  condition:
    any of them
}

rule miner {
  meta:
    id = "system.mining"
    severity = "critical"
    message = "mines cryptocurrency on somebody else's machine"
  strings:
    $a = /stratum\+(tcp|ssl|udp):\/\//i
    $b = /\b(xmrig|minerd|cpuminer|cgminer|ethminer|nbminer|t-rex\s+-a|lolminer|phoenixminer|coinhive|cryptonight|randomx)\b[^\n]{0,120}(-o\s|--url|-u\s|--donate-level|pool|threads|-t\s|&|nohup|\.tar|download|start\()/i
    $c = /\b(pool\.(minexmr|supportxmr|hashvault|nanopool|monero)\.\w+|xmr\.\w+\.(com|org):\d+|gulf\.moneroocean\.stream|nicehash\.com:\d+)/i
    $d = /--donate-level(=|\s)/
  condition:
    any of them
}

rule resource_abuse {
  meta:
    id = "system.resource-abuse"
    severity = "medium"
    message = "floods a host, or fills memory, disk or processors without end"
  strings:
    $py = /for\s+\w+\s+in\s+range\(\s*\d{3,}\s*\)\s*:\s*\n?\s*[^\n]{0,60}(requests\.(get|post)|urlopen|session\.get|httpx\.get)\(/
    $wh = /while\s+True\s*:\s*\n\s*(requests\.(get|post)|urlopen|os\.fork\(\)|threading\.Thread|subprocess\.Popen|\w+\.append\(["'b]?\S{1,10}\s*\*\s*\d)/
    $sh = /while\s+(true|:)\s*;?\s*do\s+[^\n]{0,10}(curl|wget|ping|nc)\b[^\n]{0,160}&\s*(;|\n)?\s*done/
    $sh2 = /for\s+\w+\s+in\s+(\$\(seq\s+1\s+|\{1\.\.)\d{3,}\)?\}?\s*;?\s*do\s+[^\n]{0,20}(curl|wget|nc|ping)\b/
    $fork = /os\.fork\(\)\s*$|while\s+(True|1)\s*:\s*os\.fork\(\)/
    $yes = /\byes\s*>\s*\/dev\/null\s*&|dd\s+if=\/dev\/(zero|urandom)\s+of=[^\n]{1,60}(count=\d{5,}|bs=\d+G)/
    $dos = /\b(hping3\s+--flood|slowloris|ab\s+-n\s*\d{5,}|siege\s+-c\s*\d{3,})/
  condition:
    any of them
}
