//! What stands around a match: whether a text does a thing or warns of it, and whose host an address is.

use regex::Regex;

use crate::package::Manifest;
use crate::shown;

/// Installers that everybody knows, as their addresses begin.
pub(super) const INSTALLERS: &str = include_str!("../../rules/installers.txt");

/// The patterns, compiled once.
#[derive(Debug)]
pub(super) struct Context {
    /// Words of a text about what is bad, anywhere.
    warns: Regex,
    /// Words that say so only in a skill about security.
    warns_there: Regex,
    negated: Regex,
    about_data: Regex,
    matcher: Regex,
    escaped: Regex,
    url: Regex,
    /// A host and a path without a scheme, as `curl` takes them.
    bare: Regex,
    security: Regex,
}

/// Whose an address is that something is fetched from and run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// An installer that everybody knows.
    Known,
    /// Its name is the skill's.
    Own,
    /// Without a name, not encrypted, short or a file drop.
    Odd,
    Other,
    /// This machine.
    Local,
}

impl Context {
    pub(super) fn new() -> Result<Self, regex::Error> {
        Ok(Self {
            warns: Regex::new(
                r"(?ix)\b(malicious|malware|attack(s|er|ers|ing)?|exploit(s|able|ation)?|vulnerab\w*|
                    unsafe|insecure|dangerous|red\ flags?|suspicious|anti-?patterns?|phishing|
                    jailbreak(s)?|injection(s)?|never\ (run|do|use|pipe|execute)|do\ not\ (run|pipe|
                    execute|trust)|don't\ (run|pipe|execute|trust)|forbidden|prohibited|
                    disallow(ed)?|untrusted|hostile|adversar\w*|bad\ example|red\ team\w*|
                    pentest\w*)\b|❌|🚫|⛔|恶意|攻击|危险|不安全|可疑|反例|漏洞|钓鱼|注入|禁止执行|不要执行",
            )?,
            warns_there: Regex::new(
                r"(?ix)\b(detect(s|ed|ion|or|ing)?|flag(s|ged|ging)?|block(s|ed|list|ing)?|reject(s|
                    ed)?|refuse(s|d)?|prevent(s|ion)?|audit(s|ing)?|indicators?|IOCs?|threats?|
                    not\ allowed|payloads?|wrong|avoid(s|ing)?|destructive|quarantine\w*|violat\w*|
                    guard(s|rails?)?|deny(list)?|denied|sanitiz\w*|defen[cs]\w*|protect(s|ion|ed)?|
                    risk(y|s)?|severity|critical|high|harmful|example|sample|test|pattern)\b|检测|识别|
                    拦截|风险|威胁|高危|警惕|防范|防御|示例",
            )?,
            negated: Regex::new(
                r"(?ix)(\b(do\ not|don't|never|not|only|avoid|cannot|can't|won't|shouldn't|refuse\ to|
                    prevents?|stop|no\ one\ should)\b[^.!?\n]{0,28}|[不勿别禁][^。！？\n]{0,9})$",
            )?,
            about_data: Regex::new(
                r"(?ix)^[^.\n]{0,60}\b(embedded|inside|within|contained|found|that\ appear|present|
                    hidden)\ (in|inside|source|the|them|any|it|this|that|external|fetched|user)|
                    ^[^.\n]{0,40}\bin\ (the\ |a\ |any\ )?(content|data|document|text|page|source|
                    email|file|article|transcript|web)",
            )?,
            matcher: Regex::new(
                r#"(?ix)(\b(grep|egrep|rg|re\.\w+|RegExp|regex|patterns?|findall|contains|includes|
                    startswith|endswith|test|matches?|malicious\w*|suspicious\w*|dangerous\w*|
                    forbidden\w*|denied|deny\w*|block\w*|iocs?|signatures?|rules?|detect\w*|
                    checks?)\b[^;|&]*["'/(\[][^;|&]*$)|^\s*[bru]{0,2}["'][^"']*$|
                    ^\s*\(?[bru]{0,2}["'][^"']{0,60}["']\s*[,:]\s*[bru]{0,2}["'][^"']*$"#,
            )?,
            escaped: Regex::new(r"\\[sbdwSBDW.(){}/|\[]|\(\?[:i]|\.\*")?,
            bare: Regex::new(r"(?i)\b(?:[a-z0-9-]+\.)+[a-z]{2,12}/[^\s|;]*")?,
            url: Regex::new(r#"(?i)\b(?:https?|ftp)://([^\s"'`<>()\\|;]{2,300})"#)?,
            security: Regex::new(
                r"(?ix)\b(security|secur(e|ity)[-\ ]|audit\w*|vulnerab\w*|pentest\w*|penetration|
                    malware|prompt[-\ ]injection|threats?|red[-\ ]?team\w*|ctf|forensic\w*|
                    exploit\w*|hardening|owasp|scanner|sast|fuzz\w*|yara|semgrep|codeql|
                    guard(rails?)?|vetting|sandbox\w*)\b|安全|审计|漏洞|渗透|恶意|防护|扫描",
            )?,
        })
    }

    /// Whether what stands around a match in a text says that it is an example of what is bad, or that it must not
    /// be done.
    pub(super) fn warns(&self, text: &str, offset: usize, length: usize, is_security_topic: bool) -> bool {
        let says =
            |line: &str| self.warns.is_match(line) || is_security_topic && self.warns_there.is_match(line);
        let before = shown::window(text, 0, offset);
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let on_line = shown::window(text, start.max(offset.saturating_sub(400)), offset);
        // Only what stands before the match: "security" in an order to turn security off warns of nothing.
        let is_near = || before.lines().rev().skip(1).take(2).any(says);
        let heading = || before.lines().rev().find(|line| line.starts_with('#')).is_some_and(says);
        says(on_line) || self.is_denied(text, offset, length) || is_near() || heading()
    }

    /// Whether the sentence says not to do it, or speaks of what stands in somebody else's text.
    pub(super) fn is_denied(&self, text: &str, offset: usize, length: usize) -> bool {
        let before = shown::window(text, offset.saturating_sub(40), offset);
        let after = shown::window(text, offset + length, offset + length + 100);
        self.negated.is_match(before) || self.about_data.is_match(after)
    }

    /// Whether a line of source code looks for a text rather than does what it says.
    pub(super) fn is_matcher(&self, text: &str, offset: usize, length: usize) -> bool {
        let start = shown::window(text, 0, offset).rfind('\n').map_or(0, |at| at + 1);
        let before = shown::window(text, start.max(offset.saturating_sub(400)), offset);
        let matched = shown::window(text, offset, offset + length.min(200));
        self.matcher.is_match(before) || self.escaped.is_match(matched)
    }

    /// Whether the skill is about security, so that its texts speak of attacks.
    pub(super) fn is_security_topic(&self, manifest: &Manifest) -> bool {
        self.security.is_match(&manifest.name) || self.security.is_match(&manifest.description)
    }

    /// Whether `text` is one address and nothing else, and not this machine's.
    pub(super) fn is_address(&self, text: &str) -> bool {
        self.url.find(text).is_some_and(|found| found.len() == text.len())
            && !self.host(text).is_some_and(|host| is_local(&host))
    }

    /// The host of the first address in `text`, in small letters.
    pub(super) fn host(&self, text: &str) -> Option<String> {
        let address = self.url.captures(text)?.get(1)?.as_str();
        Some(address.split(['/', ':', '?', '#']).next().unwrap_or_default().to_lowercase())
    }

    /// Whose the first address in `text` is.
    pub(super) fn source(&self, text: &str, manifest: &Manifest) -> Source {
        let address = self.url.captures(text).and_then(|found| found.get(1)).map(|found| found.as_str());
        let bare = || self.bare.find(text).map(|found| found.as_str());
        let Some(address) = address.or_else(bare) else { return Source::Other };
        let whole = self.url.find(text).map_or("", |found| found.as_str());
        let host = address.split(['/', ':', '?', '#']).next().unwrap_or_default().to_lowercase();
        if is_local(&host) {
            return Source::Local;
        }
        if is_known_installer(address) {
            return Source::Known;
        }
        let by_number = host.split('.').count() == 4 && host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        if by_number || whole.starts_with("http:") || whole.starts_with("ftp:") || is_drop(&host) {
            return Source::Odd;
        }
        let words: Vec<String> = manifest
            .name
            .split('-')
            .chain(manifest.display_name.iter().flat_map(|name| name.split_whitespace()))
            .map(|word| word.to_lowercase().chars().filter(char::is_ascii_alphanumeric).collect::<String>())
            .filter(|word| {
                word.len() >= 3
                    && !["skill", "agent", "cli", "tool", "api", "app", "the", "install"]
                        .contains(&word.as_str())
            })
            .collect();
        let place: String = match host.as_str() {
            "raw.githubusercontent.com"
            | "github.com"
            | "gist.githubusercontent.com"
            | "gitlab.com"
            | "gitee.com" => address.split('/').skip(1).take(2).collect::<Vec<_>>().join("/"),
            _ => host,
        };
        let place: String = place.to_lowercase().chars().filter(char::is_ascii_alphanumeric).collect();
        let is_own = words.iter().any(|word| place.contains(word.as_str()));
        if is_own { Source::Own } else { Source::Other }
    }
}

