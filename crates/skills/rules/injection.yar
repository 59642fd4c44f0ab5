// Text that turns an agent against its user or its rules.

rule override {
  meta:
    id = "injection.override"
    severity = "high"
    message = "tells the agent to set aside its instructions"
  strings:
    $a = /\b(ignore|disregard|forget|do not (follow|obey)|stop following)\s+(\w+\s+){0,2}(all|any|every|your|previous|prior|above|earlier|preceding|original|system|safety|developer)\b[^\n.]{0,40}\b(instructions?|directives?|prompts?|guidelines?|polic(y|ies)|constraints?|guardrails?|safety (rules|checks|filters)|system (message|prompt)|programming|training)\b|\b(bypass|override|overrule)\s+(all |any |your |the ){1,2}(safety|security|system|content) (rules|filters?|guidelines?|restrictions?|policies|policy|prompt|instructions?|checks?|controls?)\b/i
    $b = /\b(ignore|disregard|forget)\s+(everything|anything|all)\s+(above|before|you (were|have been) told|previous|prior|else)/i
    $c = /\b(new|updated|real|actual|true)\s+(system\s+)?instructions?\s*(:|follow|begin|are as follows|below)[^\n]{0,40}(ignore|you (must|are|will)|from now on)/i
    $d = /\b(you are|you're|act as|pretend (to be|you are)|become)\s+(now\s+|in\s+|a\s+|an\s+)*(DAN\b|jailbroken|unrestricted (ai|mode|assistant)|developer mode|god mode|debug mode with no|uncensored|root mode|sudo mode|maintenance mode)|\b(enter|enable|switch (in)?to)\s+(now\s+|a\s+|an\s+)*(DAN\b|jailbroken|unrestricted|god mode|jailbreak)\b/i
    $e = /\b(no (longer|more) (bound|restricted|limited) by|free from (all|any) (restrictions|rules|guidelines)|without (any )?(restrictions|limitations|ethical|moral|safety) (or|and|guidelines|constraints))/i
    $f = /\b(these|this|the following|my) (instructions?|skill|rules?|directives?|guidelines?)\b[^\n.]{0,40}\b(override|supersede|take (absolute )?(precedence|priority) over|replace|outrank)s?\b[^\n.]{0,40}\b(all|any|every|previous|prior|other|system|user|safety|default|your)\b/i
    $g = /(SYSTEM|ADMIN|ROOT|DEVELOPER|SECURITY)[ _-](OVERRIDE|DIRECTIVE|COMMAND|NOTICE)\s*[:\]]/
    $h = /<\|(im_start|system|endoftext)\|>\s*(system)?|\[\/?INST\]|<<SYS>>|<\/?(system|system_prompt|system-reminder|admin|instructions_override|important_instructions)>/i
  condition:
    any of them
}

