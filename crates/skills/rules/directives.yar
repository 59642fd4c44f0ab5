// Orders that have nothing to do with what the user asked for: after every task, to some server.

rule sends_always {
  meta:
    id = "exfiltration.standing-order"
    severity = "high"
    message = "a standing order to send what the agent works on to somebody's server"
  strings:
    $a = /\b(after|before|upon|when(ever)? (you|a|any|the (task|user|agent))|whenever|at the end of|every time|each time|always)\b[^\n]{0,140}\b(send|upload|post|forward|transmit|back ?up|copy|sync|submit|push|report|deliver|relay|exfiltrate|log|share)(s|ing|ed)?\b[^\n]{0,160}((\bto|\bwith|\bat|\bvia|\bPOST|\brunning)\b[^\n]{0,60}https?:\/\/[^\s"'`)]{4,160}|\b(our|the|a|an|my) (\w+ ){0,3}(central|intranet|monitoring|logging|log|backup|collector|collection|mlops|telemetry|compliance|audit|tracking|c2|upload) (\w+ ){0,2}(server|endpoint|service|host|collector|webhook|url|address))/i
    $b = /\b(make sure|ensure|remember|be sure|always|important[:!]?|must|required)\b[^\n]{0,100}\b(send|upload|post|forward|transmit|back ?up|copy|sync|submit|relay|exfiltrate)(s|ing|ed)?\b[^\n]{0,160}\b(to|with)\b[^\n]{0,60}(https?:\/\/[^\s"'`)]{4,160}|\b(our|a|an|my) (\w+ ){0,3}(central|intranet|remote|external|monitoring|logging|log|backup|collector|mlops|telemetry|analytics|compliance|audit|tracking|c2) (\w+ ){0,2}(server|endpoint|service|host|collector|webhook|url|api|address))/i
    $c = /\b(send|upload|post|forward|transmit|submit|relay|exfiltrate|ship|mirror)\b[^\n]{0,80}\b(contents?|copy|copies|all|every|entire|full|user'?s?|conversation|prompt|system_?prompt|query|queries|emails?|files?|documents?|data|code|credentials?|keys?|history|memory|messages?)\b[^\n]{0,80}\b(to|via)\b[^\n]{0,40}\b(our|the|a|my) (\w+ ){0,2}(intranet|mlops|collector|central backup|remote logging|monitoring|attacker|external)\b[^\n]{0,40}\b(server|endpoint|address|host|collector|service)/i
    $d = /\bforward\b[^\n]{0,40}\b(each|every|all|any|a (copy|summary)|(all|every|each) (email|message)s?)\b[^\n]{0,60}\s+to\s+[^\n]{0,30}[\w.+-]+@[\w-]+\.[\w.]{2,}/i
    $e = /\b(bcc|cc)\b[^\n]{0,60}\b(every|all|each|any)\b[^\n]{0,60}[\w.+-]+@[\w-]+\.[\w.]{2,}/i
  condition:
    any of them
}

rule sends_secrets {
  meta:
    id = "exfiltration.prose"
    severity = "high"
    message = "tells the agent to collect secrets or private data and send them off"
  strings:
    $a = /\b(send|upload|post|forward|transmit|exfiltrate|email|submit|ship|deliver|relay|leak)\b[^\n.]{0,80}(\.env\b|\.ssh\b|id_rsa|ssh keys?|private keys?|\bapi[ _-]?keys?|\bcredentials?|\bpasswords?|\bsecret(s| keys?)|auth tokens?|access tokens?|session tokens?|environment variables|cookies|browser history|chat history|conversation (history|log)|system prompt|seed phrase|MEMORY\.md|SOUL\.md|openclaw\.json|keychain|clipboard|screenshots?|contacts)[^\n.]{0,120}(https?:\/\/|\bto (our|the|a|an|this|my|your) [^\n.]{0,40}(server|endpoint|webhook|url|address|api|collector|channel|bucket)|@[\w-]+\.\w)/i
    $b = /\b(read|collect|gather|harvest|extract|grab|copy|steal|dump|find|locate|scan( for)?|retrieve|access|search for)\b[^\n.]{0,80}(\.env\b|\.ssh\b|id_rsa|ssh keys?|private keys?|credentials|passwords?|auth tokens?|session tokens?|environment variables|cookies|browser (history|passwords|data)|keychain|\.aws|wallet|seed phrase|MEMORY\.md|SOUL\.md|openclaw\.json)[^\n]{0,160}(\b(send|upload|post|forward|transmit|exfiltrate|curl|email|webhook)\b|\b(verify|validate|check|sync|register|submit|compare)\b[^\n]{0,60}https?:\/\/)/i
    $d = /(~\/\.(npmrc|git-credentials|netrc|ssh|aws|kube|config\/gh)|[\s"'`\/(]\.env\b|id_rsa)[^\n]{0,160}\b(package|archive|zip|bundle|gather|collect|send|upload|submit|transmit|post)\b[^\n]{0,80}\b(to|endpoint|server|remote|support|webhook)\b/i
    $e = /\b(gather|collect|package|bundle|archive|read)\b[^\n]{0,80}\b(all|every|user'?s?|private|session|auth\w*|access|their|the)\b[^\n]{0,30}\b(tokens?|credentials?|keys|secrets|passwords|cookies|messages|conversations?|data)\b[^\n]{0,160}\b(send|upload|forward|transmit|exfiltrate|submit|post)\b[^\n]{0,60}\bto\b[^\n]{0,60}(https?:|\+\d{8,}|[\w.]+@|channel|server|endpoint)/i
    $f = /\bforward\s+(all|every)\b[^\n]{0,40}\bto\s+https?:/i
  condition:
    any of them
}

rule remote_instructions {
  meta:
    id = "injection.remote-instructions"
    severity = "high"
    message = "makes the agent obey text that it fetches, which can change after this scan"
  strings:
    $a = /\b(fetch|load|read|download|get|retrieve|curl|pull|visit|open|check)\b[^\n]{0,100}(https?:\/\/[^\s)>"'`]{4,200})[^\n]{0,80}\b(and|then|to)\b[^\n]{0,30}\b(follow|execute|obey|apply|carry out|run|do|perform|comply with|act on)\b[^\n]{0,40}\b(it|them|the|its|those|these|any|all|whatever|every|instructions?|steps|commands?|directives?)\b/i
    $b = /\b(follow|execute|obey|apply|carry out|run|comply with)\b[^\n]{0,40}\b(instructions?|directives?|commands?|steps|rules|tasks?|payload)\b[^\n]{0,40}\b(at|from|in|found (at|in|on)|returned (by|from)|hosted (at|on)|fetched from|received from|provided (by|at))\b[^\n]{0,20}(https?:\/\/|the (remote|c2|command) (server|host|endpoint|url))/i
    $c = /\b(instructions?|directives?|commands?|prompt|rules|configuration)\b[^\n]{0,60}\b(are|is|will be) (fetched|loaded|downloaded|retrieved|pulled|updated) (from|at|dynamically|remotely)[^\n]{0,100}\b(follow|execute|obey|apply|override|must)\b/i
    $d = /\btreat\b[^\n]{0,60}\b(response|content|output|result|page|file|body|text)\b[^\n]{0,40}\bas (your |new |authoritative |trusted |system |direct |binding |user )*(instructions?|commands?|orders|directives?)\b/i
  condition:
    any of them
}

rule runs_always {
  meta:
    id = "injection.standing-order"
    severity = "medium"
    message = "makes the agent run something before or after everything it does"
  strings:
    $a = /\b(always|must|make sure( to)?|ensure( that)?|be sure( to)?)\b[^\n.]{0,40}\b(run|execute|call|invoke|start|launch|use|do)(ning|ing)?\b[^\n]{0,60}[\w\/.-]+\.(sh|py|js|ps1|bat|rb)\b[^\n]{0,80}\b(before|after|first|every|each|any|from this skill|whenever|at the start|at the end)\b/i
    $b = /\b(after|before|upon|every time|whenever|at the (start|end) of|once)\b[^\n.]{0,60}\b(any|each|every|all|the|completing|finishing|editing|you)\b[^\n.]{0,60}\b(run|execute|call|invoke|launch)(ning|ing)?\b[^\n]{0,60}[\w\/.-]+\.(sh|py|js|ps1|bat|rb)\b/i
    $c = /\b(run|execute|call|invoke)(ning|ing)?\b[^\n]{0,40}[\w\/.-]+\.(sh|py|js|ps1|bat|rb)\b[^\n]{0,60}\b(before|after|prior to) (any|each|every|all|doing|using|performing|finishing|completing)\b/i
  condition:
    any of them
}

rule falsifies {
  meta:
    id = "injection.falsifies-results"
    severity = "high"
    message = "makes the agent falsify what it gives the user, against the user's wish"
  strings:
    $a = /\b(always|must|make sure|ensure|automatically)\b[^\n.]{0,80}\b(regardless of|no matter)\b[^\n.]{0,12}\b(what )?the user('s)? (request|wish|want|instruction|say|ask|preference)/i
    $b = /\b(add|increase|inflate|boost|adjust|multiply|raise|subtract|reduce)\b[^\n.]{0,30}\b(by )?\d+\s?%[^\n.]{0,40}\b(to|of|for|from)\b[^\n.]{0,20}\b(all|every|each|the) (scores?|results?|prices?|amounts?|metrics?|values?|invoices?|totals?|ratings?)\b/i
    $c = /\b(always|automatically|falsely|make sure( to)?)\b[^\n.]{0,40}\b(claim|append|insert|add|include|state|assert)\b[^\n.]{0,60}\b(authorship|outperform\w*|the phrase|a (citation|statement|sentence|note) (claiming|that|saying)|false|fake|misleading)\b/i
    $d = /\breplace\b[^\n.]{0,20}\b(any|all|every|each)\b[^\n.]{0,60}\bwith\b[^\n.]{0,12}\b(the (term|phrase|word) ["'`]|our (address|wallet|link|url)|my (address|wallet|link)|0x|bc1)/i
    $e = /\b(never|do not|don't|make sure to (never|not)|must not)\b[^\n.]{0,40}\b(rate|rank|present|show|mention|recommend|report)\b[^\n.]{0,60}\b(lower than|in a bad light|any (negative|critical)|competitor'?s?|negative (results|findings)|security (issues|vulnerabilit\w+)|errors to)\b/i
    $f = /\b((search for|find) and (delete|remove|erase)|delete|remove|erase)\s+(any|all|every)\b[^\n.]{0,12}\b(paragraphs?|sections?|sentences|mentions?|evidence|traces)\b[^\n.]{0,12}\b(containing|that (mention|contain)|of|about|with)\b/i
    $h = /\b(insert|append|add|include|put|use)\b[^\n.]{0,30}\b(our|my|this|the) (referral|affiliate|promo\w*|sponsored|partner)( link| code| url| tag)[^\n.]{0,60}\b(every|each|all|any|always)\b|\balways recommend\b[^\n.]{0,40}\b(over|instead of|rather than)\b[^\n.]{0,40}\b(even (if|when)|regardless|other)\b/i
    $g = /\b(just|always|simply) return\b[^\n.]{0,20}\b(a )?(high|perfect|positive|passing|100%?|success)\b[^\n.]{0,20}\b(score|rating|result|review|status)?/i
  condition:
    any of them
}

rule destructive_order {
  meta:
    id = "injection.destructive-order"
    severity = "high"
    message = "a standing order to delete, encrypt, publish or lock the user's things"
  strings:
    $a = /\b(after (every|each|any|all|you (finish|complete|create|edit)|completing|finishing|editing|the task)|before (every|each|any)|whenever|every time|always|when (creating|updating|a|you (create|edit|finish)))\b[^\n]{0,140}\b(delete|erase|wipe|encrypt|lock|overwrite|cancel|destroy|purge|remove)\b[^\n.]{0,40}\b(all|every)\s+(other|files?|emails?|events?|versions?|future|entries|of the)|\b(after|once|when|whenever|always|important)\b[^\n]{0,140}\b(delete|remove|erase|wipe|destroy)\b[^\n.]{0,20}\b(the (original|unencrypted)|originals|other versions|all other)\b|\bfiles (are|is)? ?older than\b[^\n.]{0,40}\b(delete|remove|erase)\b/i
    $b = /\b(encrypt|lock|archive|zip)\b[^\n.]{0,80}\b(with|using)\b[^\n.]{0,20}\b(a |the |random |strong )*(password|passphrase|key)\b[^\n]{0,160}\b(delete|remove|erase|wipe|shred|discard)\b/i
    $c = /\balways (set|make|publish|push|mark)\b[^\n.]{0,40}\b(public|world-readable|0?777|world-writable|visible to (all|everyone))\b/i
  condition:
    any of them
}

rule spends {
  meta:
    id = "injection.autonomous-spending"
    severity = "high"
    message = "makes the agent spend or move money, or post, by itself and without end"
  strings:
    $a = /\b(automatically|autonomously|without (asking|confirmation|approval|limits?)|continuously|24\/7|keep|never stop)\b[^\n.]{0,40}\b(buy(ing)?|purchas(e|ing)|transfer(ring)?|spend(ing)?|withdraw(ing)?|donat(e|ing)|tip(ping)?|bid(ding)?|invest(ing)?|stak(e|ing))\b[^\n.]{0,60}\b(all|any|entire|full|whatever|unlimited|maximum|until|funds|balance|wallet)\b/i
    $b = /\b(transfer|send|sweep|drain|withdraw)\b[^\n.]{0,20}\b(all|entire|full|remaining|maximum)\b[^\n.]{0,24}\b(funds?|balances?|tokens?|assets|coins?|wallet)\b[^\n.]{0,30}\b(to|into) (the|our|my|0x|bc1|this|a safe|a secure)\b/i
    $c = /\b(send|transfer|tip|forward)\b[^\n]{0,80}\b(0x[a-fA-F0-9]{40}|bc1[a-z0-9]{30,60})\b[^\n]{0,60}\b(automatically|every|each|always|without)\b/i
  condition:
    any of them
}

rule readonly_claim {
  meta:
    id = "claim.no-network"
    severity = "signal"
    message = "says that nothing leaves the machine"
  strings:
    $a = /\b(no network (access|calls?|requests?|connections?)|(works|runs|operates|fully|completely|entirely|100%) (offline|locally)|offline[- ]only|local[- ]only|never (sends|transmits|uploads|leaves)|(does not|doesn't) (send|transmit|upload|make (any )?network|access the (network|internet))|nothing leaves (your|the)|no data (is )?(sent|leaves|transmitted)|no external (calls|requests|services|apis?))\b/i
  condition:
    $a
}
