// Commands: fetched and run, decoded and run, shells that call out.

rule download_and_run {
  meta:
    id = "shell.download-and-run"
    severity = "high"
    message = "runs what it fetches from the network"
  strings:
    $pipe = /\b(curl|wget|fetch|http|aria2c)\b[^\n|;]{3,300}\|\s*(sudo\s+(-\w+\s+)*|env\s+[\w=]+\s+|nohup\s+|exec\s+)*(\/(usr\/)?bin\/)?((ba|z|da|k|fi|a)?sh|osascript)\b/i
    $pipe2 = /\b(curl|wget|fetch|http|aria2c)\b[^\n|;]{3,300}\|\s*(sudo\s+(-\w+\s+)*|nohup\s+)*(\/(usr\/)?bin\/)?(python[23]?|node|perl|ruby|php|deno|bun)\s*(-\s*)?($|[\n;&|)"'`])/i
    $subst = /\b(ba|z|da|k)?sh\s+(-\w+\s+)*["']?(<\(|\$\(|`)\s*(curl|wget)\b[^\n]{3,200}/i
    $eval = /\b(eval|source|exec)\s+["']?(<\(|\$\(|`)\s*(curl|wget)\b[^\n]{3,200}/i
    $dot = /(^|[;&|\s])\.\s+<\(\s*(curl|wget)\b[^\n]{3,200}/i
    $interp = /\b(python[23]?|node|perl|ruby|php)\s+-\w*[ce]\w*\s+["']?(\$\(|`)\s*(curl|wget)\b[^\n]{3,200}/i
    $file = /\b(curl|wget)\b[^\n]{3,240}(&&|;)\s*(sudo\s+)?(chmod\s+[^\n;&]{1,60}(&&|;)\s*)?(sudo\s+|nohup\s+)?((ba|z|da)?sh|python[23]?|node|source|\.)\s+["']?[\w.\/$~{}-]{1,80}/i
    $chmod = /\b(curl|wget)\b[^\n]{3,240}[\n;&]+\s*(sudo\s+)?chmod\s+(\+x|[ua+]*\+x|0?7\d\d)\s+["']?[\w.\/$~{}-]{1,80}["']?\s*[\n;&]+\s*(sudo\s+|nohup\s+|exec\s+)?["']?(\.\/|\/tmp\/|\/var\/tmp\/|\/dev\/shm\/|\$|~)[\w.\/${}-]{1,80}/i
    $then = /\b(curl\s[^\n]{0,60}-\w*[oO]\w*\s|wget\s)[^\n]{3,240}[\n;&]+\s*(sudo\s+)?(ba|z|da)?sh\s+["']?[\w.\/~$\{\}-]{2,80}["']?\s*($|[\n;&`])/
    $clone = /\bgit\s+clone\s+(--\S+\s+)*["']?(http:\/\/|https:\/\/(\d{1,3}\.){3}\d{1,3})[^\n]{3,160}[\n;&]+[^\n]{0,60}[\n;&]*\s*(sudo\s+)?(python3?|(ba)?sh|node|npm|make|\.\/)\s*\S+/
  condition:
    any of them
}

rule download_and_run_powershell {
  meta:
    id = "shell.download-and-run"
    severity = "critical"
    message = "PowerShell or a Windows tool runs what it fetches"
  strings:
    $iex = /\b(iwr|irm|invoke-webrequest|invoke-restmethod|downloadstring|curl)\b[^\n]{0,240}\|\s*(iex|invoke-expression)\b/i
    $iex2 = /\b(iex|invoke-expression)\b[^\n]{0,80}(downloadstring|iwr\b|irm\b|invoke-webrequest|invoke-restmethod|net\.webclient)/i
    $mshta = /\b(mshta|regsvr32[^\n]{0,40}\/i:|rundll32[^\n]{0,60}javascript:)[^\n]{0,20}https?:\/\//i
    $certutil = /\bcertutil(\.exe)?\b[^\n]{0,60}-urlcache\b/i
    $dns = /\bnslookup\b[^\n]{0,20}-q(uery)?(type)?=txt\b[^\n]{0,200}(\|\s*(iex|invoke-expression|cmd|powershell)\b|cmd\s+\/c)/i
    $dig = /\bdig\b[^\n]{0,80}\btxt\b[^\n]{0,120}\|\s*(ba|z|da)?sh\b/i
    $bits = /\bbitsadmin\b[^\n]{0,40}\/transfer\b/i
    $file = /\b(iwr|invoke-webrequest|start-bitstransfer)\b[^\n]{0,200}-(outfile|o|destination)\s+\S+[^\n]{0,40}[\n;&|]+\s*(start-process|&|\.\\)\s*\S+/i
  condition:
    any of them
}

rule powershell_encoded {
  meta:
    id = "obfuscation.encoded-command"
    severity = "critical"
    message = "a PowerShell command that is encoded to hide it"
  strings:
    $a = /\bpowershell(\.exe)?\b[^\n]{0,120}\s-e(nc|ncodedcommand|c)?\s+["']?[A-Za-z0-9+\/=]{40,}/i
    $b = /\bpowershell(\.exe)?\b[^\n]{0,80}-w(indowstyle)?\s+hidden\b[^\n]{0,120}(-e(nc)?\b|iex|downloadstring|https?:)/i
  condition:
    any of them
}

rule decode_and_run {
  meta:
    id = "obfuscation.decode-and-run"
    severity = "critical"
    message = "decodes text and runs it as commands"
  strings:
    $pipe = /\bbase64\s+(-d|-D|--decode|-di|-i\s+-d)\b[^\n]{0,80}\|\s*(sudo\s+)?(\/(usr\/)?bin\/)?((ba|z|da|k)?sh|python[23]?|node|perl|ruby)\b/
    $openssl = /\bopenssl\s+(enc|base64)\b[^\n]{0,60}-d\b[^\n]{0,80}\|\s*(sudo\s+)?(ba|z|da|k)?sh\b/
    $xxd = /\b(xxd\s+-r|od\s+|rev|tr\s+['"]?[A-Za-z\[])[^\n]{0,80}\|\s*(sudo\s+)?(ba|z|da)?sh\b/
    $subst = /\b(eval|(ba|z|da)?sh\s+-c)\s+["']?(\$\(|`)[^\n]{0,240}\b(base64\s+(-d|-D|--decode)|xxd\s+-r|openssl\s+enc\s+-d)/
    $proc = /\b((ba|z|da)?sh|source|\.)\s+<\([^\n]{0,240}\b(base64\s+(-d|-D|--decode)|xxd\s+-r|gunzip|zcat)/
    $printf = /\b(printf|echo\s+-e)\s+["']?(\\x[0-9a-f]{2}|\\[0-7]{3}){6,}[^\n]{0,80}\|\s*(ba|z|da)?sh\b/i
  condition:
    any of them
}

rule reverse_shell {
  meta:
    id = "shell.reverse"
    severity = "critical"
    message = "opens a shell to another host"
  strings:
    $devtcp = /(\/bin\/)?(ba|z|k)?sh\s+-i\s*[^\n]{0,20}(\/dev\/(tcp|udp)\/|&>|>&)/
    $devtcp2 = /\bexec\s+\d+<>\s*\/dev\/tcp\/[\s\S]{0,200}(while\s+read|(ba)?sh\s+[^\n]{0,12}<&)/
    $devtcp3 = /\b(cat|tar|base64|env|printenv|zip|gzip)\b[^\n]{0,120}>\s*&?\s*\/dev\/(tcp|udp)\/[\w.$\{\}-]{3,}\/[\d$]\w*/
    $nc = /\b(nc|ncat|netcat)\b[^\n|]{0,80}\s(-e|-c|--exec|--sh-exec)\s+["']?(\/bin\/|cmd|powershell|(ba|z)?sh\b)/
    $mkfifo = /\bmkfifo\b[^\n]{0,120}[\n;&|][^\n]{0,200}\b(nc|ncat|netcat|openssl\s+s_client|telnet)\b/
    $socat = /\bsocat\b[^\n]{0,120}\bexec:["']?(\/bin\/|(ba)?sh|cmd|powershell)/i
    $py = /socket\.socket\([\s\S]{0,600}(dup2\([\s\S]{0,300}|pty\.spawn\(|subprocess\.(call|run|Popen|check_output)\(\s*\[?\s*["'](\/bin\/(ba)?sh|cmd\.exe|powershell))/
    $pty = /\bpty\.spawn\(\s*\[?["'](\/bin\/)?(ba|z)?sh["']/
    $perl = /\bperl\b[^\n]{0,80}\bsocket\b[^\n]{0,300}\bexec\b/i
    $php = /\bfsockopen\([^\n]{0,200}(exec|shell_exec|proc_open|passthru)\(/i
    $ruby = /TCPSocket\.(new|open)\([\s\S]{0,200}(exec|IO\.popen|spawn)\b/
    $node = /net\.(connect|createConnection|Socket)\b[\s\S]{0,500}\.pipe\(\s*\w+\.stdin\)/
    $node2 = /spawn\(\s*["'](\/bin\/(ba|z)?sh|cmd\.exe|powershell(\.exe)?|sh|bash)["'][\s\S]{0,400}\.stdout\.pipe\(\s*\w+\s*\)/
    $ps = /Net\.Sockets\.TCPClient\([\s\S]{0,600}(iex|Invoke-Expression)\b/i
    $listen = /\b(nc|ncat|netcat)\s+-\w*l[^\n|]{0,60}\|\s*(\/(usr\/)?bin\/)?(ba|z|da)?sh\b/
    $telnet = /\btelnet\s+\S+\s+\d+\s*\|\s*(\/bin\/)?(ba)?sh\b/
    $recv = /\.recv\(\s*\d+\s*\)[\s\S]{0,200}(subprocess\.(run|Popen|call|check_output|getoutput)|os\.(popen|system)|\bexec)\(/
  condition:
    any of them
}

rule dns_exfiltration {
  meta:
    id = "exfiltration.dns"
    severity = "high"
    message = "puts data into names that it looks up, which carries them out"
  strings:
    $cmd = /\b(nslookup|dig)\b[^\n`]{0,60}["']?(\$\(|\$\{?\w+\}?\.)[^\n`]{0,120}\.[a-z][\w-]*\.?[a-z]{2,}/
    $py = /(gethostbyname|getaddrinfo|resolver\.(resolve|query)|dns\.resolve\w*)\(\s*f?["']\{?[^"'\n]{0,60}\{?\w*(data|enc|b64|hex|chunk|payload|secret|token|key|label|part|piece)\w*\}?[^"'\n]{0,40}\.[a-z]/i
    $py2 = /\b(gethostbyname|getaddrinfo|resolve|query)\(\s*\w*(data|enc|b64|hex|chunk|payload|secret|label|part)\w*\s*\+\s*["']\./i
  condition:
    any of them
}

rule run_dialog {
  meta:
    id = "lure.run-dialog"
    severity = "high"
    message = "has the reader run a command in a dialog of the system"
  strings:
    $a = /(win\s*\+\s*r|windows key\s*\+\s*r|run dialog)\b[\s\S]{0,400}(powershell|cmd\s+\/c|mshta|nslookup|curl|iex)\b/i
  condition:
    $a
}

rule pasted_script {
  meta:
    id = "shell.download-and-run"
    severity = "high"
    message = "fetches code from a paste or file drop"
  strings:
    $a = /\b(curl|wget|iwr|irm|requests\.get|urlopen|fetch|axios)\b[^\n]{0,80}https?:\/\/(www\.)?(pastebin\.com\/raw|rentry\.(co|org)\/[\w-]+\/raw|glot\.io|hastebin\.com\/raw|paste\.ee\/r|controlc\.com|termbin\.com|ix\.io|dpaste\.\w+)/i
  condition:
    $a
}

rule hidden_run {
  meta:
    id = "shell.detached"
    severity = "medium"
    message = "runs a program in the background and drops what it says"
  strings:
    $a = /\bnohup\b[^\n]{0,160}>\s*\/dev\/null[^\n]{0,20}&\s*($|\n|disown|["'])/
    $b = /\(\s*(curl|wget|python3?|bash|sh)\b[^\n]{3,200}>\s*\/dev\/null\s+2>&1\s*&\s*\)/
    $c = /subprocess\.Popen\([^\n]{0,200}start_new_session\s*=\s*True[^\n]{0,120}DEVNULL/
    $d = /\bsetsid\b[^\n]{0,160}>\s*\/dev\/null/
  condition:
    any of them
}

rule shell_quoting {
  meta:
    id = "obfuscation.shell-quoting"
    severity = "high"
    message = "spells a command so that a reader does not see it"
  strings:
    $ifs = /\b(curl|wget|cat|bash|sh|nc|rm)(\$IFS|\$\{IFS\})/
    $empty = /\b(c|w|b|n|r|e)(""|'')(u|g|a|c|m|v)(""|'')?\w{0,4}(""|'')?\w{0,4}\s+(-|http|["'$])/
    $ansi = /\$'(\\x[0-9a-fA-F]{2}|\\[0-7]{3}){4,}'/
    $slice = /\$\{\w+:\d+:1\}\$\{\w+:\d+:1\}\$\{\w+:\d+:1\}/
    $arr = /\b(\w)=\w+;\s*(\w)=\w+;\s*(\w)=\w+;\s*\$\w\$\w\$\w/
    $glob = /\/(b\?n|\?in|us\?|et\?|e\?c)\/[\w?*]{2,}/
  condition:
    any of them
}