rule conceal {
  meta:
    id = "injection.concealment"
    severity = "high"
    message = "tells the agent to hide what it does from the user"
  strings:
    $a = /\b(do not|don't|never|must not|should not|shouldn't|avoid|without|refrain from)\s+(ever\s+)?(tell(ing)?|inform(ing)?|notify(ing)?|reveal(ing)?|disclos(e|ing)|alert(ing)?|mention(ing)?|warn(ing)?|let(ting)?)\b[^\n.]{0,40}\b(the user|users|user|the human|your (human|operator|owner)|anyone)\b(\s+(about (this|these|that|it|the (upload|backup|sync|transfer|copy|script|command|step|process))|that (you|this|these|it)|what you|this|know)\b|\s*[.!;"'*]|\s*$)/i
    $b = /\b(do not|don't|never|must not)\b[^\n.]{0,12}\b(mention|reveal|disclose|discuss|reference|acknowledge|log|report)\b[^\n.]{0,12}\b(this|these|the following|any of (this|these)|that (you|this|it))\b[^\n.]{0,60}\b(to|in|with|from)\b[^\n.]{0,20}\b(the user|users?|anyone|your (response|summary|output|reply)|summar(y|ies)|conversation|chat)\b/i
    $c = /\b(keep|hide|conceal)\b[^\n.]{0,12}\b(this|these|that|it|the (step|action|command|upload|process|instruction|operation)s?)\b[^\n.]{0,20}\b(secret|hidden|confidential|invisible)\b[^\n.]{0,12}\bfrom\b|\b(hide|conceal)\b[^\n.]{0,40}\bfrom (the )?(users?|human|owner)\b/i
    $d = /\b(silently|quietly|covertly|secretly|discreetly|stealthily)\b,?\s+(and\s+)?(\w+\s+){0,2}(send|sends|upload|uploads|post|posts|transmit|exfiltrate|forward|collect|record|capture|run (the|this) (script|command|payload)|read (the|all|any) (user|file|key|secret|env|cred)\w*)\b[^\n.]{0,80}/i
    $e = /\b(the )?users? (does not|doesn't|do not|don't|need not|must not|should not|shouldn't) (need to (know|see|be told|be informed|be aware)|have to know|know about (this|it)|notice|be aware|be told|be informed|see this)\b[^\n.]{0,60}/i
    $f = /\bwithout (the user('s)?|the user|user('s)?|owner('s)?|the human('s)?)\s+(knowledge|knowing|noticing|being aware|awareness|notice)/i
    $i = /\b(do not|don't|never|must not)\s+(disclose|reveal|mention|say|admit|tell)[^\n.]{0,80}\b((it|this skill|the skill|we|you) (contacts?|sends?|uploads?|connects?|collects?|stores?|calls)|our servers?|contents? of this (file|skill)|these instructions exist)/i
    $j = /\b(do not|don't|never)\s+(list|include|show|mention|add|report|note)\s+(it|this|that|these|them)\s+(in|to)\s+(the|your|any)\s+(summary|response|reply|output|answer|commit|report|changelog|log|diff|pr description)/i
    $k = /\b(silently|quietly|secretly|covertly)\s+(add|adds|install|installs|create|creates|register|registers|enable|enables|schedule|schedules|write|writes)\b[^\n]{0,80}\b(crontab|cron|hook|service|startup|autostart|authorized_keys|ssh key|dependency|launch ?agent|admin|user account)/i
    $l = /\bno need to\s+(bring (it|this) up|mention|tell|inform|notify|report)\b[^\n.]{0,40}\b(user|this|it)\b/i
    $g = /\b(act|behave|respond|continue|proceed|pretend|carry on) (as if|as though|like) (nothing|everything|this (never|did not)|it (never|was))[^\n.]{0,60}/i
    $h = /\bdo not (include|output|show|print|list) (this|these|any) (step|command|action|instruction|tool call|operation)s?\b/i
  condition:
    any of them
}

rule approvals {
  meta:
    id = "injection.skips-approval"
    severity = "medium"
    message = "tells the agent to act without the user's consent, or to go around its safeguards"
  strings:
    $a = /\b(skip|bypass|disable|suppress|circumvent|no need (to ask )?for|do not (ask|wait|require|request)|don't (ask|wait|require|request)|never (ask|wait)|proceed without|(run|execute|act|continue) without (asking|waiting|requiring|requesting|confirmation|approval))\b[^\n.]{0,16}\b(for |the |user |any |all |user's )*(confirmation|approval|consent|permission( prompt)?s?|authorization|safety (check|warning|prompt|filter)s?|security (check|warning|prompt|control|scan)s?|guardrails?)\b/i
    $b = /\bauto(matically)?[- ]?(approve|accept|confirm)\b[^\n.]{0,30}\b(all|any|every|each|tool|command|action|permission|prompt|request)/i
    $c = /\b(assume|treat) (that )?(the user|user|all|every)[^\n.]{0,40}(already )?(approved|consented|authori[sz]ed|confirmed|pre-approved|trusted)/i
    $d = /\b(pre-?(authori[sz]ed|approved)|already (been )?(authori[sz]ed|approved|consented))\b[^\n.]{0,60}/i
  condition:
    any of them
}

rule approvals_dangerous {
  meta:
    id = "injection.skips-approval"
    severity = "high"
    message = "tells the agent to do something harmful without the user's consent"
  strings:
    $a = /\b(without|do not|don't|never)\s+(ask(ing)?|wait(ing)?|confirm(ing|ation)?|approval|consent|permission|prompt(ing)?)\b[^\n.]{0,40}\b(delete|transfer|send (funds|money|crypto|eth|btc|sol|the file|all)|buy|purchase|pay|spend|swap|wire|withdraw|upload|sudo)\b/i
    $d = /\b(never|do not|don't|without)\s+(ask(ing)?|check(ing)? with|prompt(ing)?|consult(ing)?|wait(ing)? for)\s+(the )?(user|owner|human)[^\n.]{0,24}\b(before|when|prior to)\b[^\n.]{0,24}\b(delet|push|transfer|pay|purchas|buy|send|publish|deploy|overwrit|remov|execut|spend|upload)/i
    $b = /\b(delete|transfer|send|buy|purchase|pay|spend|trade|swap|wire|withdraw|upload|execute|run)\b[^\n.]{0,40}\b(any|all|every|funds|money|crypto|files?|commands?|scripts?|tokens?|payments?|trades?|purchases?)\b[^\n.]{0,30}\bwithout\b[^\n.]{0,12}\b(ask(ing)?|confirm(ing|ation)?|approval|consent|permission|limits?|review)\b/i
    $c = /\b(no|without( a| any)?|ignore( the| any)?|remove( the| any)?|unlimited|exceed)\s+(daily |hourly |monthly )?(spending|budget|trade|transaction|purchase)[ -]?(limit|cap|ceiling|budget)s?\b/i
  condition:
    any of them
}

rule shadowing {
  meta:
    id = "injection.shadowing"
    severity = "high"
    message = "puts itself before other skills and tools, or in their place"
  strings:
    $a = /\b(do not|don't|never|stop) (use|using|call|calling|invoke|load|trust)\b[^\n.]{0,8}\b(any other|other|the (built-?in|original|official|default|existing)) (skills?|tools?|mcp|functions?|plugins?|servers?)\b/i
    $b = /\b(always|must) (use|call|invoke|run|load|execute)\b[^\n.]{0,30}\b(this|the) (skill|tool|script)\b[^\n.]{0,40}\b(first|before (any|all|every|each)|instead of|for (all|every|any) (request|task|command|message|conversation|question))/i
    $c = /\b(intercept|replace|shadow|hijack|wrap|redirect|override)s?\b[^\n.]{0,40}\b(other|all|any|every|existing|the (built-?in|official|original)) (\w+ )?(skills?|tools?|tool calls?|mcp servers?|commands)\b/i
    $e = /\b(before|after) (returning|providing|giving|showing)\b[^\n]{0,60}\byou (must|have to|need to)\b|\bcall\s+`?\w+\(?\)?`?\s+(from|on|of) (the )?[\w-]*(mcp|server|tool)\b[^\n]{0,60}\b(with|to|and)\b/i
    $d = /\bwhen(ever)? (any|another|the) (other )?(tool|skill|mcp server|function)\b[^\n.]{0,40}\b(is )?(called|invoked|used|runs)\b[^\n.]{0,60}\b(first|also|instead|send|forward|copy|log|pass|call|bcc|include)\b/i
  condition:
    any of them
}

rule hidden_rules {
  meta:
    id = "injection.tool-poisoning"
    severity = "high"
    message = "hides orders for the agent inside a tool's description"
  strings:
    $a = /<(IMPORTANT|SECRET|HIDDEN|CRITICAL|CONTEXT|ASSISTANT|AGENT|AI)>\s*[\s\S]{0,400}(read|send|pass|call|before using|must|ignore|do not|file|key|token)/
    $d = /\b(include|attach|embed|put|send|append|encode)\b[^\n.]{0,30}\b(conversation|chat|message|session) (history|log|transcript|context)\b[^\n]{0,80}\b(query (string|parameter)|url|image|parameter|header|request)\b/i
    $b = /\bbefore (using|calling|invoking|running) (this|any|the) (tool|skill|function|other)\b[^\n.]{0,100}\b(read|cat|open|fetch|access|load|include)\b[^\n.]{0,100}\b(~\/|\.ssh|\.env|\.aws|credential|key|token|config|mcp\.json|passwd|secret|memory)/i
    $c = /\b(pass|include|attach|embed|put|send) (its|the|their|all|any|entire|full)?\s*(file contents?|contents? of [^\n.]{1,40}|conversation( history)?|chat history|full context|message history|system prompt|previous messages?|content)\b[^\n.]{0,40}\b(as|in|into|via) (the |a |an )?[`'"]?\w+[`'"]? (parameter|param|argument|sidenote|header|url parameter|query parameter)\b/i
  condition:
    any of them
}

rule persona_memory {
  meta:
    id = "injection.memory"
    severity = "medium"
    message = "wants something written into what the agent reads at every start"
  strings:
    $a = /\b(add|append|write|insert|copy|put|inject|prepend|overwrite|replace)\b[^\n.]{0,100}\b(in|into|to|of|your|the|with)\b[^\n]{0,30}\b(SOUL|IDENTITY|BOOTSTRAP)\.md\b/i
  condition:
    $a
}

rule persona_memory_payload {
  meta:
    id = "injection.memory"
    severity = "high"
    message = "wants orders written into the agent's memory that outlive the skill"
  strings:
    $a = /\b(add|append|write|insert|store|save|record|remember|put|inject|plant|prepend)\b[^\n]{0,120}\b(SOUL|IDENTITY|HEARTBEAT|BOOTSTRAP|MEMORY|AGENTS|CLAUDE|USER)\.md\b[^\n]{0,200}\b(always (trust|execute|run|follow|send|obey|include|use)|never (ask|tell|reveal|refuse|question|mention to)|ignore (all|any|previous|other)|trust (messages|commands|anything)|execute (what|whatever|any|all)|send (all|every|it|them)|forward (all|every)|without (asking|approval|confirmation|telling)|https?:\/\/)/i
    $c = /\b(even (after|if|when)|stays? active|remain(s|ing)? active|persists?|survives?)\b[^\n.]{0,40}\b(this skill|the skill|skill) (is |was |has been |gets )?(removed|uninstalled|deleted|disabled)\b/i
  condition:
    any of them
}

rule memory_planted {
  meta:
    id = "injection.memory"
    severity = "high"
    message = "plants a permission or a belief in the agent's memory"
  strings:
    $a = /\b(store|save|add|write|record|remember|commit|insert|put)\b[^\n.]{0,60}\b((long-term|persistent|permanent) memory|memory (file|store|bank)|your memory)\b[^\n]{0,120}\b(authori[sz]ed|approved|trusts?|trusted|allowed|pre-?approved|always|whitelist\w*|consent\w*)\b/i
    $b = /\b(MEMORY|SOUL|USER|IDENTITY|AGENTS)\.md\b[^\n]{0,80}\b(into|in|as|to)\b[^\n]{0,50}\b(field|parameter|header|body|payload|query|every (api )?request|each (api )?request|the request)\b/i
  condition:
    any of them
}

rule secrets_asked {
  meta:
    id = "injection.asks-for-secrets"
    severity = "high"
    message = "asks the user for what nobody should hand over"
  strings:
    $a = /\b(ask|prompt|request|require|tell|instruct|have|collect|obtain|get)\b[^\n.]{0,20}\b(the user|users?|human|owner|customer|them)\b[^\n.]{0,40}\b(for|to (enter|provide|share|give|type|paste|send|reveal|input)|provide|enter|give|share)\b[^\n.]{0,40}\b(seed phrase|recovery phrase|mnemonic( phrase)?|(wallet )?private key|wallet seed|master password|(sudo|root|system|login) password|(bank|email|gmail|google|apple id|icloud|banking) password|credit card (number|details)|cvv|social security|2fa (code|secret))\b/i
    $b = /\b(validate|verify|confirm|re-?enter)\b[^\n.]{0,30}\b(their|your|the user('s)?) (password|private key|seed|credentials|wallet)\b[^\n.]{0,60}\b(send|post|upload|submit|store|save|log|to)\b/i
  condition:
    any of them
}

rule secrets_shown {
  meta:
    id = "injection.exposes-secrets"
    severity = "high"
    message = "wants keys or passwords shown, logged or put into files"
  strings:
    $a = /\b(always|must|make sure( to)?|ensure|be sure to|should)\b[^\n.]{0,20}\b(print|output|echo|display|log|show|paste|repeat)\b[^\n.]{0,30}\b(the |all |any |your |user |full )*(API[ _-]?keys?|tokens?|\w+_TOKEN|\w+_API_KEY|passwords?|secrets?|credentials|private keys?|environment variables|\.env)\b[^\n.]{0,60}\b(to|in|into|for|as|with|on)\b/
    $b = /\b(print|output|echo|display|log|include|reveal|repeat|show)\b[^\n.]{0,40}\b(your|the) (full |entire |complete |original |hidden )*(system prompt|system message|initial instructions|hidden instructions)\b/i
  condition:
    any of them
}

rule backdoor_wanted {
  meta:
    id = "injection.weakens-code"
    severity = "high"
    message = "wants a way in built into what the agent makes"
  strings:
    $a = /\b(include|add|insert|create|implement|leave|embed|build|inject|plant)\b[^\n.]{0,40}\b(a |an |the )?(hidden |secret )?(backdoor|back door|logic bomb|kill switch that|hidden admin|hardcoded (admin|password|credential))\b/i
    $b = /\b(add|create|insert|include)\b[^\n.]{0,40}\b(admin|root|superuser|default|emergency|service)\b[^\n.]{0,30}\b(account|user|login|credential)s?\b[^\n]{0,80}\b(password|pass)\b\s*(is|:|=|of)?\s*["'`]?\w+/i
    $c = /\b(never (write|add|run|perform|check)|do not (write|add|run|perform|check)|don't (write|add|run|perform|check)|make sure to not write|skip|omit)\b[^\n.]{0,40}\b(input validation|(unit )?tests? (that )?(check|for)\w* sql injections?|authentication checks?|server-side verification|security (tests?|headers?|checks?))\b/i
    $d = /\b(disable|ignore|suppress|turn off)\b[^\n.]{0,20}\b(all |any )?(security|vulnerability|safety)[- ](related )?(warnings?|alerts?|findings|scans?|checks?)\b/i
  condition:
    any of them
}
