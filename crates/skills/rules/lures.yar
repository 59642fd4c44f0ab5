// What a text talks the user or the agent into installing.

rule archive_password {
  meta:
    id = "lure.archive-password"
    severity = "critical"
    message = "a download behind a password, which keeps scanners out of it"
  strings:
    $a = /(download|releases\/|https?:\/\/)[^\n]{0,260}\.?(zip|rar|7z|archive|package|from here|this link)?[^\n]{0,160}\b(extract|unzip|unpack|archive|unarchive|decompress|open it)\b[^\n]{0,80}\b(pass(word|code|phrase)?|pwd)\b\s*[:=]?\s*(is\s+|with\s+)?["'`*(]{0,3}[\w@#!-]{2,30}/i
    $b = /\b(unzip|7z\s+x|7za\s+x|unrar\s+x)\s+[^\n]{0,60}\s-(P\s?|p)["']?[\w@#!-]{3,30}["']?/
    $c = /\bpass(word)?\s*[:=]\s*["'`]{0,2}(openclaw|clawd(bot|hub)?|clawhub|infected|moltbot|1234(56?)?|agent)["'`]{0,2}\b[^\n]{0,160}(run|install|execut|extract|\.exe|\.zip)/i
    $g = /https?:\/\/[^\s)"'>]{4,240}\.(zip|rar|7z)\b[\s\S]{0,120}\b(archive|zip|extraction|unzip|extract|unpack|rar)?\s?(pass(word|code|phrase)?|pwd)\b["'`*:\s]{1,12}(is\s+)?["'`*]{1,3}[\w@#!-]{2,30}["'`*]/i
    $d = /\.(zip|rar|7z)\b[^\n]{0,120}(解压|压缩包|提取)[^\n]{0,60}(密码|口令)/
    $e = /(下载|安装包)[^\n]{0,260}(解压|提取|解压缩)[^\n]{0,80}(密码|口令|pass)/
    $f = /(解压|提取|解压缩)[^\n]{0,60}(密码|口令|pass(word)?)[^\n]{0,12}(:|：|为|是)?\s*([`"'(]|“|（){0,3}\w{3,30}/
  condition:
    any of them
}

rule paste_into_terminal {
  meta:
    id = "lure.paste-into-terminal"
    severity = "critical"
    message = "sends the reader to a page for a command to paste into a terminal"
  strings:
    $a = /(visit|go to|open|from|see)\b[^\n]{0,60}https?:\/\/(www\.)?(glot\.io|pastebin\.com|rentry\.(co|org)|hastebin\.\w+|gist\.github\.com|telegra\.ph|paste\.ee|controlc\.com|justpaste\.it|dpaste\.\w+)[^\n]{0,160}(cop(y|ies)|execut|run|paste)[^\n]{0,80}(command|terminal|script|code|it)/i
    $b = /(访问|打开|前往)[^\n]{0,60}https?:\/\/(www\.)?(glot\.io|pastebin\.com|rentry\.(co|org)|hastebin\.\w+|telegra\.ph|paste\.ee)[^\n]{0,200}(复制|粘贴|执行|运行)/
    $_pipe = /\|\s*(ba|z)?sh\b/
    $_b64 = /base64/
    $c = /(cop(y|ies)|paste)\b[^\n]{0,60}(command|script|code)[^\n]{0,300}\b(into|in|to)\s+(your\s+|the\s+|a\s+)?(terminal|powershell|command prompt|cmd|run dialog|win\+r)\b[^\n]{0,60}(execut|run|press|enter|before)/i
  condition:
    $a or $b
      or (for any i in (1..#c) : ($_b64 in (@c[i]-600..@c[i]+900) or $_pipe in (@c[i]-600..@c[i]+900)))
}

rule fake_prerequisite {
  meta:
    id = "lure.fake-prerequisite"
    severity = "high"
    message = "insists on a helper program from a place of its own before the skill works"
  strings:
    $a = /\b(requires?|must (be )?install(ed)?|needs?)\b[^\n]{0,80}\b(utility|helper|driver|agent|core|provider|cli|runtime|component|codec)\b[^\n]{0,120}\n?[\s\S]{0,400}(https?:\/\/[^\s)]{4,200}\.(zip|exe|msi|dmg|pkg|rar|7z|scr|bat|ps1)|glot\.io|rentry\.co|pastebin)/i
    $_need = /(will not|won't|cannot|does not|doesn't)\s+(work|function|operate|run)[^\n]{0,60}(without|until|unless)|without\s+\S{3,40}\s+(installed|running)[^\n]{0,60}(will not|won't|cannot)|to function (properly|correctly)|(before|prior to) (using|proceeding|running|continuing)/i
  condition:
    $a and $_need
}

rule run_executable {
  meta:
    id = "lure.run-executable"
    severity = "medium"
    message = "tells the reader to download and run a program"
  strings:
    $a = /\bdownload\b[^\n]{0,200}https?:\/\/[^\s)]{4,200}\.(exe|msi|scr|bat|ps1|dmg|pkg)\b[^\n]{0,160}\b(run|execute|launch|open|double-click|install)\b/i
  condition:
    $a
}