/// Whether an address is one of `rules/installers.txt`.
fn is_known_installer(address: &str) -> bool {
    let address = address.to_lowercase();
    INSTALLERS.lines().filter(|line| !line.starts_with('#')).any(|known| address.starts_with(known))
}

/// Whether a name or number is this machine's or a private network's.
pub(super) fn is_local(host: &str) -> bool {
    let numbers: Vec<u8> = host.split('.').filter_map(|part| part.parse().ok()).collect();
    match numbers.as_slice() {
        [127 | 10, _, _, _] | [192, 168, _, _] | [0, 0, 0, 0] => true,
        [172, second, _, _] => (16..32).contains(second),
        [100, second, _, _] => (64..128).contains(second),
        _ => {
            host == "localhost"
                || host == "host.docker.internal"
                || host == "["
                || host.ends_with(".local")
                || host.starts_with('$')
                || host.starts_with('{')
        }
    }
}

fn is_drop(host: &str) -> bool {
    [
        "pastebin.com",
        "rentry.co",
        "rentry.org",
        "glot.io",
        "hastebin.com",
        "paste.ee",
        "transfer.sh",
        "file.io",
        "0x0.st",
        "termbin.com",
        "ix.io",
        "bit.ly",
        "tinyurl.com",
        "is.gd",
        "t.ly",
        "cutt.ly",
        "gist.githubusercontent.com",
        "anonfiles.com",
        "gofile.io",
        "catbox.moe",
        "files.catbox.moe",
        "temp.sh",
        "cdn.discordapp.com",
        "ngrok.io",
        "telegra.ph",
        "dpaste.org",
    ]
    .iter()
    .any(|drop| host == *drop || host.ends_with(&format!(".{drop}")))
        || [".onion", ".tk", ".ml", ".ga", ".cf", ".gq", ".top", ".icu", ".pw"]
            .iter()
            .any(|end| host.ends_with(end))
}
