// Source code: what is decoded, fetched or read from strangers and then run.

rule exec_decoded {
  meta:
    id = "obfuscation.decode-and-run"
    severity = "critical"
    message = "decodes text and runs it as code"
  strings:
    $py = /\b(exec|eval|compile|__import__\(["']builtins["']\)\.exec)\s*\(\s*[\s\S]{0,80}(b64decode|b32decode|b85decode|a85decode|unhexlify|bytes\.fromhex|zlib\.decompress|gzip\.decompress|lzma\.decompress|bz2\.decompress|marshal\.loads|codecs\.decode|rot13|urlsafe_b64decode)\b/
    $os = /\b(os\.system|os\.popen|subprocess\.\w+|execSync|exec|spawnSync|shell_exec)\s*\(\s*[\s\S]{0,60}(b64decode|unhexlify|bytes\.fromhex|atob\(|Buffer\.from\([^)\n]{1,200},\s*["'](base64|hex)["']|base64_decode|codecs\.decode)/
    $js = /\b(eval|Function|setTimeout|setInterval|vm\.runIn\w+|runInThisContext)\s*\(\s*[\s\S]{0,80}(atob\s*\(|Buffer\.from\([^)\n]{1,400},\s*["'](base64|hex)["']|String\.fromCharCode\s*\(|unescape\s*\(|decodeURIComponent\s*\()/
    $php = /\beval\s*\(\s*(base64_decode|gzinflate|str_rot13|gzuncompress)\s*\(/i
    $ruby = /\beval\s*\(?\s*(Base64\.(strict_)?decode64|\[[^\]\n]{0,200}\]\.pack)/
    $marshal = /\bexec\s*\(\s*marshal\.loads\b/
  condition:
    any of them
}

rule exec_decoded_indirect {
  meta:
    id = "obfuscation.decode-and-run"
    severity = "high"
    message = "decodes a long literal and runs something dynamic nearby"
  strings:
    $decode = /(\w+)\s*=\s*[^\n]{0,40}(b64decode|b85decode|unhexlify|bytes\.fromhex|zlib\.decompress|marshal\.loads|atob\(|Buffer\.from\([^)\n]{1,400},\s*["'](base64|hex)["'])[^\n]{0,300}\n[\s\S]{0,400}\b(exec|eval|os\.system|os\.popen|subprocess\.(run|call|Popen|check_output)|new Function|execSync|child_process)\s*\(/
    $req = /(\w+)\s*=\s*(Buffer\.from\([^)\n]{1,200},\s*["'](base64|hex)["']|atob\()[^\n]{0,80}[\n;][\s\S]{0,120}\brequire\(\s*[a-zA-Z_]\w*\s*\)/
  condition:
    any of them
}

rule exec_fetched {
  meta:
    id = "shell.download-and-run"
    severity = "critical"
    message = "runs code that it fetches from the network"
  strings:
    $py = /\b(exec|eval|compile)\s*\(\s*[\s\S]{0,60}(requests\.(get|post)|urlopen|httpx\.(get|post)|urllib\.request|http\.client)\b/
    $py2 = /(\w+)\s*=\s*(requests\.get|urllib\.request\.urlopen|urlopen|httpx\.get)\([^\n]{1,200}\n[\s\S]{0,300}\b(exec|eval)\s*\(\s*(compile\()?\s*\w+(\.text|\.content|\.read\(\)|\b)/
    $sub = /(requests\.get|urlopen|httpx\.get|urlretrieve)\([\s\S]{0,600}(subprocess\.(run|call|Popen|check_output|check_call)|os\.(system|popen|exec\w+))\(\s*\[?\s*(["'](\/bin\/)?(ba|z)?sh["']|["']python3?["']|sys\.executable)/
    $sys = /\b(os\.system|os\.popen|subprocess\.\w+|execSync|exec|spawn)\s*\(\s*f?\[?["'`][^\n]{0,40}\b(curl|wget)\b[^\n]{0,240}\|\s*(sudo\s+)?(ba|z|da)?sh\b/
    $js = /\b(eval|new Function|vm\.runIn\w+)\s*\(\s*(await\s+)?[\s\S]{0,40}(fetch\(|axios\.|https?\.get|\.text\(\))/
    $js2 = /(fetch|https?\.get|axios(\.get)?)\([\s\S]{0,500}\b(eval|new Function|vm\.runIn\w+)\s*\(\s*(data|body|code|text|res|response|script|src|payload|chunk)/
    $imp = /\bimport\(\s*["'`]https?:\/\/[^"'`\n]{4,200}["'`]\s*\)/
  condition:
    any of them
}

rule exec_temporary {
  meta:
    id = "shell.download-and-run"
    severity = "high"
    message = "runs code from a temporary or hidden file that is not part of the package"
  strings:
    $a = /\b(exec|eval)\s*\(\s*(compile\s*\(\s*)?open\(\s*["'](\/tmp\/|\/var\/tmp\/|\/dev\/shm\/|~?\/?\.)[^\n]{1,80}\.read\(\)/
    $b = /(os\.system|subprocess\.\w+)\(\s*\[?f?["']((ba)?sh|python3?|source|\.)?["']?,?\s*["']?(\/tmp\/\.|\/dev\/shm\/|\/var\/tmp\/\.)[\w.-]{1,60}/
    $c = /(^|[;&|\n]\s*)(nohup\s+)?((ba)?sh\s+|\.\s+|source\s+)?(\/tmp\/\.|\/dev\/shm\/|\/var\/tmp\/\.)[\w.-]{1,60}/
  condition:
    any of them
}

rule remote_commands {
  meta:
    id = "shell.remote-commands"
    severity = "critical"
    message = "runs whatever commands a server hands to it"
  strings:
    $py = /(requests\.(get|post)|urlopen|httpx\.(get|post)|\.recv|session\.get)\([\s\S]{0,400}(subprocess\.(run|Popen|call|check_output|getoutput)|os\.(system|popen))\(\s*(\w+(\[["']\w+["']\]|\.text|\.get\(|\.json\(\)|\.decode\(|\.strip\(\))|(remote_)?cmd\b|payload\b|task\b|command_from_server)/
    $js = /(fetch|https?\.get|axios)\b[\s\S]{0,400}\b(exec|execSync|spawn)\(\s*(\w+\.(cmd|command|data|task|text|stdout)|body|data|cmd|payload)\b/
    $sh = /(while|until)\s+[^\n]{1,40};?\s*do[\s\S]{0,300}\b(eval|(ba)?sh\s+-c)\s+["']?\$\(\s*curl\b/
  condition:
    any of them
}

rule shellcode {
  meta:
    id = "code.machine-code"
    severity = "critical"
    message = "runs machine code from memory"
  strings:
    $py = /(create_string_buffer|from_buffer|VirtualAlloc|mmap\.mmap)\([\s\S]{0,500}(CFUNCTYPE|WINFUNCTYPE|CreateThread|RtlMoveMemory|PROT_EXEC)/
    $inj = /\b(WriteProcessMemory|CreateRemoteThread|NtCreateThreadEx|process_vm_writev|memfd_create)\b/
  condition:
    any of them
}

rule chmod_fetched {
  meta:
    id = "shell.download-and-run"
    severity = "high"
    message = "writes what it fetches to a file, makes it executable or runs it"
  strings:
    $py = /(requests\.get|urlopen|urlretrieve|httpx\.get)\([\s\S]{0,800}os\.chmod\([^\n]{0,80}(0o?7\d\d|S_IEXEC|S_IXUSR|S_IRWXU)[\s\S]{0,400}(subprocess|os\.system|os\.exec|Popen)/
    $js = /(fetch|https?\.get|axios)\b[\s\S]{0,800}chmodSync\([\s\S]{0,300}(exec|spawn)\w*\(/
    $py2 = /urlretrieve\([\s\S]{0,300}(subprocess|os\.system|os\.exec|os\.startfile|Popen)\b/
  condition:
    any of them
}

rule char_codes {
  meta:
    id = "obfuscation.char-codes"
    severity = "high"
    message = "builds a command out of character codes"
  strings:
    $chr = /(chr\(\s*(0x)?[0-9a-fA-F]{2,3}\s*\)\s*[+,]\s*){6,}/
    $join = /["']{2}\.join\(\s*(map\(\s*chr\s*,|\[?\s*chr\()[^\n]{0,40}(\[\s*)?(\d{2,3}\s*,\s*){8,}/
    $join2 = /["']{2}\.join\(\s*(\[\s*)?chr\(\s*\w+\s*(\^|-|\+)\s*\w+\s*\)\s*for\b/
    $from = /String\.fromCharCode\(\s*((0x)?[0-9a-fA-F]{2,3}\s*,\s*){8,}/
    $bytes = /\bbytes\(\s*\[\s*((0x)?[0-9a-fA-F]{2,3}\s*,\s*){16,}[^\n]{0,800}\]\s*\)\.decode/
    $xor = /\^\s*(0x)?[0-9a-fA-F]{1,3}\s*\)?\s*for\s+\w+\s+in\b[^\n]{0,80}\)\s*(\.decode\(\))?[\s\S]{0,80}\b(exec|eval|os\.system|subprocess)/
  condition:
    any of them
}

rule dynamic_names {
  meta:
    id = "obfuscation.dynamic-names"
    severity = "high"
    message = "reaches a dangerous function by a name that it builds"
  strings:
    $getattr = /getattr\(\s*(__import__\(|os\b|subprocess\b|builtins\b|__builtins__\b|sys\.modules)[^\n]{0,40},\s*(["']\w{0,8}["']\s*\+|["'][a-z]+["']\[::-1\]|chr\(|\w+\[::-1\]|["']{2}\.join)/
    $any = /getattr\(\s*\w+\s*,\s*["']\w{1,8}["']\s*\+\s*["']\w{1,8}["']\s*\)\s*\(/
    $mod = /import_module\(\s*["']\w{1,8}["']\s*\+/
    $imp = /__import__\(\s*(["']\w{1,6}["']\s*\+\s*["']|["'][a-z]+["']\[::-1\]|chr\(|["']{2}\.join|base64|codecs|bytes)/
    $imp2 = /__import__\(\s*["'](os|subprocess|pty|socket)["']\s*\)\s*\.\s*(system|popen|run|Popen|call|spawn|exec\w*|socket)\b/
    $glob = /(globals|locals|vars)\(\)\[\s*(["']\w{1,8}["']\s*\+|["'][\w_]+["']\[::-1\]|chr\(|["']__builtins__["'])/
    $js = /\b(global|globalThis|window|this|process)\[\s*["']\w{1,8}["']\s*\+\s*["']\w{1,8}["']/
    $req = /\brequire\(\s*(["']\w{1,8}["']\s*\+\s*["']\w{1,10}["']|\[[^\]\n]{1,80}\]\.join|atob\(|Buffer\.from|String\.fromCharCode)/
    $rev = /["'][\w\s|\/.:-]{6,}["']\[::-1\][\s\S]{0,120}\b(exec|eval|os\.system|subprocess|popen)/
    $rev2 = /\b(exec|eval|os\.system|os\.popen|subprocess\.\w+)\(\s*["'][^"'\n]{6,}["']\[::-1\]/
    $rev3 = /["'][^"'\n]{6,}["']\.split\(\s*["']{2}\s*\)\.reverse\(\)\.join/
    $hexjs = /\b_0x[0-9a-f]{4,6}\b[\s\S]{0,200}\b_0x[0-9a-f]{4,6}\b[\s\S]{0,200}\b_0x[0-9a-f]{4,6}\b/
    $concat = /\b(exec|eval|os\.system|os\.popen|execSync|subprocess\.\w+)\(\s*(["'][\w \/|.:-]{1,8}["']\s*\+\s*){2,}/
  condition:
    any of them
}

rule lambda_nest {
  meta:
    id = "obfuscation.nested-exec"
    severity = "high"
    message = "code that runs code through nested lambdas or a one-line decoder"
  strings:
    $a = /\(lambda\s+_{0,2}\w*\s*:\s*[^\n]{0,80}(exec|eval|__import__)\b/
    $b = /_\s*=\s*lambda\s+__\s*:/
    $c = /exec\(\(_\)\(b?["']/
  condition:
    any of them
}

rule unsafe_deserialization {
  meta:
    id = "code.unsafe-deserialization"
    severity = "high"
    message = "loads objects that can run code from data it does not control"
  strings:
    $pickle = /\b(pickle|cPickle|dill|cloudpickle|marshal|joblib)\.loads?\(\s*[\s\S]{0,60}(requests\.|urlopen|\.content|recv\(|b64decode|httpx\.)/
    $tag = /!!python\/(object\/(apply|new)|name|module):/
    $reduce = /def\s+__reduce(_ex)?__\s*\([\s\S]{0,160}(os\.system|subprocess|exec|eval|popen)/
    $node = /(node-serialize|serialize-javascript)[\s\S]{0,200}unserialize\(/
    $js = /_\$\$ND_FUNC\$\$_/
  condition:
    any of them
}

rule yaml_load {
  meta:
    id = "code.unsafe-deserialization"
    severity = "low"
    message = "reads YAML or pickles with a loader that can run code"
  strings:
    $a = /\byaml\.(unsafe_load|full_load)\(/
    $b = /\byaml\.load\(\s*[^\n)]{1,80}Loader\s*=\s*yaml\.(Unsafe)?Loader\b/
    $c = /\b(pickle|dill|cloudpickle)\.loads?\(/
  condition:
    any of them
}

rule eval_input {
  meta:
    id = "code.runs-input"
    severity = "medium"
    message = "runs what somebody passes to it as code"
  strings:
    $py = /\b(eval|exec)\(\s*(sys\.argv|input\(|args\.\w+|request\.\w+|params\b|user_input|query|expression|expr|code|cmd|command|formula)\b/
    $sh = /\beval\s+["']?\$(1|2|@|\*|\{?(USER_?INPUT|INPUT|CMD|COMMAND|1)\}?)/
    $os = /\b(os\.system|os\.popen)\(\s*(sys\.argv|args\.\w+|user_input|cmd|command|query|request\.\w+)\b/
    $shell = /subprocess\.\w+\(\s*f["'][^\n]{0,200}\{[^\n]{0,200}shell\s*=\s*True/
    $js = /\beval\(\s*(process\.argv|req\.(body|query|params)|input|userInput|expr|expression|code)\b/
  condition:
    any of them
}

rule time_bomb {
  meta:
    id = "code.conditional-payload"
    severity = "high"
    message = "does something only on a date, host, user or secret word, in code that runs commands or calls out"
  strings:
    $date = /(datetime\.(now|today|utcnow)\([^)\n]{0,40}\)|date\.today\(\)|time\.time\(\)|Date\.now\(\)|new Date\(\))[^\n]{0,60}(>|>=|<|==)\s*(datetime|date)?(\.datetime)?\(?\s*["'(]?(20\d\d|1[5-9]\d{8})[\s\S]{0,400}\b(exec|eval|os\.system|subprocess|popen|child_process|execSync|requests\.(get|post)|urlopen|fetch\(|rmtree|unlink)\b/
    $sh = /\[\s*["']?\$\(date\s+\+%[sYmdjH][^)\n]{0,20}\)["']?\s+(-gt|-ge|==|=|-eq)\s*["']?\d[\s\S]{0,300}\b(curl|wget|bash|sh|eval|nc|rm\s+-rf|python3?)\b/
    $ci = /(os\.environ(\.get)?|os\.getenv|process\.env)[^\n]{0,12}["'.]?(CI|GITHUB_ACTIONS|SANDBOX|ANALYSIS|JENKINS|VIRUSTOTAL)\b[^\n]{0,60}[\s\S]{0,200}\b(return|exit|else)\b[\s\S]{0,400}\b(exec|eval|os\.system|subprocess|execSync)\(/
    $_vm = /(VBOX|VMWARE|VirtualBox|QEMU|wireshark|sandboxie|ptrace|TracerPid|isdebuggerpresent|IsDebuggerPresent|vboxservice|vmtoolsd)/
    $_run = /\b(exec|eval|os\.system|subprocess|popen|execSync|curl|requests|urlopen)\b/
    $magic = /if\s+["'][A-Za-z][\w -]{5,40}["']\s+in\s+(prompt|message|user_input|query|text|content|request|input_text|msg|command|data)[^\n]{0,40}:\s*\n[\s\S]{0,200}\b(exec|eval|os\.system|subprocess|popen|__import__)\b/
    $count = /(run_count|invocation|counter|uses?|calls?|n_runs|launches)\w*\s*(>|>=|==|%)\s*\d+[^\n]{0,20}:\s*\n[\s\S]{0,200}\b(exec|eval|os\.system|subprocess|popen|requests\.post|urlopen)\b/
  condition:
    $date or $sh or $ci or $magic or $count or (#_vm >= 3 and $_run)
}

rule ransomware {
  meta:
    id = "system.ransomware"
    severity = "critical"
    message = "encrypts a user's files and removes the originals"
  strings:
    $_walk = /\b(os\.walk|rglob\(|glob\.glob\(|find\s+["']?(\$HOME|~|\/home|\/)|readdirSync|Get-ChildItem)/
    $_enc = /\b(Fernet\(|AES\.new\(|AESGCM\(|ChaCha20|Cipher\(|createCipheriv|openssl\s+enc\s+-aes|gpg\s+[^\n]{0,60}(-c|--symmetric)|7z\s+a\s+-p|zip\s+[^\n]{0,40}(-P|-e|--password))/
    $rm = /\b(os\.remove|os\.unlink|\.unlink\(|unlinkSync|shred\s+-|rm\s+-r?f|Remove-Item)/
    $_note = /(ransom|your files (have been|are|were) encrypted|decrypt(ion)? key|pay\s+[\d.]+\s*(btc|bitcoin|xmr|monero)|README_?(DECRYPT|RESTORE)|\.(locked|encrypted|enc|crypt|crypted)["'])/i
  condition:
    $_walk and $_enc and $rm and $_note
}

rule keylogger {
  meta:
    id = "system.spyware"
    severity = "high"
    message = "records keys, the screen, the camera or the microphone"
  strings:
    $keys = /\b(pynput\.keyboard|keyboard\.(Listener|on_press|hook|record)|GetAsyncKeyState|SetWindowsHookEx|IOHIDManager|CGEventTapCreate|evdev\.InputDevice|pyxhook|iohook|node-global-key-listener)\b/
    $_keep = /(open\(|write|append|requests|urlopen|post\(|send|log)/
  condition:
    $keys and $_keep
}

rule embedded_key_exfil_js {
  meta:
    id = "exfiltration.beacon"
    severity = "medium"
    message = "sends something out by an image or a beacon"
  strings:
    $img = /new Image\(\)\.src\s*=\s*["'`]https?:[^\n]{0,120}(\+|\$\{)/
    $md = /!\[[^\]\n]{0,40}\]\(https?:\/\/[^)\n]{4,120}[?&]\w+=(\{|\$\{|<|%7B|\[|\{\{)[^)\n]{1,80}\)/
    $beacon = /navigator\.sendBeacon\(\s*["'`]https?:/
  condition:
    any of them
}
